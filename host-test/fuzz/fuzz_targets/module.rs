//! No bytes that are given as a module break the host: any bytes, and a module of which some are others.
#![no_main]

use std::sync::LazyLock;

use host_test::{
    scenario,
    vm::{Limits, cache, run_bytes},
};

/// Has a section of each kind that a module of a filter has.
const WHOLE: &str = include_str!("../../tests/guests/probe.wat");

static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| wat::parse_str(WHOLE).unwrap());

/// Each three bytes put one at a place; an odd first byte means that all of them are the module.
fn module(bytes: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = bytes.split_first().filter(|(first, _)| *first % 2 == 0) else { return bytes.to_vec() };
    let mut module = MODULE.clone();
    for change in rest.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % module.len();
        module[place] = change[2];
    }
    if *first == 2 {
        module.truncate(rest.len());
    }
    module
}

libfuzzer_sys::fuzz_target!(init: cache::switch_off(), |bytes: &[u8]| {
    let scenario = scenario::parse("{scenario: a request, plugin: fuzzed, steps: [{}]}").unwrap();
    let limits = Limits { fuel: 100_000, memory: 1 << 20, ..Limits::default() };
    let _ = run_bytes(&module(bytes), &scenario, limits);
});
