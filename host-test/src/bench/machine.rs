//! What a figure was made on and with; without it, a figure says nothing.

use std::{fs, process::Command};

use anyhow::{Context, Result};

/// `rustc 1.95.0 (…)`.
pub fn rustc() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("can't run rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The processor as it calls itself.
pub fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model(&text).unwrap_or("unknown").to_owned()
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name") || line.starts_with("CPU part"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_named_on_either_architecture() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC"));
        assert_eq!(model("processor\t: 0\nCPU part\t: 0xd0c\n"), Some("0xd0c"));
    }
}
