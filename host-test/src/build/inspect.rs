//! What a module asks of its host and offers to it: the smallest capability list.

use std::collections::BTreeSet;

use anyhow::Result;
use wasmparser::{ExternalKind, Parser, Payload};

/// Imports and exports of a core module, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// `proxy_…` functions that it calls.
    pub hostcalls: BTreeSet<String>,
    /// WASI functions that it calls.
    pub wasi: BTreeSet<String>,
    /// `proxy_on_…` functions that it wants to be called, but for the allocator, which needs no entry.
    pub callbacks: BTreeSet<String>,
    /// Imports of any other kind, as `module.name`.
    pub other_imports: BTreeSet<String>,
    /// The versions of the ABI that it is marked with, as `0.2.1`.
    pub abi: String,
    /// What runs first.
    pub entry: String,
}

impl Inspection {
    /// The names that `allowed_capabilities` must hold, and no more: a hostcall that is left out traps, a
    /// callback that is left out is never called, and traffic passes unfiltered without a word.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.hostcalls.iter().chain(&self.wasi).chain(&self.callbacks).map(String::as_str)
    }

    /// How many functions it imports.
    pub fn imports(&self) -> usize {
        self.hostcalls.len() + self.wasi.len() + self.other_imports.len()
    }
}

/// What Envoy runs before anything else.
const ENTRIES: [&str; 4] = ["_initialize", "_start", "main", "__main_void"];

fn append(list: &mut String, word: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(word);
}

/// Reads a core module's imports and exports.
pub fn inspect(module: &[u8]) -> Result<Inspection> {
    let mut inspection = Inspection::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let names = match import.module {
                        "env" if import.name.starts_with("proxy_") => &mut inspection.hostcalls,
                        "wasi_snapshot_preview1" | "wasi_unstable" => &mut inspection.wasi,
                        module => {
                            inspection.other_imports.insert(format!("{module}.{}", import.name));
                            continue;
                        }
                    };
                    names.insert(import.name.to_owned());
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let callback = export.name.starts_with("proxy_on_") && export.name != "proxy_on_memory_allocate";
                    if export.kind != ExternalKind::Func {
                        continue;
                    }
                    if callback {
                        inspection.callbacks.insert(export.name.to_owned());
                    } else if let Some(version) = export.name.strip_prefix("proxy_abi_version_") {
                        append(&mut inspection.abi, &version.replace('_', "."));
                    } else if ENTRIES.contains(&export.name) {
                        append(&mut inspection.entry, export.name);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(inspection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_hostcalls_wasi_and_callbacks_but_not_the_allocator() {
        let module = wat::parse_str(
            r#"(module
                (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
                (import "env" "pthread_equal" (func (param i32 i32) (result i32)))
                (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
                (func (export "_initialize")))"#,
        );
        let inspection = inspect(&module.unwrap()).unwrap();
        let capabilities: Vec<&str> = inspection.capabilities().collect();
        assert_eq!(capabilities, ["proxy_log", "random_get", "proxy_on_request_headers"]);
        assert_eq!((inspection.imports(), inspection.entry.as_str()), (3, "_initialize"));
    }
}
