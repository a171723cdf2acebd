//! Laws for any module: guests that break one are found, with what breaks it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use guests::{GET, module, scenario};
use host_test::{
    runner::{
        Verdict,
        invariant::{Invariant, Traffic, hold},
    },
    scenario::Step,
};

const SCENARIO: &str = "
scenario: s
steps:
- request: {method: POST, headers: {accept: a, x-a: b}, body: hello}
  response: {headers: {x-b: c}, body: [world, wide]}
";

/// The verdict of a law on a guest.
fn verdict(invariant: Invariant, wat: &[u8], yaml: &str, seed: u64) -> Verdict {
    let module = wat::parse_bytes(wat).unwrap().into_owned();
    hold(invariant, &scenario(yaml), Ok(vec![module]), Traffic { seed, plays: 300 }).verdict
}

/// What is said of the one failure.
fn failure(verdict: Verdict) -> (String, Vec<String>) {
    let Verdict::Failed(failures) = verdict else { panic!("the law holds: {verdict:?}") };
    assert_eq!(failures.len(), 1, "{failures:?}");
    (failures[0].place.clone(), failures[0].what.clone())
}

fn trapping_at(condition: &str) -> Vec<u8> {
    let body = format!(
        r#"(data (i32.const 100) "x-a")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (if (i32.eqz (call $get (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 50000) (i32.const 50004)))
                (then (if {condition} (then unreachable))))
            (i32.const 0))"#
    );
    module(GET, &body)
}

/// The first byte of `x-a`, where there is one.
const FIRST_BYTE: &str = "(i32.and (i32.gt_u (i32.load (i32.const 50004)) (i32.const 0)) (i32.gt_u (i32.load8_u (i32.load (i32.const 50000))) (i32.const 127)))";

#[test]
fn a_trap_is_shown_with_the_smallest_message_that_brings_it() {
    for seed in 1..4 {
        let (place, what) = failure(verdict(Invariant::NoTrap, &trapping_at(FIRST_BYTE), SCENARIO, seed));
        assert!(place.contains(&format!("--seed {seed}")), "{place}");
        assert!(what[0].contains("proxy_on_request_headers"), "{what:?}");
        let (told, yaml) = what[1].split_once('\n').unwrap();
        assert!(told.contains("alone"), "{told}");
        let steps: Vec<Step> = serde_saphyr::from_str(yaml).unwrap();
        let lines = &steps[0].request().headers.0;
        assert_eq!((lines.len(), lines[0].0.as_str(), lines[0].1.0.len()), (1, "x-a", 1), "{yaml}");
        assert!(lines[0].1.0[0] >= 0x80 && steps[0].response.is_none() && steps[0].request().body.is_none(), "{yaml}");
    }
}

#[test]
fn a_trap_that_needs_a_history_is_shown_as_such() {
    let body = r#"(global $count (mut i32) (i32.const 0))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (if (i32.eq (global.get $count) (i32.const 9)) (then unreachable))
            (i32.const 0))"#;
    let (place, what) = failure(verdict(Invariant::NoTrap, &module("", body), SCENARIO, 1));
    assert!(place.starts_with("message 9 of 300") && what[1].starts_with("only behind"), "{place} {what:?}");
}

#[test]
fn a_filter_that_works_by_the_chunk_is_found_with_the_split() {
    let imports = r#"(import "env" "proxy_set_buffer_bytes" (func $write (param i32 i32 i32 i32 i32) (result i32)))"#;
    let body = r#"(data (i32.const 100) "x")
        (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 100) (i32.const 1)))
            (i32.const 0))"#;
    let (place, what) = failure(verdict(Invariant::Chunking, &module(imports, body), SCENARIO, 1));
    assert_eq!(place, "step 1, bodies cut at every byte");
    assert_eq!(what, ["client body: unsplit `xxx`, split `xxxxxxxxxx`"]);
}

#[test]
fn laws_hold_for_a_filter_that_passes_all() {
    let innocent = module("", "");
    for invariant in [Invariant::Chunking, Invariant::NoTrap] {
        assert_eq!(verdict(invariant, &innocent, SCENARIO, 1), Verdict::Passed);
    }
    let bodiless = verdict(Invariant::Chunking, &innocent, "{scenario: s, steps: [{}]}", 1);
    assert!(matches!(bodiless, Verdict::Skipped(_)), "nothing to cut: {bodiless:?}");
}
