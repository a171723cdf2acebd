//! What a module must be, and how it starts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use guests::{ONE, module, outcome, plays};

fn refused(module: &[u8]) -> String {
    outcome(module, ONE).refused.expect("the module is refused")
}

#[test]
fn a_missing_import_is_refused_in_envoys_words() {
    let module = module(r#"(import "env" "proxy_fly" (func (param i32) (result i32)))"#, "");
    assert!(refused(&module).contains("Failed to load Wasm module due to a missing import: env.proxy_fly"));
    let module = guests::module(r#"(import "wasi_snapshot_preview1" "fly" (func))"#, "");
    assert!(refused(&module).contains("missing import: wasi_snapshot_preview1.fly"));
}

#[test]
fn an_import_of_another_signature_is_refused() {
    let module = module(r#"(import "env" "proxy_done" (func (param i32) (result i32)))"#, "");
    let reason = refused(&module);
    assert!(
        reason.contains("import type mismatch: env.proxy_done, want: i32 -> i32, but host exports: void -> i32"),
        "{reason}"
    );
}

#[test]
fn a_callback_of_another_signature_is_refused() {
    let module = module("", r#"(func (export "proxy_on_request_headers") (param i32) (result i32) (i32.const 0))"#);
    let reason = refused(&module);
    let words = "Bad function signature for: proxy_on_request_headers, want: i32 i32 i32 -> i32, but the module exports: i32 -> i32";
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn a_module_without_the_abis_mark_or_an_allocator_is_refused() {
    assert!(refused(b"(module)").contains("Missing or unknown Proxy-Wasm ABI version"));
    let unallocated = br#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))"#;
    assert!(refused(unallocated).contains("missing malloc function"));
}

/// A module with the ABI's mark and what is told.
fn bare(rest: &str) -> Vec<u8> {
    format!(r#"(module (func (export "proxy_abi_version_0_2_1")) {rest})"#).into_bytes()
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 1024))"#;

#[test]
fn malloc_goes_before_the_abis_own_allocator() {
    let wrong = r#"(func (export "malloc") (param i64) (result i32) (i32.const 8))"#;
    let own = r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))"#;
    assert_eq!(outcome(&bare(&format!("{MEMORY} {own}")), ONE).refused, None);
    let both = refused(&bare(&format!("{MEMORY} {wrong} {own}")));
    assert!(both.contains("Bad function signature for: malloc, want: i32 -> i32"), "{both}");
    let second = r#"(func (export "proxy_on_memory_allocate") (param i64))"#;
    assert_eq!(outcome(&bare(&format!("{MEMORY} {MALLOC} {second}")), ONE).refused, None, "it is never called");
}

#[test]
fn a_memory_may_have_any_name_and_a_module_without_one_is_refused() {
    assert_eq!(outcome(&bare(&format!(r#"{MALLOC} (memory (export "mem") 1)"#)), ONE).refused, None);
    assert!(refused(&bare(&format!("{MALLOC} (memory 1)"))).contains("export the memory"));
}

#[test]
fn what_starts_a_module_has_its_types_and_what_does_not_run_may_have_any() {
    let with = |rest: &str| outcome(&bare(&format!("{MEMORY} {MALLOC} {rest}")), ONE).refused;
    let odd = |name: &str| format!(r#"(func (export "{name}") (param f32))"#);
    let initialize = r#"(func (export "_initialize"))"#;
    for (rest, name) in [
        (odd("_initialize"), "_initialize"),
        (odd("_start"), "_start"),
        (format!("{initialize} {}", odd("main")), "main"),
        (format!("{initialize} {}", odd("__main_void")), "__main_void"),
    ] {
        let reason = with(&rest).unwrap();
        assert!(reason.contains(&format!("Bad function signature for: {name}, want: ")), "{reason}");
    }
    assert_eq!(with(&format!("{initialize} {}", odd("_start"))), None);
    assert_eq!(with(&format!("{} {}", odd("main"), odd("__main_void"))), None);
}

#[test]
fn a_module_starts_by_initialize_and_main_or_else_by_start() {
    let says = |name: &str, kind: &str, number: u32| {
        let result = if kind.contains("result") { "(i32.const 0)" } else { "" };
        format!(r#"(func (export "{name}") {kind} (call $status (i32.const {number})) {result})"#)
    };
    let initialize = says("_initialize", "", 1);
    let main = says("main", "(param i32 i32) (result i32)", 2);
    let void = says("__main_void", "(result i32)", 3);
    let start = says("_start", "", 4);
    let context = says("proxy_on_context_create", "(param i32 i32)", 5);
    for (functions, order) in [
        (vec![&initialize, &main, &void, &start], vec![1, 2]),
        (vec![&initialize, &void, &start], vec![1, 3]),
        (vec![&initialize, &start], vec![1]),
        (vec![&main, &void, &start], vec![4]),
        (vec![&main], vec![]),
    ] {
        let body: String = functions.into_iter().chain([&context]).map(String::as_str).collect();
        let log = outcome(&module("", &body), "{scenario: s, refused: [x]}").startup_log;
        let said = |number: u32| format!("info: =0{number}");
        // The VM that others are made from has no root context.
        let base: Vec<String> = order.into_iter().map(said).collect();
        let one: Vec<String> = base.iter().cloned().chain([said(5)]).collect();
        assert_eq!(log, [base, one.clone(), one.clone(), one].concat());
    }
}

#[test]
fn a_module_that_ends_envoy_is_refused_with_the_signal() {
    let done = r#"(import "env" "proxy_done" (func $done (result i32)))"#;
    let reason = refused(&module(done, "(func $begin (drop (call $done))) (start $begin)"));
    assert!(reason.contains("SIGSEGV") && reason.contains("_initialize"), "{reason}");
    let reason = refused(&module("", "(func $begin unreachable) (start $begin)"));
    assert!(reason.contains("Failed to create new Wasm instance"), "{reason}");
}

#[test]
fn a_network_filter_is_refused_by_that_name() {
    let connection = r#"(func (export "proxy_on_new_connection") (param i32) (result i32) (i32.const 0))"#;
    let reason = refused(&module("", connection));
    assert!(reason.contains("this is a network filter"), "{reason}");
    let http = r#"(func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const 0))"#;
    assert_eq!(outcome(&module("", &format!("{connection} {http}")), ONE).refused, None);
}

#[test]
fn a_vendors_dialect_is_refused_until_its_mark_is_accepted() {
    let vendor = format!(r#"(module {MEMORY} {MALLOC} (func (export "proxy_abi_version_0_2_100")))"#);
    let reason = refused(vendor.as_bytes());
    assert!(reason.contains("Missing or unknown Proxy-Wasm ABI version"), "{reason}");
    host_test::vm::accept("proxy_abi_version_0_2_100");
    assert_eq!(outcome(vendor.as_bytes(), ONE).refused, None);
}

#[test]
fn configuration_is_read_three_times_and_its_log_is_part_of_a_refusal() {
    let buffer = r#"(import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))"#;
    let configure = |answer: u32| {
        module(
            buffer,
            &format!(
                r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                    (call $status (call $read (i32.const 7) (i32.const 0) (i32.const -1) (i32.const 50000) (i32.const 50004)))
                    (call $given)
                    (i32.const {answer}))"#
            ),
        )
    };
    let yaml = "{scenario: s, configuration: {a: 1}, configuration_as: string, steps: [{}]}";
    let taken = outcome(&configure(1), yaml);
    assert_eq!(taken.refused, None);
    assert_eq!(taken.startup_log, ["info: =00", "info: {\"a\":1}"].repeat(3));
    let refused = outcome(&configure(0), yaml).refused.unwrap();
    assert!(refused.contains("{\"a\":1}") && refused.contains("Unable to create Wasm plugin"), "{refused}");
}

#[test]
fn only_the_log_and_wasi_may_be_called_while_a_module_starts() {
    let time = r#"(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))"#;
    let starting = module(time, r#"(func (export "_initialize") (drop (call $now (i32.const 8))))"#);
    assert!(refused(&starting).contains("restricted_callback"));
    let wasi = r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
    let starting =
        module(wasi, r#"(func (export "_initialize") (call $status (call $random (i32.const 8) (i32.const 8))))"#);
    // The base, the canary, the main thread's VM and the worker's.
    assert_eq!(outcome(&starting, ONE).startup_log, ["info: =00"; 4]);
}

#[test]
fn an_allocator_that_calls_the_host_ends_the_vm() {
    let guest = format!(
        r#"(module
            (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            {MEMORY} (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (drop (call $random (i32.const 8) (i32.const 8))) (i32.const 1024))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (i32.eqz (call $read (i32.const 7) (i32.const 0) (i32.const -1) (i32.const 16) (i32.const 20)))))"#
    );
    let reason = outcome(guest.as_bytes(), "{scenario: s, configuration: {a: 1}, steps: [{}]}").refused.unwrap();
    assert!(reason.contains("restricted_callback") && reason.contains("allocator"), "{reason}");
}

#[test]
fn a_trap_answers_503_and_the_next_request_finds_a_new_vm() {
    let module = module(
        "",
        r#"(global $served (mut i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (call $status (i32.const 77)) (i32.const 1))
        (func (export "proxy_on_log") (param i32) (call $status (i32.const 55)))
        (func $fail (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (global.set $served (i32.add (global.get $served) (i32.const 1)))
            (if (i32.eq (global.get $served) (i32.const 2)) (then unreachable))
            (i32.const 0))"#,
    );
    let plays = plays(&module, "{scenario: s, steps: [{times: 3}]}");
    let status = |index: usize| plays[index].client.as_ref().unwrap().start.clone();
    assert_eq!([status(0), status(1), status(2)], ["200", "503", "200"]);
    assert_eq!(plays[0].log, ["info: =55"]);
    assert!(plays[1].upstream.is_none());
    let failed = &plays[1].log;
    assert!(
        failed.len() == 1 && failed[0].contains("proxy_on_request_headers failed: wasm trap: wasm `unreachable`"),
        "{failed:?}"
    );
    assert_eq!(plays[2].log, ["info: =77", "info: =55"], "configured anew");
}

#[test]
fn an_endless_loop_ends_by_its_fuel() {
    let module = module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (loop $again (br $again)) (i32.const 0))"#,
    );
    let play = guests::play(&module, ONE);
    assert_eq!(play.client.unwrap().start, "503");
    assert!(play.log[0].contains("fuel"), "{:?}", play.log);
}

#[test]
fn bad_pointers_are_a_status_and_never_a_crash() {
    let module = module(
        r#"(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
           (import "env" "proxy_set_shared_data" (func $store (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $status (call $now (i32.const -4)))
            (call $status (call $log (i32.const 2) (i32.const -1) (i32.const -1)))
            (call $status (call $log (i32.const 6) (i32.const 0) (i32.const 0)))
            (call $status (call $store (i32.const 524287) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0)))
            (i32.const 0))"#,
    );
    assert_eq!(guests::play(&module, ONE).log, ["info: =06", "info: =06", "info: =02", "info: =06"]);
}
