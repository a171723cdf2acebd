//! A bootstrap that people wrote, made to run on this machine as it is: free ports, the backend's
//! port, modules by their full paths.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// The cluster that stands for what the edge protects.
const BACKEND: &str = "backend";

/// Rewrites in place:
///
/// 1. the admin's and the listeners' ports, where taken, become free ones (0); listeners don't
///    share a port, or a second Envoy would silently take half of the connections;
/// 2. every endpoint of the cluster `backend` gets the port `backend`;
/// 3. every relative `filename` that ends in `.wasm` stands below `root` (`target/` below `target`,
///    where Cargo may have been told another one), and must exist.
pub fn rewrite(bootstrap: &mut Value, root: &Path, target: &Path, backend: u16) -> Result<()> {
    free(bootstrap.pointer_mut("/admin/address"));
    for listener in elements(bootstrap, "/static_resources/listeners") {
        free(listener.get_mut("address"));
        if let Some(listener) = listener.as_object_mut() {
            listener.insert("enable_reuse_port".into(), json!(false));
        }
    }
    for cluster in elements(bootstrap, "/static_resources/clusters") {
        if cluster.get("name").is_some_and(|name| name == BACKEND) {
            walk(cluster, &mut |key, value| {
                if key == "port_value" {
                    *value = json!(backend);
                }
            });
        }
    }
    let mut missing: Vec<PathBuf> = Vec::new();
    walk(bootstrap, &mut |key, value| {
        let relative = value.as_str().filter(|path| key == "filename" && path.ends_with(".wasm")).map(PathBuf::from);
        let full = |relative: PathBuf| match relative.strip_prefix("target") {
            Ok(below) => target.join(below),
            Err(_) => root.join(relative),
        };
        if let Some(path) = relative.map(full) {
            if !path.is_file() {
                missing.push(path.clone());
            }
            *value = json!(path);
        }
    });
    if let Some(module) = missing.first() {
        bail!("{} isn't there; `portcullis build` makes it", module.display());
    }
    Ok(())
}

fn elements<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets the port of a socket address to 0 where something else has it.
fn free(address: Option<&mut Value>) {
    let Some(address) = address.and_then(|address| address.get_mut("socket_address")) else { return };
    let host = address.get("address").and_then(Value::as_str).unwrap_or("127.0.0.1").to_owned();
    let Some(port) = address.get("port_value").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()) else {
        return;
    };
    if TcpListener::bind((host.as_str(), port)).is_err()
        && let Some(address) = address.as_object_mut()
    {
        address.insert("port_value".into(), json!(0));
    }
}

/// Shows every member of every object below a value.
fn walk(value: &mut Value, look: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                look(key, value);
                walk(value, look);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| walk(element, look)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Value {
        json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
    }

    #[test]
    fn taken_ports_become_free_ones_and_only_the_backend_moves() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let cluster = |name: &str| json!({ "name": name, "endpoint": { "address": at(8080) } });
        let mut bootstrap = json!({
            "admin": { "address": at(port) },
            "static_resources": { "listeners": [{ "address": at(port) }], "clusters": [cluster("backend"), cluster("other")] },
        });
        rewrite(&mut bootstrap, Path::new("/"), Path::new("/"), 7).unwrap();
        assert_eq!(bootstrap["admin"]["address"], at(0));
        assert_eq!(bootstrap["static_resources"]["listeners"][0]["address"], at(0));
        assert_eq!(bootstrap["static_resources"]["clusters"][0]["endpoint"]["address"], at(7));
        assert_eq!(bootstrap["static_resources"]["clusters"][1]["endpoint"]["address"], at(8080));
    }

    #[test]
    fn modules_stand_below_the_root_and_a_missing_one_says_how_to_make_it() {
        let root = tempfile::tempdir().unwrap();
        let mut bootstrap = json!({ "code": { "local": { "filename": "x.wasm" } } });
        let error = rewrite(&mut bootstrap.clone(), root.path(), root.path(), 7).unwrap_err().to_string();
        assert!(error.contains("x.wasm") && error.contains("portcullis build"), "{error}");
        std::fs::write(root.path().join("x.wasm"), "").unwrap();
        rewrite(&mut bootstrap, root.path(), root.path(), 7).unwrap();
        assert_eq!(bootstrap["code"]["local"]["filename"], json!(root.path().join("x.wasm")));
    }
}
