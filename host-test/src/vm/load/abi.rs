//! Which version of the ABI a module was built for: the first of its exported functions that marks a
//! version which is known. Envoy looks before it compiles, and so does this.

use std::sync::{Mutex, PoisonError};

use wasmparser::{ExternalKind, Parser, Payload};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without `proxy_get_log_level`.
    V0_2_0,
    V0_2_1,
}

const UNKNOWN: &str = "Missing or unknown Proxy-Wasm ABI version";
const PREFIX: &str = "proxy_abi_version_";

static ACCEPTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on modules that export a function of this name are taken for 0.2.1: a vendor's dialect.
/// Envoy refuses them.
pub fn accept(marker: &str) {
    ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner).push(marker.to_owned());
}

pub fn version(bytes: &[u8]) -> Result<Version, String> {
    of(bytes, &ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner))
}

fn of(bytes: &[u8], accepted: &[String]) -> Result<Version, String> {
    if bytes.starts_with(b"\0asm") && !bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(format!("{UNKNOWN}; this is no core module (a component?)"));
    }
    let mut unknown = None;
    for name in functions(bytes).map_err(|error| format!("Failed to parse corrupted Wasm module: {error}"))? {
        match name {
            "proxy_abi_version_0_2_0" => return Ok(Version::V0_2_0),
            "proxy_abi_version_0_2_1" => return Ok(Version::V0_2_1),
            "proxy_abi_version_0_1_0" => {
                return Err("Proxy-Wasm ABI 0.1.0 runs in Envoy, but not in this host: build for 0.2.1".into());
            }
            _ if accepted.iter().any(|marker| marker == name) => return Ok(Version::V0_2_1),
            _ if name.starts_with(PREFIX) => unknown = Some(name),
            _ => {}
        }
    }
    Err(match unknown {
        Some(name) => format!(
            "{UNKNOWN}: the module exports {name}, which Envoy refuses; `--accept-abi {name}` takes it for 0.2.1"
        ),
        None => UNKNOWN.into(),
    })
}

/// The names of exported functions, in their order.
fn functions(bytes: &[u8]) -> wasmparser::Result<Vec<&str>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                let export = export?;
                if export.kind == ExternalKind::Func {
                    names.push(export.name);
                }
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(exports: &[&str]) -> Vec<u8> {
        let exports: String = exports.iter().map(|name| format!("(func (export \"{name}\"))")).collect();
        wat::parse_str(format!("(module {exports})")).unwrap()
    }

    #[test]
    fn the_first_mark_that_is_known_decides() {
        let both = ["proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"];
        assert_eq!(of(&module(&both), &[]), Ok(Version::V0_2_0));
        assert_eq!(of(&module(&["x", both[1], both[0]]), &[]), Ok(Version::V0_2_1));
        assert_eq!(of(&module(&["proxy_abi_version_0_9_0", both[0]]), &[]), Ok(Version::V0_2_0));
    }

    #[test]
    fn a_vendors_mark_is_refused_with_the_remedy_and_taken_where_it_is_accepted() {
        let vendor = module(&["proxy_abi_version_0_2_100"]);
        let reason = of(&vendor, &[]).unwrap_err();
        assert!(reason.contains(UNKNOWN) && reason.contains("--accept-abi proxy_abi_version_0_2_100"), "{reason}");
        assert_eq!(of(&vendor, &["proxy_abi_version_0_2_100".into()]), Ok(Version::V0_2_1));
        assert_eq!(of(&module(&["vendor_abi"]), &["vendor_abi".into()]), Ok(Version::V0_2_1));
    }

    #[test]
    fn a_mark_that_is_no_function_is_none() {
        let global = wat::parse_str(r#"(module (global (export "proxy_abi_version_0_2_1") i32 (i32.const 0)))"#);
        assert_eq!(of(&global.unwrap(), &[]), Err(UNKNOWN.into()));
    }

    #[test]
    fn what_is_no_module_is_refused_before_it_is_compiled() {
        for bytes in [b"".as_slice(), b"(module)", b"\0asm\x01\0\0\0\x01\xc8", b"\0asm\x01\0\0\0\x07\x05"] {
            assert!(of(bytes, &[]).unwrap_err().contains("corrupted"), "{bytes:?}");
        }
        assert!(of(b"\0asm\x0d\0\x01\0", &[]).unwrap_err().contains("component"));
    }
}
