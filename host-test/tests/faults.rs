//! Each fault finds the guest that has the weakness it looks for. A guest stands in `guests/faults` with
//! a careless callback and a mended one: without the fault nobody can tell them apart, with it the
//! scenario fails on the careless one and says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use std::path::PathBuf;

use guests::{STORE, module};
use host_test::{
    outcome::Outcome,
    runner::{
        self, Artifacts, Verdict, check,
        invariant::{Invariant, Traffic, hold},
    },
    scenario::{self, Bounds, Filter, HostKind, Scenario},
    vm::{Limits, run_bytes},
};

fn scenario(yaml: &str) -> Scenario {
    Scenario { plugin: "guest".into(), ..scenario::parse(yaml).unwrap() }
}

fn played(guest: &[u8], scenario: &Scenario) -> Outcome {
    run_bytes(&wat::parse_bytes(guest).unwrap(), scenario, Limits::default())
}

/// What a scenario says of a guest; nothing where it passes.
fn failures(guest: &[u8], scenario: &Scenario) -> Vec<String> {
    let told = check::scenario(scenario, &played(guest, scenario)).into_iter();
    told.flat_map(|failure| failure.what.into_iter().map(move |what| format!("{}: {what}", failure.place))).collect()
}

/// The scenario without what goes wrong in it.
fn unharmed(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.faults.clear();
    scenario.given.limits = Bounds::default();
    for step in &mut scenario.steps {
        step.faults.clear();
        step.meanwhile.clear();
    }
    scenario
}

/// What the clients see.
fn seen(guest: &[u8], scenario: &Scenario) -> Vec<Option<(String, Vec<u8>)>> {
    let plays = played(guest, scenario).plays.into_iter();
    plays.map(|play| play.client.map(|client| (client.start, client.body))).collect()
}

/// The careless guest fails the scenario, with exactly this to be read; the mended one passes; and
/// without the fault both do the same.
fn finds(guest: &str, yaml: &str, told: &[&str]) {
    let (careless, mended) = (guest, guest.replace("(func $careless))", "(func $mended))"));
    assert_ne!(careless, mended, "the guest has both");
    let scenario = scenario(yaml);
    assert_eq!(failures(careless.as_bytes(), &scenario), told);
    assert_eq!(failures(mended.as_bytes(), &scenario), Vec::<String>::new());
    let unharmed = unharmed(&scenario);
    assert_eq!(seen(careless.as_bytes(), &unharmed), seen(mended.as_bytes(), &unharmed));
}

#[test]
fn a_status_that_is_unwrapped_is_found_by_a_call_that_fails() {
    finds(
        include_str!("guests/faults/status.wat"),
        "
scenario: Without the route's name a request goes on
given: {route: {name: web}}
faults: [{call: {name: proxy_get_property, answers: internal_failure, nth: 2, when: configured}}]
steps:
- expect: {client: {status: 200}, upstream: {headers: {x-route: web}}}
- expect: {client: {status: 200}, upstream: {headers: {x-route: null}}}
",
        &["step 2: client: expected status 200, actual 503", "step 2: upstream: expected a request, was not reached"],
    );
}

#[test]
fn a_lost_write_is_found_by_another_writer() {
    finds(
        include_str!("guests/faults/race.wat"),
        "
scenario: Whoever writes meanwhile, the fourth request is refused
steps:
- name: another VM lets two through meanwhile
  faults: [{race: {key: count, value: '2', nth: 1}}]
  expect: {client: {status: 200}}
- expect: {client: {status: 429}}
",
        &["step 2: client: expected status 429, actual 200"],
    );
}

#[test]
fn a_filter_that_takes_a_missing_key_for_consent_is_found_by_a_key_that_is_lost_and_by_an_empty_store() {
    for mishap in ["{key_lost: state}", "store_emptied"] {
        let yaml = format!(
            "
scenario: Closed stays closed
steps:
- expect: {{client: {{status: 403}}}}
- meanwhile: [{mishap}]
  expect: {{client: {{status: 403}}}}
"
        );
        let told = ["step 2: client: expected status 403, actual 200"];
        finds(include_str!("guests/faults/missing.wat"), &yaml, &told);
    }
}

#[test]
fn a_stale_pointer_is_found_by_an_allocation_that_fails() {
    finds(
        include_str!("guests/faults/allocation.wat"),
        "
scenario: A request whose key can't be read is refused
steps:
- {request: {headers: {x-key: known}}, expect: {client: {status: 200}}}
- {request: {headers: {x-key: other}}, faults: [{allocation: {nth: 1}}], expect: {client: {status: 403}}}
",
        &["step 2: client: expected status 403, actual 200"],
    );
}

#[test]
fn a_division_by_the_time_that_passed_is_found_by_a_clock_that_stands() {
    finds(
        include_str!("guests/faults/stands.wat"),
        "
scenario: One request a second is no flood
faults: [clock_stands]
steps:
- {pass: 1s, request: {}, expect: {client: {status: 200}}}
",
        &["step 1: client: expected status 200, actual 503"],
    );
}

#[test]
fn a_time_below_nothing_is_found_by_a_clock_that_steps_back() {
    finds(
        include_str!("guests/faults/back.wat"),
        "
scenario: A second request at once is one too many, whatever the clock does
steps:
- expect: {client: {status: 200}}
- expect: {client: {status: 429}}
- {meanwhile: [{clock_back: 10s}], expect: {client: {status: 429}}}
",
        &["step 3: client: expected status 429, actual 200"],
    );
}

#[test]
fn a_limiter_that_counts_in_its_own_memory_is_found_by_a_restart() {
    finds(
        include_str!("guests/faults/restart.wat"),
        "
scenario: What was spent stays spent
steps:
- expect: {client: {status: 200}}
- expect: {client: {status: 429}}
- {meanwhile: [vm_restarted], expect: {client: {status: 429}}}
",
        &["step 3: client: expected status 429, actual 200"],
    );
}

#[test]
fn a_cache_without_an_end_is_found_by_a_limit_of_memory() {
    finds(
        include_str!("guests/faults/memory.wat"),
        "
scenario: Many requests fit into little memory
given: {limits: {memory: 262144}}
steps:
- {times: 2, expect: {client: {status: 200}}}
- {expect: {client: {status: 200}}}
",
        &["step 2: client: expected status 200, actual 503"],
    );
}

#[test]
fn work_that_grows_with_the_square_of_a_request_is_found_by_a_limit_of_fuel() {
    finds(
        include_str!("guests/faults/fuel.wat"),
        "
scenario: A long list is as cheap as a few short ones
given: {limits: {fuel: 100000}}
steps:
- {request: {headers: {x-list: abcd}}, expect: {client: {status: 200}}}
- {request: {headers: {x-list: {repeat: ab, times: 500}}}, expect: {client: {status: 200}}}
",
        &["step 2: client: expected status 200, actual 503"],
    );
}

#[test]
fn a_count_that_only_an_answer_brings_back_is_found_by_a_client_that_leaves() {
    let yaml = "
scenario: Who has left is counted no more
steps:
- {stream: first, request: {}, expect: {upstream: {reached: true}}}
- {stream: first, reset: client}
- {expect: {client: {status: 200}}}
";
    let guest = include_str!("guests/faults/reset.wat");
    let mended = guest.replace("(func $careless))", "(func $mended))");
    assert_eq!(failures(guest.as_bytes(), &scenario(yaml)), ["step 3: client: expected status 200, actual 503"]);
    assert_eq!(failures(mended.as_bytes(), &scenario(yaml)), Vec::<String>::new());
}

/// Logs what the store answers to a read of `a`, and to a write of it under the number 1.
fn reader() -> Vec<u8> {
    let body = r#"(data (i32.const 100) "a") (data (i32.const 110) "own")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $status (call $load (i32.const 100) (i32.const 1) (i32.const 50000) (i32.const 50004) (i32.const 50008)))
            (call $status (call $store (i32.const 100) (i32.const 1) (i32.const 110) (i32.const 3) (i32.load (i32.const 50008))))
            (call $status (call $load (i32.const 100) (i32.const 1) (i32.const 50000) (i32.const 50004) (i32.const 50008)))
            (call $given)
            (i32.const 0))"#;
    module(STORE, body)
}

#[test]
fn who_loses_a_race_is_told_and_reads_what_the_other_wrote() {
    let yaml = "
scenario: s
steps:
- {meanwhile: [{key_written: {key: a, value: one}}], faults: [{race: {key: a, value: other, nth: 1}}],
   expect: {log: ['info: =00', 'info: =08', 'info: other']}}
- {expect: {log: ['info: =00', 'info: own']}}
";
    assert_eq!(failures(&reader(), &scenario(yaml)), Vec::<String>::new());
}

#[test]
fn a_call_that_fails_does_no_work_and_writes_nothing() {
    let yaml = "
scenario: s
steps:
- {faults: [{call: {name: proxy_set_shared_data, answers: unimplemented}}, {call: {name: proxy_get_shared_data, answers: broken_connection, nth: 2}}],
   expect: {log: ['info: =01', 'info: =12', 'info: =11', 'info: ']}}
- {expect: {log: ['info: =01', 'info: =00']}}
";
    assert_eq!(failures(&reader(), &scenario(yaml)), Vec::<String>::new());
}

#[test]
fn a_fault_while_the_filter_starts_can_make_it_refuse_its_configuration() {
    let imports = r#"(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))"#;
    let body = r#"(data (i32.const 100) "count")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (i32.eqz (call $define (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 200))))"#;
    let of = |when: &str| {
        let fault = format!("{{call: {{name: proxy_define_metric, answers: internal_failure, when: {when}}}}}");
        failures(&module(imports, body), &scenario(&format!("{{scenario: s, faults: [{fault}], steps: [{{}}]}}")))
    };
    assert_eq!(
        of("starting"),
        [
            ": configuration: expected to be taken, was refused: Unable to create Wasm plugin: proxy_on_configure answered false"
        ]
    );
    assert_eq!(
        of("configured"),
        [
            ": the fault `call` never came to pass: no VM had more than 0 calls of `proxy_define_metric` while it was in force"
        ]
    );
}

#[test]
fn a_fault_that_never_comes_to_pass_fails_the_scenario() {
    let yaml = "
scenario: s
steps:
- {meanwhile: [{key_lost: b}, store_emptied], faults: [{race: {key: a, value: x, nth: 3}}]}
";
    assert_eq!(
        failures(&reader(), &scenario(yaml)),
        [
            "step 1: meanwhile: the key `b` can't be lost, the store doesn't hold it",
            "step 1: meanwhile: the store can't be emptied, it holds nothing",
            "step 1: the fault `race` has `nth: 3` and never came to pass: no VM had more than 2 reads of the key `a` while it was in force",
        ]
    );
}

#[test]
fn a_restart_under_an_open_stream_is_a_stranger_to_it() {
    let yaml = "
scenario: s
steps:
- {stream: open, request: {}}
- {stream: open, meanwhile: [vm_restarted], response: {}, expect: {client: {status: 503}}}
- {expect: {client: {status: 200}}}
";
    let guest =
        module("", r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#);
    assert_eq!(failures(&guest, &scenario(yaml)), Vec::<String>::new());
}

#[test]
fn wasi_tells_the_same_times_but_that_a_monotonic_clock_never_steps_back() {
    let imports = r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))"#;
    // How many seconds each of the three moved since the last request, by a digit; `0` stands for none, `/` for one back.
    let body = r#"
        (func $told (param $place i32)
            (i32.store8 (i32.add (i32.const 200) (local.get $place))
                (i32.add (i32.const 48) (i32.wrap_i64 (i64.div_s
                    (i64.sub (i64.load (i32.const 300)) (i64.load (i32.add (i32.const 400) (i32.mul (local.get $place) (i32.const 8)))))
                    (i64.const 1000000000)))))
            (i64.store (i32.add (i32.const 400) (i32.mul (local.get $place) (i32.const 8))) (i64.load (i32.const 300))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $time (i32.const 300))) (call $told (i32.const 0))
            (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 300))) (call $told (i32.const 1))
            (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 300))) (call $told (i32.const 2))
            (drop (call $log (i32.const 2) (i32.const 200) (i32.const 3)))
            (i32.const 0))"#;
    let yaml = "
scenario: s
steps:
- {}
- {pass: 2s, request: {}, expect: {log: ['info: 222']}}
- {meanwhile: [{clock_back: 1s}], expect: {log: ['info: //0']}}
- {pass: 3s, request: {}, faults: [clock_stands], expect: {log: ['info: 000']}}
- {pass: 1s, request: {}, expect: {log: ['info: 444']}}
";
    assert_eq!(failures(&module(imports, body), &scenario(yaml)), Vec::<String>::new());
}

struct NoArtifacts;

impl Artifacts for NoArtifacts {
    fn module(&self, _: &Filter) -> anyhow::Result<PathBuf> {
        panic!("the scenario isn't played")
    }

    fn component(&self, _: &Filter) -> anyhow::Result<PathBuf> {
        panic!("the scenario isn't played")
    }
}

#[test]
fn envoy_and_components_do_not_play_what_they_cannot_have_and_the_report_says_so() {
    let scenario = scenario("{scenario: s, steps: [{faults: [{race: {key: k, value: v}}]}]}");
    let hosts = [HostKind::Component, HostKind::Envoy];
    let reports = runner::run(&[scenario], &hosts, &NoArtifacts, None, Limits::default());
    let verdicts: Vec<Verdict> = reports.into_iter().map(|report| report.verdict).collect();
    assert_eq!(
        verdicts,
        [
            "a component makes no calls by name, so the fault `race` isn't played",
            "Envoy can't be made to have the fault `race`",
        ]
        .map(|reason| Verdict::Skipped(reason.into()))
    );
}

#[test]
fn faults_of_the_whole_scenario_are_in_force_under_a_law() {
    let yaml = "
scenario: s
faults: [{call: {name: proxy_get_property, answers: internal_failure}}]
steps: [{request: {body: two}}]
";
    let module = wat::parse_str(include_str!("guests/faults/status.wat")).unwrap();
    let held = |law| hold(law, &scenario(yaml), Ok(vec![module.clone()]), Traffic { seed: 1, plays: 3 }).verdict;
    assert!(matches!(held(Invariant::NoTrap), Verdict::Failed(_)));
    let counting = yaml.replace("internal_failure", "internal_failure, nth: 1");
    let chunking = hold(Invariant::Chunking, &scenario(&counting), Ok(vec![module.clone()]), Traffic::default());
    assert!(matches!(chunking.verdict, Verdict::Skipped(_)));
}
