//! What a module can import: all that Envoy 1.40 registers for 0.2.x, with its types, and no more. The
//! tables are what Envoy answered when each was imported with a wrong type.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use std::fmt::Write as _;

use guests::{ONE, outcome};

/// `arguments:results`, `i` for 32 bits, `I` for 64.
const ENV: &[(&str, &str)] = &[
    ("emscripten_notify_memory_growth", "i:"),
    ("envoy_resolve_dns", "iii:i"),
    ("proxy_add_header_map_value", "iiiii:i"),
    ("proxy_call_foreign_function", "iiiiii:i"),
    ("proxy_close_stream", "i:i"),
    ("proxy_continue_stream", "i:i"),
    ("proxy_define_metric", "iiii:i"),
    ("proxy_dequeue_shared_queue", "iii:i"),
    ("proxy_done", ":i"),
    ("proxy_enqueue_shared_queue", "iii:i"),
    ("proxy_get_buffer_bytes", "iiiii:i"),
    ("proxy_get_buffer_status", "iii:i"),
    ("proxy_get_current_time_nanoseconds", "i:i"),
    ("proxy_get_header_map_pairs", "iii:i"),
    ("proxy_get_header_map_size", "ii:i"),
    ("proxy_get_header_map_value", "iiiii:i"),
    ("proxy_get_log_level", "i:i"),
    ("proxy_get_metric", "ii:i"),
    ("proxy_get_property", "iiii:i"),
    ("proxy_get_shared_data", "iiiii:i"),
    ("proxy_get_status", "iii:i"),
    ("proxy_grpc_call", "iiiiiiiiiiii:i"),
    ("proxy_grpc_cancel", "i:i"),
    ("proxy_grpc_close", "i:i"),
    ("proxy_grpc_send", "iiii:i"),
    ("proxy_grpc_stream", "iiiiiiiii:i"),
    ("proxy_http_call", "iiiiiiiiii:i"),
    ("proxy_increment_metric", "iI:i"),
    ("proxy_log", "iii:i"),
    ("proxy_record_metric", "iI:i"),
    ("proxy_register_shared_queue", "iii:i"),
    ("proxy_remove_header_map_value", "iii:i"),
    ("proxy_replace_header_map_value", "iiiii:i"),
    ("proxy_resolve_shared_queue", "iiiii:i"),
    ("proxy_send_local_response", "iiiiiiii:i"),
    ("proxy_set_buffer_bytes", "iiiii:i"),
    ("proxy_set_effective_context", "i:i"),
    ("proxy_set_header_map_pairs", "iii:i"),
    ("proxy_set_property", "iiii:i"),
    ("proxy_set_shared_data", "iiiii:i"),
    ("proxy_set_tick_period_milliseconds", "i:i"),
    ("pthread_equal", "ii:i"),
];

/// Under both names of the module.
const WASI: &[(&str, &str)] = &[
    ("args_get", "ii:i"),
    ("args_sizes_get", "ii:i"),
    ("clock_res_get", "ii:i"),
    ("clock_time_get", "iIi:i"),
    ("environ_get", "ii:i"),
    ("environ_sizes_get", "ii:i"),
    ("fd_advise", "iIIi:i"),
    ("fd_allocate", "iII:i"),
    ("fd_close", "i:i"),
    ("fd_datasync", "i:i"),
    ("fd_fdstat_get", "ii:i"),
    ("fd_fdstat_set_flags", "ii:i"),
    ("fd_fdstat_set_rights", "iII:i"),
    ("fd_filestat_get", "ii:i"),
    ("fd_filestat_set_size", "iI:i"),
    ("fd_filestat_set_times", "iIIi:i"),
    ("fd_pread", "iiiIi:i"),
    ("fd_prestat_dir_name", "iii:i"),
    ("fd_prestat_get", "ii:i"),
    ("fd_pwrite", "iiiIi:i"),
    ("fd_read", "iiii:i"),
    ("fd_readdir", "iiiIi:i"),
    ("fd_renumber", "ii:i"),
    ("fd_seek", "iIii:i"),
    ("fd_sync", "i:i"),
    ("fd_tell", "ii:i"),
    ("fd_write", "iiii:i"),
    ("path_create_directory", "iii:i"),
    ("path_filestat_get", "iiiii:i"),
    ("path_filestat_set_times", "iiiiIIi:i"),
    ("path_link", "iiiiii:i"),
    ("path_open", "iiiiiIIii:i"),
    ("path_readlink", "iiiiii:i"),
    ("path_remove_directory", "iii:i"),
    ("path_rename", "iiiiii:i"),
    ("path_symlink", "iiii:i"),
    ("path_unlink_file", "iii:i"),
    ("poll_oneoff", "iiii:i"),
    ("proc_exit", "i:"),
    ("random_get", "ii:i"),
    ("sched_yield", ":i"),
    ("sock_accept", "iii:i"),
    ("sock_recv", "iiiiii:i"),
    ("sock_send", "iiiii:i"),
    ("sock_shutdown", "ii:i"),
];

const WASI_NAMES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Calls of ABI 0.1.0, of later drafts, of other hosts and of other tool chains.
const NOT_THERE: &[(&str, &str)] = &[
    ("env", "proxy_get_configuration"),
    ("env", "proxy_continue_request"),
    ("env", "proxy_continue_response"),
    ("env", "proxy_clear_route_cache"),
    ("env", "proxy_set_log_level"),
    ("env", "abort"),
    ("env", "__cxa_throw"),
    ("wasi", "fd_write"),
    ("wasi_snapshot_preview1", "proc_raise"),
    ("wasi_snapshot_preview1", "thread_spawn"),
];

fn list(word: &str, kinds: &str) -> String {
    let kinds: Vec<&str> = kinds.chars().map(|kind| if kind == 'I' { "i64" } else { "i32" }).collect();
    if kinds.is_empty() { String::new() } else { format!("({word} {})", kinds.join(" ")) }
}

fn import(module: &str, name: &str, kind: &str) -> String {
    let (arguments, results) = kind.split_once(':').unwrap();
    format!(r#"(import "{module}" "{name}" (func {}{}))"#, list("param", arguments), list("result", results))
}

fn module(mark: &str, imports: &str) -> Vec<u8> {
    format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (func (export "{mark}"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#
    )
    .into_bytes()
}

const MARK: &str = "proxy_abi_version_0_2_1";

fn all() -> Vec<(&'static str, &'static str, &'static str)> {
    let env = ENV.iter().map(|(name, kind)| ("env", *name, *kind));
    let wasi = WASI_NAMES.iter().flat_map(|module| WASI.iter().map(move |(name, kind)| (*module, *name, *kind)));
    env.chain(wasi).collect()
}

#[test]
fn everything_that_envoy_offers_links_with_its_types() {
    let imports = all().iter().fold(String::new(), |mut text, (module, name, kind)| {
        let _ = write!(text, "{}", import(module, name, kind));
        text
    });
    assert_eq!(outcome(&module(MARK, &imports), ONE).refused, None);
}

#[test]
fn another_type_of_a_call_is_refused_with_both_types() {
    for (from, name, kind) in all() {
        let reason = outcome(&module(MARK, &import(from, name, &format!("I{kind}"))), ONE).refused.unwrap();
        let words = |kinds: &str| {
            let words: Vec<&str> = kinds.chars().map(|kind| if kind == 'I' { "i64" } else { "i32" }).collect();
            if words.is_empty() { "void".to_owned() } else { words.join(" ") }
        };
        let (arguments, results) = kind.split_once(':').unwrap();
        let (arguments, results, wrong) = (words(arguments), words(results), words(&format!("I{arguments}")));
        let expected = format!(
            "Failed to load Wasm module due to an import type mismatch: {from}.{name}, want: {wrong} -> {results}, \
             but host exports: {arguments} -> {results}"
        );
        assert!(reason.contains(&expected), "{reason}");
    }
}

#[test]
fn what_envoy_does_not_offer_is_missing() {
    for (from, name) in NOT_THERE {
        let reason = outcome(&module(MARK, &import(from, name, ":")), ONE).refused.unwrap();
        let expected = format!("Failed to load Wasm module due to a missing import: {from}.{name}");
        assert!(reason.contains(&expected), "{reason}");
    }
}

#[test]
fn a_module_of_0_2_0_has_no_log_level_to_ask_for() {
    let import = import("env", "proxy_get_log_level", "i:i");
    let reason = outcome(&module("proxy_abi_version_0_2_0", &import), ONE).refused.unwrap();
    assert!(reason.contains("missing import: env.proxy_get_log_level"), "{reason}");
    assert_eq!(outcome(&module(MARK, &import), ONE).refused, None);
}

#[test]
fn a_memory_and_a_table_may_be_imported_under_any_name_and_a_global_may_not() {
    let say = r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;
    let rest = format!(
        r#"(data (i32.const 8) "hi") (func (export "{MARK}"))
           (func (export "malloc") (param i32) (result i32) (i32.const 1024))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (i32.eqz (call $log (i32.const 2) (i32.const 8) (i32.const 2))))"#
    );
    let module = |imports: &str| format!("(module {say} {imports} {rest})").into_bytes();
    let both = module(r#"(import "a" "b" (memory 1)) (import "c" "d" (table 1 funcref))"#);
    assert_eq!(outcome(&both, ONE).startup_log, ["info: hi"; 3], "each VM has a memory of its own");
    let two =
        module(r#"(import "a" "b" (table 1 funcref)) (import "c" "d" (table 1 funcref)) (memory (export "m") 1)"#);
    assert!(outcome(&two, ONE).refused.unwrap().contains("SIGSEGV"));
    let global = module(r#"(import "env" "g" (global i32)) (memory (export "memory") 1)"#);
    assert!(outcome(&global, ONE).refused.unwrap().contains("missing import: env.g"));
}
