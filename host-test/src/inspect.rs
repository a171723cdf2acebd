//! `portcullis inspect`: what a module is, what it asks for, and whether Envoy would load it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{bounded, build::inspect, envoy::versions, report, vm};

/// Tells what a module is; false where no version of Envoy loads it.
pub fn inspect(file: &Path) -> Result<bool> {
    let written = bounded::read(file, vm::LARGEST as u64)?;
    let module = wat::parse_bytes(&written).with_context(|| format!("{} is no WebAssembly", file.display()))?;
    let inspection =
        inspect::inspect(&module).with_context(|| format!("{} is no WebAssembly module", file.display()))?;
    let loads = vm::check(&module);
    let versions = versions::SUPPORTED.map(|version| (version, versions::lacking_import(version, &inspection.wasi)));
    let text = report::inspected::tell(file, &module, &inspection, &loads, &versions);
    report::print(&text)?;
    Ok(loads.is_ok())
}
