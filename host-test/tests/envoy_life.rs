//! How many VMs a module gets, and what is called in each, in which order: in Envoy's log and here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use host_test::{
    envoy::{Options, Process, find},
    scenario::Scenario,
    vm::{self, Limits},
};
use serde_json::json;

/// Logs each callback of a start by a letter: (i)nitialise, (r)oot context, VM (s)tart, (c)onfigure.
const LETTERS: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 100) "irsc")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 65536))
    (func $say (param i32) (drop (call $log (i32.const 2) (i32.add (i32.const 100) (local.get 0)) (i32.const 1))))
    (func (export "_initialize") (call $say (i32.const 0)))
    (func (export "proxy_on_context_create") (param i32 i32) (call $say (i32.const 1)))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $say (i32.const 2)) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $say (i32.const 3)) (i32.const 1)))"#;

/// The base, the canary and the main thread's VM; then one for each worker.
const MAIN: &str = "i irsc irsc";
const WORKER: &str = "irsc";

fn letters(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().filter_map(|line| line.chars().last()).collect()
}

#[test]
fn envoy_starts_a_base_a_canary_a_vm_for_the_main_thread_and_one_for_each_worker() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("letters.wasm");
    std::fs::write(&module, wat::parse_str(LETTERS).unwrap()).unwrap();
    let wasm = json!({ "name": "wasm", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": { "name": "letters", "vm_config": {
            "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": module } } } },
    } });
    let router = json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
    let bootstrap = json!({ "static_resources": { "listeners": [{
        "name": "http",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http", "route_config": {}, "http_filters": [wasm, router],
        } }] }],
    }] } });
    for workers in [1, 3] {
        let options =
            Options { concurrency: workers, component_log_level: Some("wasm:info".into()), ..Options::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let envoy = find(None, None).unwrap();
        let process = runtime.block_on(Process::start(&envoy.binary, &bootstrap, &options)).unwrap();
        let mut lines = process.wasm_lines_since(0);
        let all = MAIN.len() - 2 + WORKER.len() * workers as usize;
        let end = Instant::now() + Duration::from_secs(10);
        // Envoy is ready before its workers have begun.
        while lines.len() < all && Instant::now() < end {
            runtime.block_on(tokio::time::sleep(Duration::from_millis(10)));
            lines = process.wasm_lines_since(0);
        }
        let main = lines[0].thread.clone();
        let mut said = BTreeMap::<_, Vec<String>>::new();
        for line in lines {
            said.entry((line.thread != main, line.thread)).or_default().push(line.text);
        }
        let said: Vec<String> = said.into_values().map(letters).collect();
        let mut expected = vec![MAIN.replace(' ', "")];
        expected.resize(1 + workers as usize, WORKER.into());
        assert_eq!(said, expected);

        let mut scenario: Scenario =
            serde_saphyr::from_str(&format!("{{scenario: s, given: {{workers: {workers}}}, steps: [{{}}]}}")).unwrap();
        scenario.plugin = "letters".into();
        let here = vm::run_bytes(&wat::parse_str(LETTERS).unwrap(), &scenario, Limits::default());
        assert_eq!(letters(here.startup_log), expected.concat());
    }
}
