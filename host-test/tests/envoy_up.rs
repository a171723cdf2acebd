//! `portcullis up`, from the edge's file to its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

use host_test::up::{Options, up};
use tempfile::TempDir;

/// The repository's edge with a filter whose every word is known, and requests with promises.
fn edge(rows: &str) -> (TempDir, Options) {
    let root = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(repository.join("envoy/edge.yaml")).unwrap();
    let text = text.replace("wasm.portcullis_security_headers", "wasm.portcullis_probe");
    // These tests run side by side.
    let text = text.replace("port_value: 10000", "port_value: 0").replace("port_value: 9901", "port_value: 0");
    let mut edge: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    // The first of the filters stands for all.
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = edge.pointer_mut(filters).unwrap().as_array_mut().unwrap();
    *filters = vec![filters.first().unwrap().clone(), filters.last().unwrap().clone()];
    let vm = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/vm_config";
    // The list is the filter's own; the probe calls more.
    edge.pointer_mut(vm).unwrap().as_object_mut().unwrap().remove("capability_restriction_config").unwrap();
    let modules = root.path().join("target/portcullis");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("security-headers.wasm"), wat::parse_str(include_str!("guests/probe.wat")).unwrap())
        .unwrap();
    fs::write(root.path().join("Cargo.lock"), "").unwrap();
    fs::write(root.path().join("edge.yaml"), edge.to_string()).unwrap();
    fs::write(root.path().join("edge.demo.yaml"), rows).unwrap();
    let edge = Some(root.path().join("edge.yaml"));
    (root, Options { once: true, edge, ..Options::default() })
}

#[test]
fn the_edge_runs_and_keeps_its_promises() {
    let (_root, options) = edge(
        "
- name: a page
  expect: {client: {status: 200, headers: {x-route: web}}, upstream: {reached: true, headers: {x-seen: 'yes'}}}
- name: the API is another route
  request: {path: /api/orders}
  expect: {client: {status: 200, headers: {x-route: api}}}
- name: the backend tells too much
  request: {path: /leaky}
  expect: {client: {status: 200, headers: {server: Demo/1.0, x-powered-by: Express}}}
- name: a filter answers
  request: {path: /reply}
  expect: {client: {status: 403}, upstream: {reached: false}}
- name: a header that two spellings could mean is refused
  request: {headers: {x_user: admin}}
  expect: {client: {status: 400}, upstream: {reached: false}}
",
    );
    assert!(up(&options).unwrap());
}

#[test]
fn a_broken_promise_is_told() {
    let (_root, options) =
        edge("[{name: nothing is here, request: {path: /nowhere}, expect: {client: {status: 200}}}]");
    assert!(!up(&options).unwrap());
}

#[test]
fn a_missing_module_says_how_to_make_it() {
    let (root, options) = edge("[]");
    fs::remove_file(root.path().join("target/portcullis/security-headers.wasm")).unwrap();
    let error = format!("{:#}", up(&options).unwrap_err());
    assert!(error.contains("security-headers.wasm") && error.contains("portcullis build"), "{error}");
}
