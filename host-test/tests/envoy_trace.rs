//! Every call that a guest makes, and what it is told: here as in Envoy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "guests/asks.rs"]
mod asks;

use std::{collections::BTreeSet, path::Path};

use host_test::{
    envoy::{find, replay, versions},
    outcome::Outcome,
    runner::trace,
    scenario::Scenario,
    vm::{self, Limits},
    world::trace::{Entry, Way},
};

/// Each scenario with what both hosts saw of it.
fn played(module: &Path, scenarios: &[&str]) -> Vec<(Scenario, Outcome, Outcome)> {
    let scenarios: Vec<Scenario> = scenarios
        .iter()
        .map(|yaml| {
            let mut scenario: Scenario = serde_saphyr::from_str(yaml).unwrap();
            scenario.plugin = "probe".into();
            scenario
        })
        .collect();
    let envoy = find(None, None).unwrap();
    let outcomes = replay::run(&envoy, &|_| Ok(module.to_path_buf()), &|_| None, &scenarios, true);
    let limits = Limits { trace: true, envoy: versions::minor(&envoy.version), ..Limits::default() };
    let played = scenarios.into_iter().zip(outcomes).map(|(scenario, envoy)| {
        let wasm = vm::run(&[module.to_path_buf()], &scenario, limits).unwrap();
        let envoy = envoy.unwrap();
        let plays: usize = scenario.steps.iter().map(|step| step.cuts().len()).sum();
        assert_eq!((wasm.traces.len(), envoy.traces.len()), (plays + 1, plays + 1), "the start, and each play");
        assert!(wasm.traces.iter().all(|trace| !trace.is_empty()), "{}", scenario.scenario);
        (scenario, wasm, envoy)
    });
    played.collect()
}

fn module(wat: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), wat::parse_str(wat).unwrap()).unwrap();
    file
}

const STEPS: &str = "
steps:
- request: {headers: [{x-a: '1'}, {x-a: ''}]}
- request: {method: POST, headers: {x-a: ''}, body: hello, trailers: {x-a: t}}
  response: {headers: {x-a: '3'}, body: [ab, cdef], trailers: {x-a: t}}
- request: {method: POST, body: [abc, def]}
  response: {status: 204}
- request: {method: HEAD, path: /a?b}
  response: {headers: {content-length: '5'}}
- request: {method: POST, body: ''}
  response: {status: 404, body: ''}
";

/// What each call was told in each callback: `callback: call: status`, with `+` where bytes came along.
fn told(traces: &[Vec<Entry>], calls: &[String]) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let (mut callback, mut next, mut bytes) = (String::new(), 0, false);
    for entry in traces.iter().flatten() {
        match entry.way {
            Way::Called if entry.name.starts_with('(') => bytes = true,
            Way::Called => (callback, next) = (entry.name.clone(), 0),
            Way::Asked => bytes = false,
            Way::Answered => {
                let status = entry.values[0].unwrap();
                // Envoy's trace doesn't show where the result of a foreign function is allocated.
                bytes &= !calls[next].starts_with("foreign ");
                told.push((
                    format!("{callback}: {}", calls[next]),
                    format!("{status}{}", if bytes { "+" } else { "" }),
                ));
                next += 1;
            }
            _ => {}
        }
    }
    told
}

/// What a guest is told otherwise than in Envoy.
fn told_otherwise(writes: bool) -> BTreeSet<String> {
    let (wat, calls) = asks::guest(writes);
    let file = module(&wat);
    let mut found = BTreeSet::new();
    for protocol in ["http1", "http2"] {
        let scenario = format!("scenario: s\ngiven: {{protocol: {protocol}, route: {{name: front}}}}\n{STEPS}");
        for (wasm, envoy) in played(file.path(), &[&scenario]).into_iter().map(|(_, wasm, envoy)| (wasm, envoy)) {
            for (wasm, envoy) in wasm.traces.iter().zip(&envoy.traces) {
                let (wasm, envoy) = ([wasm.clone()], [envoy.clone()]);
                let (wasm, envoy) = (told(&wasm, &calls), told(&envoy, &calls));
                for ((call, here), (other, there)) in wasm.into_iter().zip(envoy) {
                    if call == other && here != there {
                        found.insert(format!("{call}: envoy {there}, wasm {here}"));
                    }
                }
            }
        }
    }
    found
}

/// What isn't as in Envoy yet: `callback: call: statuses`, or `call: statuses` for every callback. A line
/// goes when it is mended; none comes. A line behind `#` tells why it stands.
const KNOWN: &str = include_str!("guests/asks.known");

fn told_as_in_envoy(writes: bool) {
    let found = told_otherwise(writes);
    let anywhere = |line: &str| line.split_once(": ").map(|(_, call)| call.to_owned()).unwrap_or_default();
    let known = |line: &&String| KNOWN.lines().any(|known| known == **line || known == anywhere(line));
    let unknown: Vec<&String> = found.iter().filter(|line| !known(line)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn a_guest_is_told_the_same_here_and_in_envoy() {
    told_as_in_envoy(false);
}

#[test]
fn what_a_guest_writes_is_taken_or_refused_here_as_in_envoy() {
    told_as_in_envoy(true);
}

#[test]
fn replies_and_traps_are_called_back_here_as_in_envoy() {
    let probe = module(include_str!("guests/probe.wat"));
    let scenario = "
scenario: replies and traps
steps:
- {}
- request: {path: /reply}
- reply: {status: 418, body: nope}
- every_split: true
  request: {method: POST, body: abc}
  response: {body: defg}
# Behind it Envoy makes no VM for a second.
- request: {path: /trap}
";
    for (scenario, wasm, envoy) in played(probe.path(), &[scenario]) {
        let found = trace::compare(&scenario, &wasm, &envoy);
        assert!(found.is_empty(), "{found:#?}");
    }
}
