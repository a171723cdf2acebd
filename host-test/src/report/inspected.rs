//! What a module is, for people. Pure.

use std::{collections::BTreeSet, path::Path};

use crate::build::{self, inspect::Inspection};

/// `versions`: each with the first call that it doesn't have, where there is one.
pub fn tell(
    file: &Path,
    module: &[u8],
    inspection: &Inspection,
    loads: &Result<(), String>,
    versions: &[(&str, Option<&str>)],
) -> String {
    let mut text = format!("{}\n", file.display());
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<10}{value}\n"));
    row("size", &format!("{} bytes", module.len()));
    row("sha256", &build::sha256(module));
    row("abi", if inspection.abi.is_empty() { "none that Envoy knows" } else { &inspection.abi });
    row("entry", if inspection.entry.is_empty() { "none" } else { &inspection.entry });
    row("callbacks", &list(&inspection.callbacks));
    row("hostcalls", &list(&inspection.hostcalls));
    row("wasi", &list(&inspection.wasi));
    row("other", &list(&inspection.other_imports));
    match loads {
        Err(reason) => row("loads", &format!("in no Envoy: {reason}")),
        Ok(()) => versions.iter().for_each(|(version, lacking)| match lacking {
            None => row("loads", &format!("in Envoy {version}")),
            Some(call) => row("loads", &format!("not in Envoy {version}, which has no {call}")),
        }),
    }
    text.push_str("  the smallest capability list:\n    allowed_capabilities:\n");
    for capability in inspection.capabilities() {
        text.push_str(&format!("      {capability}: {{}}\n"));
    }
    text
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".into() } else { names.iter().map(String::as_str).collect::<Vec<_>>().join(", ") }
}
