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
    assert_eq!(outcome(&starting, ONE).startup_log, ["info: =00"; 3]);
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
