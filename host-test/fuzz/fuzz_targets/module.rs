//! No bytes that are given as a module break the host.
#![no_main]

use host_test::{
    scenario,
    vm::{Limits, cache, run_bytes},
};

libfuzzer_sys::fuzz_target!(init: cache::switch_off(), |bytes: &[u8]| {
    let scenario = scenario::parse("{scenario: a request, plugin: fuzzed, steps: [{}]}").unwrap();
    let limits = Limits { fuel: 100_000, memory: 1 << 20, ..Limits::default() };
    let _ = run_bytes(bytes, &scenario, limits);
});
