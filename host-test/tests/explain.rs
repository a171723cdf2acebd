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
