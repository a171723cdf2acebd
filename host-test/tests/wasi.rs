//! WASI as Envoy offers it; every answer here was given by Envoy 1.40 to the same calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use guests::ONE;

const BAD: &str = "(i32.const -8)";

/// A guest that makes calls of WASI in `on_configure` and logs what each answers.
fn log(calls: &[(&str, &str)]) -> Vec<String> {
    let mut imports = String::new();
    let mut body = String::new();
    let mut known = Vec::new();
    for (call, setup) in calls {
        let (name, arguments) = call.split_once(' ').unwrap_or((call, ""));
        let kinds: Vec<&str> =
            arguments.split('(').skip(1).map(|argument| argument.split('.').next().unwrap()).collect();
        if !known.contains(&name) {
            known.push(name);
            let parameters = if kinds.is_empty() { String::new() } else { format!("(param {})", kinds.join(" ")) };
            imports.push_str(&format!(
                r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {parameters} (result i32)))"#
            ));
        }
        body.push_str(&format!("{setup} (call $status (call ${name} {arguments}))\n"));
    }
    let module = guests::module(
        &imports,
        &format!(
            r#"(data (i32.const 1000) "hello\n") (data (i32.const 1100) "wor\nld\n\n") (data (i32.const 1200) "\n")
               (func $vector (param i32 i32 i32)
                    (i32.store (local.get 0) (local.get 1)) (i32.store offset=4 (local.get 0) (local.get 2)))
               (func $shown (param i32) (call $status (i32.load (local.get 0))))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                    (i32.store (i32.const 500) (i32.const 77)) {body} (call $shown (i32.const 500)) (i32.const 1))"#
        ),
    );
    let outcome = guests::outcome(&module, ONE);
    assert_eq!(outcome.refused, None);
    let third = outcome.startup_log.len() / 3;
    outcome.startup_log[..third].to_vec()
}

fn vector(place: u32, start: u32, length: u32) -> String {
    format!("(call $vector (i32.const {place}) (i32.const {start}) (i32.const {length}))")
}

fn write(fd: u32, start: u32, length: u32) -> Vec<String> {
    let call = format!("fd_write (i32.const {fd}) (i32.const 100) (i32.const 1) (i32.const 500)");
    log(&[(&call, &vector(100, start, length))])
}

#[test]
fn a_write_is_a_line_without_the_newline_that_ends_it() {
    assert_eq!(write(1, 1000, 6), ["info: hello", "info: =00", "info: =06"]);
    assert_eq!(write(2, 1100, 8), ["error: wor\nld\n", "info: =00", "info: =08"]);
    assert_eq!(write(1, 1200, 1), ["info: ", "info: =00", "info: =01"]);
    assert_eq!(write(1, 1200, 0), ["info: =00", "info: =00"]);
    for other in [0, 3] {
        assert_eq!(write(other, 1000, 6), ["info: =08", "info: =M"].map(|line| line.replace("=M", "=77")));
    }
}

#[test]
fn pieces_of_a_write_are_one_line_and_a_bad_one_is_a_fault() {
    let two = format!("{}{}", vector(100, 1000, 5), vector(108, 1100, 7));
    let call = "(i32.const 1) (i32.const 100) (i32.const 2) (i32.const 500)";
    assert_eq!(log(&[(&format!("fd_write {call}"), &two)]), ["info: hellowor\nld", "info: =00", "info: =12"]);
    let offset = "fd_pwrite (i32.const 1) (i32.const 100) (i32.const 2) (i64.const 3) (i32.const 500)";
    assert_eq!(log(&[(offset, &two)]), ["info: hellowor\nld", "info: =00", "info: =12"]);
    let bad = format!("{}{}", vector(100, 1000, 5), vector(108, u32::MAX - 7, 8).replace("4294967288", "-8"));
    assert_eq!(log(&[(&format!("fd_write {call}"), &bad)]), ["info: =21", "info: =77"]);
    let unwritable = "fd_write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const -4)";
    assert_eq!(log(&[(unwritable, &vector(100, 1000, 6))]), ["info: hello", "info: =21", "info: =77"]);
}

/// The answers alone.
fn answers(calls: &[&str]) -> Vec<u32> {
    let calls: Vec<(&str, &str)> = calls.iter().map(|call| (*call, "")).collect();
    let log = log(&calls);
    let numbers = log.iter().filter_map(|line| line.strip_prefix("info: =")?.parse().ok());
    numbers.take(calls.len()).collect()
}

#[test]
fn random_bytes_come_in_at_most_64_kib() {
    let calls = [
        "random_get (i32.const 70000) (i32.const 65536)",
        "random_get (i32.const 70000) (i32.const 65537)",
        "random_get (i32.const -4) (i32.const 8)",
        "random_get (i32.const -8) (i32.const 0)",
    ];
    assert_eq!(answers(&calls), [0, 28, 21, 0]);
}

#[test]
fn there_are_two_clocks() {
    let calls = [
        "clock_time_get (i32.const 0) (i64.const 0) (i32.const 800)",
        "clock_time_get (i32.const 1) (i64.const 0) (i32.const 800)",
        "clock_time_get (i32.const 2) (i64.const 0) (i32.const 800)",
        "clock_res_get (i32.const 1) (i32.const 800)",
        "clock_res_get (i32.const 2) (i32.const 800)",
    ];
    assert_eq!(answers(&calls), [0, 0, 58, 0, 58]);
}

#[test]
fn files_and_sockets_are_not_there_each_in_its_way() {
    let path = "(i32.const 1) (i32.const 800) (i32.const 1)";
    let open = "(i32.const 1) (i32.const 0) (i32.const 800) (i32.const 1) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 800)";
    let calls = [
        format!("path_open {open}"),
        "fd_read (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 800)".into(),
        "fd_prestat_get (i32.const 3) (i32.const 800)".into(),
        format!("fd_prestat_dir_name {path}"),
        format!("path_unlink_file {path}"),
        "fd_readdir (i32.const 1) (i32.const 800) (i32.const 8) (i64.const 0) (i32.const 800)".into(),
        format!("fd_readdir (i32.const 1) (i32.const 800) (i32.const 8) (i64.const 0) {BAD}"),
        "sock_accept (i32.const 1) (i32.const 0) (i32.const 800)".into(),
        format!("sock_accept (i32.const 1) (i32.const 0) {BAD}"),
        "fd_tell (i32.const 1) (i32.const 800)".into(),
        "fd_tell (i32.const 3) (i32.const 800)".into(),
        "fd_sync (i32.const 2)".into(),
        "fd_sync (i32.const 0)".into(),
        "fd_filestat_get (i32.const 1) (i32.const 800)".into(),
        "fd_fdstat_set_flags (i32.const 1) (i32.const 0)".into(),
        "fd_close (i32.const 9)".into(),
    ];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    assert_eq!(answers(&calls), [44, 52, 8, 52, 58, 20, 21, 58, 21, 0, 8, 0, 8, 8, 52, 0]);
}

#[test]
fn an_exit_returns() {
    let module = guests::module(
        r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $exit (i32.const 3)) (call $status (i32.const 5)) (i32.const 0))"#,
    );
    assert_eq!(guests::play(&module, ONE).log, ["info: =05"]);
}

#[test]
fn a_starting_module_and_an_allocator_may_call_little_of_it() {
    let start = |name: &str, kind: &str, call: &str| {
        let module = guests::module(
            &format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {kind}))"#),
            &format!(r#"(func (export "_initialize") (drop (call ${name} {call})))"#),
        );
        guests::outcome(&module, ONE).refused
    };
    assert_eq!(start("random_get", "(param i32 i32) (result i32)", "(i32.const 8) (i32.const 8)"), None);
    let reason = start("fd_close", "(param i32) (result i32)", "(i32.const 1)").unwrap();
    assert!(reason.contains("Function: _initialize failed") && reason.contains("restricted_callback"), "{reason}");
    assert!(start("sched_yield", "(result i32)", "").unwrap().contains("restricted_callback"));
}
