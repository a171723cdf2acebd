//! The compiler's target for modules, installed where it is missing.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Installs the target through rustup unless it is there.
pub(super) fn ensure() -> Result<()> {
    if installed() {
        return Ok(());
    }
    eprintln!("installing the target {TARGET} (once) …");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() && installed() => Ok(()),
        Ok(_) => bail!(
            "`rustup target add {TARGET}` failed; it needs the network once. Without it, install your \
             distribution's package of Rust's standard library for {TARGET}, and run this again"
        ),
        Err(error) => bail!(
            "the target {TARGET} is missing and rustup can't be run ({error}). Install Rust through \
             https://rustup.rs, or your distribution's package of Rust's standard library for {TARGET}"
        ),
    }
}

fn installed() -> bool {
    Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
