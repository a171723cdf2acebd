//! Small guests in WAT, and scenarios for them.
#![allow(dead_code)]

use host_test::{
    outcome::{Outcome, Play},
    scenario::Scenario,
    vm::{Limits, run_bytes},
};

/// A module that has what Envoy asks for: a memory, an allocator, the ABI's mark. `imports` stand
/// before everything else; `body` holds data, functions and callbacks. Every call's status is written
/// to the log by `$status`.
pub fn module(imports: &str, body: &str) -> Vec<u8> {
    format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
            {imports}
            (memory (export "memory") 8)
            (global $free (mut i32) (i32.const 65536))
            (func (export "proxy_abi_version_0_2_1"))
            (func $malloc (export "malloc") (param $size i32) (result i32)
                (local $place i32)
                (local.set $place (global.get $free))
                (global.set $free (i32.add (global.get $free) (local.get $size)))
                (local.get $place))
            ;; Logs the number of a status at level info, as "=1", "=12".
            (func $status (param $status i32)
                (i32.store8 (i32.const 60000) (i32.const 61))
                (i32.store8 (i32.const 60001) (i32.add (i32.const 48) (i32.div_u (local.get $status) (i32.const 10))))
                (i32.store8 (i32.const 60002) (i32.add (i32.const 48) (i32.rem_u (local.get $status) (i32.const 10))))
                (drop (call $log (i32.const 2) (i32.const 60000) (i32.const 3))))
            ;; Logs what a call gave: the pointer at 50000, the size at 50004.
            (func $given
                (drop (call $log (i32.const 2) (i32.load (i32.const 50000)) (i32.load (i32.const 50004)))))
            {body})"#
    )
    .into_bytes()
}

pub fn scenario(yaml: &str) -> Scenario {
    let mut scenario: Scenario = serde_saphyr::from_str(yaml).unwrap();
    scenario.plugin = "probe".into();
    scenario
}

pub fn outcome(module: &[u8], yaml: &str) -> Outcome {
    // Text becomes a module; what is neither stays what it is.
    let module = wat::parse_bytes(module).unwrap_or(module.into());
    run_bytes(&module, &scenario(yaml), Limits { fuel: 1_000_000, ..Limits::default() })
}

pub fn plays(module: &[u8], yaml: &str) -> Vec<Play> {
    let outcome = outcome(module, yaml);
    assert_eq!(outcome.refused, None);
    outcome.plays
}

pub fn play(module: &[u8], yaml: &str) -> Play {
    plays(module, yaml).remove(0)
}

pub const ONE: &str = "{scenario: s, steps: [{}]}";

pub const GET: &str =
    r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#;
pub const SET: &str =
    r#"(import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))"#;
pub const ADD: &str =
    r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#;
pub const PAIRS: &str = r#"(import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))"#;
pub const SET_PAIRS: &str =
    r#"(import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))"#;
pub const REPLY: &str =
    r#"(import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
pub const PROPERTY: &str =
    r#"(import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))"#;
pub const STORE: &str = r#"
    (import "env" "proxy_get_shared_data" (func $load (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $store (param i32 i32 i32 i32 i32) (result i32)))"#;
pub const METRICS: &str = r#"
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))"#;
