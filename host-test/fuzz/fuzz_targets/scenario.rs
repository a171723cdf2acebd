//! No text that is given as a scenario breaks the reader, and what it takes can be played.
#![no_main]

use std::sync::LazyLock;

use host_test::{
    runner::check,
    scenario::parse,
    vm::{Limits, cache, run_bytes},
};

/// Steps that are played, each in all its cuts.
const PLAYS: u64 = 200;

/// A filter that asks for ticks, and calls a cluster again whenever it answers.
const BUSY: &str = r#"(module
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $load (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 100) "\03\00\00\00\07\00\00\00\01\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00a\00:path\00a\00:authority\00a\00")
    (data (i32.const 300) "a")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 65536))
    (func $again
        (drop (call $load (i32.const 300) (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 8)))
        (drop (call $call (i32.const 300) (i32.const 1) (i32.const 100) (i32.const 56) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $tick (i32.const 1000)))
        (call $again)
        (i32.const 0))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $again)))"#;

static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| wat::parse_str(BUSY).unwrap());

libfuzzer_sys::fuzz_target!(init: cache::switch_off(), |bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mut scenario) = parse(text) else { return };
    let _ = format!("{scenario:?}");
    if scenario.chain().len() > 1 || scenario.given.workers > 4 || scenario.steps.iter().map(|step| step.plays()).sum::<u64>() > PLAYS {
        return;
    }
    // A year of ticks is nothing new behind a minute of them.
    for step in &mut scenario.steps {
        step.pass = step.pass.filter(|pass| pass.0 < 60_000_000_000);
    }
    let outcome = run_bytes(&MODULE, &scenario, Limits { fuel: 100_000, ..Limits::default() });
    let _ = check::scenario(&scenario, &outcome);
});
