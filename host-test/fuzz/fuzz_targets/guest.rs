//! No guest that Envoy would take breaks the host, whatever it calls and answers.
#![no_main]

use std::sync::LazyLock;

use host_test::{
    scenario::{self, Scenario},
    vm::{Limits, cache, run_bytes},
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use wasm_smith::{Config, Module};

/// Calls that a guest may choose to import, by the number of their arguments, all `i32`.
const CALLS: &[(&str, usize)] = &[
    ("proxy_log", 3),
    ("proxy_get_buffer_bytes", 5),
    ("proxy_set_buffer_bytes", 5),
    ("proxy_get_header_map_pairs", 3),
    ("proxy_set_header_map_pairs", 3),
    ("proxy_get_header_map_value", 5),
    ("proxy_add_header_map_value", 5),
    ("proxy_replace_header_map_value", 5),
    ("proxy_remove_header_map_value", 3),
    ("proxy_get_property", 4),
    ("proxy_set_property", 4),
    ("proxy_send_local_response", 8),
    ("proxy_continue_stream", 1),
    ("proxy_close_stream", 1),
    ("proxy_set_effective_context", 1),
    ("proxy_get_shared_data", 5),
    ("proxy_set_shared_data", 5),
    ("proxy_define_metric", 4),
    ("proxy_http_call", 10),
    ("proxy_enqueue_shared_queue", 3),
    ("proxy_dequeue_shared_queue", 3),
    ("proxy_register_shared_queue", 3),
    ("proxy_set_tick_period_milliseconds", 1),
    ("proxy_get_status", 3),
    ("proxy_done", 0),
    ("proxy_call_foreign_function", 6),
];

/// What a guest exports, with the number of its arguments and of its results, all `i32`.
const CALLBACKS: &[(&str, usize, usize)] = &[
    ("malloc", 1, 1),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_log", 1, 0),
];

fn numbers(arguments: usize, results: usize) -> String {
    format!("(param {}) (result {})", "i32 ".repeat(arguments), "i32 ".repeat(results))
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let imports: String = CALLS
        .iter()
        .map(|(name, count)| format!("(import \"env\" \"{name}\" (func {}))", numbers(*count, 1)))
        .collect();
    let exports: String = CALLBACKS
        .iter()
        .map(|(name, count, results)| format!("(func (export \"{name}\") {} unreachable)", numbers(*count, *results)))
        .collect();
    let exports =
        format!("(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\")) {exports})");
    Config {
        available_imports: Some(wat::parse_str(format!("(module {imports})")).unwrap()),
        exports: Some(wat::parse_str(exports).unwrap()),
        export_everything: false,
        max_memories: 0,
        memory64_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        ..Config::default()
    }
});

/// Streams that pass and stay open, callouts, ticks, and faults around it all.
static SCENARIO: LazyLock<Scenario> = LazyLock::new(|| {
    let text = "{scenario: a request, plugin: fuzzed, configuration: {a: 1},
        given: {clusters: {'': [{body: now}, {after: 1s}], a: [{trouble: reset_after_headers}]}},
        faults: [{allocation: {nth: 5}}, {call: {name: proxy_get_property, answers: internal_failure, nth: 2}}],
        steps: [
        {request: {body: [one, two], headers: {a: b}}, response: {body: three, trailers: {c: d}}, times: 2},
        {stream: open, request: {body: [one], more: true}},
        {pass: 5s, faults: [clock_stands]},
        {meanwhile: [vm_restarted, store_emptied, {clock_back: 1h}], request: {}},
        {stream: open, reset: client}]}";
    scenario::parse(text).unwrap()
});

fn play(bytes: &[u8]) -> Result<()> {
    let module = Module::new(CONFIG.clone(), &mut Unstructured::new(bytes))?;
    let limits = Limits { fuel: 100_000, memory: 16 << 20, ..Limits::default() };
    let _ = run_bytes(&module.to_bytes(), &SCENARIO, limits);
    Ok(())
}

libfuzzer_sys::fuzz_target!(init: cache::switch_off(), |bytes: &[u8]| {
    let _ = play(bytes);
});
