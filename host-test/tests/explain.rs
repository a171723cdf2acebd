//! `portcullis explain`: what a story holds beside the screen in the README.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

/// The exit code, and both outputs.
fn explain(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("explain").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_body_is_told_as_the_callback_finds_it_and_as_it_leaves_it() {
    let (code, story) = explain(&["scenarios/buffers-write-end.yaml"]);
    assert_eq!(code, 0, "{story}");
    let lines: Vec<&str> = story.lines().map(str::trim).collect();
    let found = lines.iter().position(|line| line.ends_with("(context 2, 5 bytes, goes on) ← \"hello\"")).unwrap();
    let left = lines[found..].iter().find(|line| line.starts_with("→ continue")).unwrap();
    assert!(left.ends_with(" fuel, leaves \"helloabcd\""), "{left}");
    // A body that stays as it was isn't told again.
    let rest = lines[found..].iter().filter(|line| line.contains("leaves")).count();
    assert_eq!(rest, 1, "{story}");
}

#[test]
fn a_story_is_told_as_the_version_does_it_that_is_asked_for() {
    let scenario = "scenarios/foreign-sign-before.yaml";
    let (code, story) = explain(&[scenario, "--envoy", "1.40"]);
    assert_eq!(code, 2, "{story}");
    assert!(story.contains("choose another version by `--envoy VERSION`"), "{story}");
    assert_eq!(explain(&[scenario, "--envoy", "1.36"]).0, 0);
    let (code, story) = explain(&[scenario, "--envoy", "envoy"]);
    assert!(code == 2 && story.contains("`envoy` is no version of Envoy"), "{story}");
}

#[test]
fn the_numbers_of_calls_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers.yaml");
    let yaml = r#"
scenario: Numbers
module: probe
configuration: |
  configure: define_metric 0 hits; define_metric 1 level; set_tick_period_milliseconds 1500
  request_headers: increment_metric 4 3; record_metric 5 42; get_metric 5; http_call svc 250 "" :method GET :path / :authority a; return 1
  request_body: get_buffer 0 1 3
  http_call_response: effective_context stream; reply 429 slow
given: {clusters: {svc: [{status: 200}]}}
steps: [{request: {}}]
"#;
    std::fs::write(&file, yaml).unwrap();
    let (code, story) = explain(&[file.to_str().unwrap()]);
    assert_eq!(code, 0, "{story}");
    for call in [
        "proxy_define_metric(counter, \"hits\")",
        "proxy_set_tick_period_milliseconds(every 1500 ms)",
        "proxy_increment_metric(by 3, \"hits\")",
        "proxy_record_metric(42, \"level\")",
        "proxy_get_metric(\"level\") → ok ← \"42\"",
        "proxy_http_call(within 250 ms",
        "proxy_set_effective_context(context 2)",
        "proxy_send_local_response(status 429",
    ] {
        assert!(story.contains(call), "{call}\n{story}");
    }
    assert!(!story.contains("gRPC status"), "{story}");
}
