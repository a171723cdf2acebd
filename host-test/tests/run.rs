//! `portcullis run` as a person or a build server calls it: what it says of a failure, and its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use host_test::{Module, outcome::Outcome};
use serde_json::Value;

const PASSES: &str = "tests/screens/greeter.yaml";
const FAILS: &str = "tests/screens/greeter-fails.yaml";

fn portcullis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().unwrap()
}

/// `run --host wasm` with more arguments: exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = portcullis(&[&["run", "--host", "wasm"], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What every format must tell of the failing scenario.
const TOLD: [&str; 6] = [
    "client x-greeting: expected `bonjour`, actual `hello`",
    "client: expected status 200, actual 503",
    "proxy_on_request_headers: wasm trap: wasm `unreachable` instruction executed (in rust_panic < greeter::route)",
    "error: panicked at src/lib.rs:31:18:",
    "index out of bounds: the len is 3 but the index is 7",
    "proxy_get_header_map_value(request headers, ",
];

#[test]
fn a_failure_is_told_with_its_trap_the_panics_text_and_the_calls_around_it() {
    let (code, text, _) = run(&[FAILS]);
    assert_eq!(code, 1);
    for told in TOLD {
        assert!(text.contains(told), "no {told:?} in {text}");
    }
    assert_eq!(
        text.matches("index out of bounds").count(),
        2,
        "with the trap and in its call, not in the log again: {text}"
    );
    assert!(text.ends_with("0 passed, 1 failed\n"), "{text}");
}

#[test]
fn json_holds_the_same_in_fields() {
    let (code, text, _) = run(&[FAILS, "--format", "json"]);
    assert_eq!(code, 1);
    let read: Value = serde_json::from_str(&text).unwrap();
    let failures = &read["reports"][0]["failures"];
    assert_eq!(failures[0]["what"][0], TOLD[0]);
    assert_eq!(failures[0]["traps"], Value::Array(Vec::new()));
    assert_eq!(failures[1]["what"][0], TOLD[1]);
    assert_eq!(failures[1]["traps"][0]["what"], TOLD[2]);
    assert_eq!(failures[1]["traps"][0]["said"][0], format!("{}\n{}", TOLD[3], TOLD[4]));
    let calls = failures[1]["calls"].as_array().unwrap();
    assert!(calls.iter().any(|call| call.as_str().unwrap().contains(TOLD[5])), "{calls:?}");
}

#[test]
fn junit_holds_the_same_in_each_failure() {
    let (code, text, _) = run(&[FAILS, "--format", "junit"]);
    assert_eq!(code, 1);
    for told in TOLD {
        let escaped = told.replace('<', "&lt;").replace('"', "&quot;");
        assert!(text.contains(&escaped), "no {escaped:?} in {text}");
    }
    assert!(text.contains("<failure message=\"client x-greeting: expected `bonjour`, actual `hello`\">"), "{text}");
}

#[test]
fn a_report_goes_to_a_file_and_its_sum_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let (code, text, _) = run(&[PASSES, "--format", "json", "--output", file.to_str().unwrap()]);
    assert_eq!((code, text.as_str()), (0, format!("1 passed, 0 failed ({})\n", file.display()).as_str()));
    let read: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(read["passed"], true);
}

#[test]
fn where_standard_error_is_no_terminal_there_is_no_line_of_progress() {
    let (code, text, error) = run(&[PASSES]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(text.ends_with("\n1 passed, 0 failed\n"), "{text}");
}

#[test]
fn reports_stand_in_the_order_of_the_files_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = folder.path().join("scenarios");
    fs::create_dir(&scenarios).unwrap();
    fs::copy("tests/screens/greeter.wat", scenarios.join("greeter.wat")).unwrap();
    for number in 0..24 {
        // The first take longest.
        let yaml = format!("scenario: number {number}\nmodule: greeter.wat\nsteps:\n- times: {}\n", (24 - number) * 8);
        fs::write(scenarios.join(format!("{number:02}.yaml")), yaml).unwrap();
    }
    let path = scenarios.to_str().unwrap();
    for _ in 0..3 {
        let (code, text, _) = run(&[path]);
        assert_eq!(code, 0, "{text}");
        let numbers = text.lines().filter_map(|line| line.split("number ").nth(1)?.split(' ').next()?.parse().ok());
        assert_eq!(numbers.collect::<Vec<u32>>(), (0..24).collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn a_filter_plays_what_it_names_and_answers_with_the_nearest_where_there_is_nothing() {
    let (code, text, _) = run(&[PASSES, FAILS, "--filter", "IN FRENCH"]);
    assert_eq!((code, text.lines().last()), (1, Some("0 passed, 1 failed")));
    let (code, text, error) = run(&[PASSES, FAILS, "--filter", "greter-fails"]);
    assert_eq!((code, text.as_str()), (2, ""));
    let nearest = format!("holds `greter-fails`; the nearest:\n  {FAILS} (Every response is greeted in French)\n");
    assert!(error.contains(&nearest), "{error}");
}

#[test]
fn what_can_not_be_played_at_all_is_no_failure_but_ends_with_2() {
    let nothing = tempfile::tempdir().unwrap();
    let nothing = nothing.path().to_str().unwrap();
    for arguments in [&[nothing][..], &["tests/screens/absent.yaml"], &["tests/run.rs"], &[PASSES, "--plays", "0"]] {
        let (code, text, error) = run(arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    }
    assert_eq!(portcullis(&["run", "--host", "nginx"]).status.code(), Some(2));
}

#[test]
fn who_reads_only_the_beginning_gets_it_without_a_panic() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["inspect", "tests/screens/greeter.wat"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_panics_text_that_a_hook_logs_stands_with_its_trap_as_well() {
    let scenario = "{scenario: s, steps: [{request: {path: /log-panic}, expect: {client: {status: 200}}}]}";
    let module = Module::read("tests/screens/greeter.wat").unwrap();
    let told = format!("{:?}", module.passes(scenario).unwrap_err());
    assert!(
        told.contains("\n          critical: panicked at src/lib.rs:31:18:\n          index out of bounds"),
        "{told}"
    );
}

#[test]
fn a_trap_while_the_configuration_is_read_is_told_with_the_panics_text() {
    let module = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "panicked at src/config.rs:3:9")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func $parse (drop (call $log (i32.const 5) (i32.const 8) (i32.const 29))) unreachable)
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $parse) (i32.const 1)))"#;
    let module = Module::of("strict", module.as_bytes()).unwrap();
    let told = module.passes("{scenario: s, steps: [{}]}").unwrap_err().to_string();
    for line in [
        "configuration: expected to be taken, was refused",
        "critical: panicked at src/config.rs:3:9",
        "proxy_on_configure failed: wasm trap",
        "(in parse",
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    assert_eq!(told.matches("panicked").count(), 1, "{told}");
}

#[test]
fn a_module_of_ones_own_plays_alone_and_in_the_version_that_is_asked_for() {
    let module = Module::read("tests/screens/greeter.wat").unwrap();
    let seen: Outcome = module.passes("{scenario: s, steps: [{}]}").unwrap();
    assert_eq!(seen.plays.len(), 1);
    for (yaml, said) in [
        ("{scenario: s, module: a.wat, steps: [{}]}", "tested alone"),
        ("{scenario: s, before: [{module: a.wat}], steps: [{}]}", "tested alone"),
        ("{scenario: s, envoy: {until: '1.39'}, steps: [{}]}", "holds until Envoy 1.39; choose another version"),
        ("{scenario: s}", "would show nothing"),
    ] {
        let error = module.passes(yaml).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let older = module.as_in("1.39");
    assert!(older.passes("{scenario: s, envoy: {until: '1.39'}, steps: [{}]}").is_ok());
    assert!(Module::of("none", b"nothing").is_err() && Module::read("tests/run.rs").is_err());
}

#[test]
fn every_scenario_of_a_folder_is_played_and_all_that_fail_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let greeted = |name: &str, greeting: &str| {
        let expect = format!("expect: {{client: {{headers: {{x-greeting: {greeting}}}}}}}");
        fs::write(folder.path().join(name), format!("{{scenario: {greeting}, steps: [{{{expect}}}]}}")).unwrap();
    };
    let module = Module::read("tests/screens/greeter.wat").unwrap();
    assert!(module.passes_all(folder.path()).is_err(), "nothing is no success");
    greeted("a.yaml", "hello");
    assert_eq!(module.passes_all(folder.path()).unwrap(), 1);
    greeted("b.yaml", "bonjour");
    greeted("c.yaml", "hallo");
    let told = module.passes_all(folder.path()).unwrap_err().to_string();
    assert!(told.contains("b.yaml") && told.contains("c.yaml") && !told.contains("a.yaml"), "{told}");
}

#[test]
fn a_version_that_is_none_is_refused_where_no_envoy_plays_too() {
    let (code, _, error) = run(&[PASSES, "--envoy", "nonsense"]);
    assert!(code == 2 && error.contains("`nonsense` is neither a version of Envoy"), "{code} {error}");
    assert_eq!(run(&[PASSES, "--envoy", "1.38"]).0, 0);
}

#[test]
fn a_scenario_for_modules_alone_says_so_on_the_host_of_components() {
    let output = portcullis(&["run", PASSES, "--host", "component"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("1 scenario found, and none is played on `component`") && error.contains("--host wasm"),
        "{error}"
    );
}
