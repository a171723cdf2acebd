//! How a plugin is compiled: target, profile, flags.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::{Plugin, Shell, Workspace, target::TARGET};

/// Compiles all plugins for one shell. A plugin is chosen with `-p`, so that the features of the test
/// host's dependencies don't reach into modules.
pub(super) fn compile(workspace: &Workspace, plugins: &[Plugin], shell: Shell) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--lib", "--profile=wasm", "--target", TARGET]).current_dir(&workspace.root);
    for plugin in plugins {
        command.args(["-p", &plugin.name]);
    }
    // Encoded, because a user's RUSTFLAGS would replace any other form without a word.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, shell).join("\x1f")).env_remove("RUSTFLAGS");
    command.env("CARGO_TARGET_DIR", target_directory(workspace, shell));
    let status = command.status().context("can't run cargo; is Rust installed? (https://rustup.rs)")?;
    if !status.success() {
        bail!("the plugins don't compile for {TARGET} ({shell:?}); cargo says why above");
    }
    Ok(())
}

/// A folder for each shell: in a shared one, each would make the other's work stale.
fn target_directory(workspace: &Workspace, shell: Shell) -> PathBuf {
    match shell {
        Shell::ProxyWasm => workspace.target_directory.clone(),
        Shell::Component => workspace.target_directory.join("component"),
    }
}

/// Where [`compile`] left a plugin.
pub(super) fn compiled(workspace: &Workspace, plugin: &Plugin, shell: Shell) -> PathBuf {
    target_directory(workspace, shell).join(TARGET).join("wasm").join(format!("{}.wasm", plugin.library))
}

fn flags(workspace: &Workspace, shell: Shell) -> Vec<String> {
    // A function is copied into its callers, and a loop written out, only where it is small: a sixteenth of the module less
    // (start-up in every worker), for a twentieth more instructions of a request that takes some thousand.
    let mut flags = vec![
        "-Ctarget-feature=+simd128".to_owned(),
        "-Cllvm-args=-inline-threshold=25 -unroll-threshold=20".to_owned(),
    ];
    // Panic messages hold source paths; those of the machine that built a module are nobody's business,
    // and would make its bytes differ between machines.
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    for (path, name) in [(Some(workspace.root.clone()), "portcullis"), (home, "cargo")] {
        if let Some(path) = path {
            flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        }
    }
    if shell == Shell::Component {
        flags.push(r#"--cfg=portcullis_shell="component""#.to_owned());
    }
    flags
}
