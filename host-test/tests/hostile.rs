//! Modules that mean harm: each is refused or ended with a message, and the host goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use std::fmt::Write as _;

use guests::{ONE, module, outcome, play, plays};
use host_test::vm::{Limits, run_bytes};

fn on_request(imports: &str, body: &str) -> Vec<u8> {
    module(
        imports,
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                {body} (i32.const 0))"#
        ),
    )
}

/// The log of a request that ends in a trap.
fn trapped(module: &[u8], limits: Limits) -> String {
    let module = wat::parse_bytes(module).unwrap();
    let outcome = run_bytes(&module, &guests::scenario(ONE), limits);
    assert_eq!(outcome.refused, None);
    let play = &outcome.plays[0];
    assert_eq!(play.client.as_ref().unwrap().start, "503");
    play.log.join("\n")
}

fn refused(module: &[u8]) -> String {
    outcome(module, ONE).refused.expect("the module is refused")
}

const FOREVER: &str = "(loop $again (br $again))";

#[test]
fn a_start_that_loops_is_ended_by_its_fuel() {
    for start in [
        format!(r#"(func (export "_initialize") {FOREVER})"#),
        format!(r#"(func (export "_start") {FOREVER})"#),
        format!(r#"(func $begin {FOREVER}) (start $begin)"#),
        format!(r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) {FOREVER} (i32.const 1))"#),
    ] {
        let reason = refused(&module("", &start));
        assert!(reason.contains("units of fuel"), "{reason}");
    }
}

#[test]
fn instructions_that_take_long_are_ended_by_the_time() {
    let fill = "(memory.fill (i32.const 0) (i32.const 1) (i32.const 268435456))";
    let body = format!("(drop (memory.grow (i32.const 4096))) (loop $again {fill} (br $again))");
    let limits = Limits { time: std::time::Duration::from_secs(1), fuel: u64::MAX, ..Limits::default() };
    let log = trapped(&on_request("", &body), limits);
    assert!(log.contains("more than 1 s in one callback"), "{log}");
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 256)) (i32.const -1))))
                (call $status (i32.div_u (memory.size) (i32.const 1000)))";
    assert_eq!(play(&on_request("", grow), ONE).log, ["info: =16"], "16 384 pages: 1 GiB");
    let huge = r#"(module (memory (export "memory") 16385) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 8)))"#;
    let reason = refused(huge.as_bytes());
    assert!(reason.contains("Failed to create new Wasm instance"), "{reason}");
}

#[test]
fn tables_and_memories_are_bounded_together() {
    let grow = "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))
                (call $status (i32.div_u (table.size $t) (i32.const 1000000)))";
    let tables = module(
        "",
        &format!(
            r#"(table $t 1 funcref)
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {grow} (i32.const 0))"#
        ),
    );
    let tables = wat::parse_bytes(&tables).unwrap();
    let grown = run_bytes(&tables, &guests::scenario(ONE), Limits::default());
    assert_eq!(grown.plays[0].log, ["info: =09"], "just below ten million elements");
    for many in ["(table 10000000 funcref)".repeat(9), "(memory 1)".repeat(2)] {
        let reason = refused(&module("", &many));
        assert!(reason.contains("Failed to create new Wasm instance"), "{reason}");
    }
}

#[test]
fn deep_recursion_ends_the_vm_and_not_the_host() {
    let deep = module(
        "",
        r#"(func $deep (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $deep (local.get 0) (local.get 1) (local.get 2)))"#,
    );
    let log = trapped(&deep, Limits::default());
    assert!(log.contains("call stack exhausted"), "{log}");
}

#[test]
fn an_allocator_that_recurses_through_the_host_ends_the_vm() {
    let guest = r#"(module
        (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func $again (export "malloc") (param i32) (result i32)
            (call $read (i32.const 7) (i32.const 0) (i32.const -1) (i32.const 16) (i32.const 20)))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.eqz (call $again (i32.const 8)))))"#;
    let yaml = "{scenario: s, configuration: {a: 1}, steps: [{}]}";
    let reason = outcome(guest.as_bytes(), yaml).refused.unwrap();
    assert!(reason.contains("restricted_callback"), "{reason}");
}

#[test]
fn what_an_allocator_answers_is_never_trusted() {
    for answer in ["(i32.const -1)", "(i32.const 0)", "(i32.const 65535)", "unreachable", FOREVER] {
        let guest = format!(
            r#"(module
                (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
                (func (export "malloc") (param i32) (result i32) {answer} {})
                (func (export "proxy_on_configure") (param i32 i32) (result i32)
                    (i32.eqz (call $read (i32.const 7) (i32.const 0) (i32.const -1) (i32.const 16) (i32.const 20)))))"#,
            if answer == FOREVER { "(i32.const 8)" } else { "" }
        );
        let outcome = outcome(guest.as_bytes(), "{scenario: s, configuration: {a: 1}, steps: [{}]}");
        let reason = outcome.refused.unwrap();
        let expected = match answer {
            "unreachable" => "proxy_on_configure failed: wasm trap",
            FOREVER => "units of fuel",
            _ => "proxy_on_configure answered false",
        };
        assert!(reason.contains(expected), "{answer}: {reason}");
    }
}

#[test]
fn calls_of_the_host_are_counted_and_so_is_what_they_carry() {
    let endless = |call: &str| on_request("", &format!("(loop $again (drop {call}) (br $again))"));
    let log = trapped(&endless("(call $log (i32.const 0) (i32.const 0) (i32.const 0))"), Limits::default());
    assert!(log.contains("more than 100000 calls to the host"), "{}", &log[log.len() - 300..]);
    let set = endless("(call $set_property (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 262144))");
    let log = trapped(&set, Limits::default());
    assert!(log.contains("more than 256 MiB carried"), "{log}");
}

#[test]
fn thousands_of_imports_are_linked_and_one_unknown_among_them_is_found() {
    let mut imports = String::new();
    for _ in 0..5_000 {
        let _ = write!(imports, r#"(import "env" "proxy_done" (func (result i32)))"#);
    }
    assert_eq!(outcome(&module(&imports, ""), ONE).refused, None);
    let unknown = format!(r#"{imports}(import "env" "x" (func))"#);
    assert!(refused(&module(&unknown, "")).contains("missing import: env.x"));
}

#[test]
fn large_modules_are_taken_up_to_a_limit() {
    let functions = "(func (result i32) (i32.const 1))".repeat(30_000);
    let data = format!(r#"(data (i32.const 0) "{}")"#, "x".repeat(400_000));
    assert_eq!(outcome(&module("", &format!("{functions}{}", data.repeat(10))), ONE).refused, None);
    let mut huge = b"\0asm\x01\0\0\0".to_vec();
    huge.resize(65 << 20, 0);
    let reason = run_bytes(&huge, &guests::scenario(ONE), Limits::default()).refused.unwrap();
    assert!(reason.contains("at most 67108864"), "{reason}");
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    for bytes in [b"".as_slice(), b"\0asm", b"\0asm\x01\0\0\0\x07\xff\xff\xff\xff\x0f", &[0xff; 4096]] {
        let reason = run_bytes(bytes, &guests::scenario(ONE), Limits::default()).refused.unwrap();
        assert!(reason.contains("corrupted") || reason.contains("ABI version"), "{reason}");
    }
    // The mark stands there, but the code isn't valid.
    let reason = refused(&module("", "(func (result i32) (i64.const 1))"));
    assert!(reason.contains("Failed to load Wasm bytecode"), "{reason}");
}

#[test]
fn answers_that_bring_one_another_end_with_their_step_and_fail_it() {
    let imports = r#"(import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
        (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
        (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))"#;
    let pairs = r#"(data (i32.const 100) "\03\00\00\00\07\00\00\00\01\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00a\00:path\00a\00:authority\00a\00")
        (data (i32.const 300) "a")"#;
    let call =
        "(drop (call $call (i32.const 300) (i32.const 1) (i32.const 100) (i32.const 59) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 400)))";
    let calls = format!(r#"{call} (drop (call $register (i32.const 300) (i32.const 1) (i32.const 400)))"#);
    let answered = r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) "#;
    let enqueue = "(drop (call $enqueue (i32.load (i32.const 400)) (i32.const 300) (i32.const 1)))";
    let queue = format!(r#"(drop (call $register (i32.const 300) (i32.const 1) (i32.const 400))) {enqueue}"#);
    let ready = format!(
        r#"(func (export "proxy_on_queue_ready") (param i32 i32)
            (drop (call $dequeue (local.get 1) (i32.const 404) (i32.const 408))) {enqueue})"#
    );
    for (first, then) in [(calls, format!("{answered} {call})")), (queue, ready)] {
        let guest = module(
            imports,
            &format!(
                r#"{pairs} {then} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    {first} (i32.const 0))"#
            ),
        );
        let play = play(&guest, "{scenario: s, given: {clusters: {a: [{}]}}, steps: [{}]}");
        assert!(play.missed[0].starts_with("more than 200000 ticks"), "{:?}", play.missed);
    }
}

#[test]
fn many_small_fillings_are_bounded_together() {
    let memory = "(drop (memory.grow (i32.const 1024)))";
    let log = "(drop (call $log (i32.const 2) (i32.const 0) (i32.const 67000000)))";
    let many = "{scenario: s, steps: [{times: 6}]}";
    let chatty = plays(&on_request("", &format!("{memory} {log}")), many);
    let kept: usize = chatty.iter().flat_map(|play| &play.log).map(String::len).sum();
    assert!(kept < 300 << 20 && chatty[5].log.is_empty());
    assert!(chatty[4].log[0].starts_with("host error: more than 256 MiB were logged"), "{:.80}", chatty[4].log[0]);

    // The key is of another length each time.
    let store = "(global.set $free (i32.add (global.get $free) (i32.const 1)))
        (drop (call $store (i32.const 0) (i32.sub (global.get $free) (i32.const 65535)) (i32.const 0) (i32.const 67000000) (i32.const 0)))";
    let hoarder = plays(&on_request(guests::STORE, &format!("{memory} {store}")), many);
    assert!(hoarder[5].log.is_empty(), "a new VM writes the first key again");
    let log = hoarder.iter().flat_map(|play| &play.log).cloned().collect::<String>();
    assert!(log.contains("more than 256 MiB kept in the store"), "{log}");
}

const RESUME: &str = r#"(import "env" "proxy_continue_stream" (func $resume (param i32) (result i32)))"#;
const RESPONSE: &str = "(drop (call $resume (i32.const 1)))";

/// A callback that does something and returns a number, where it returns one.
fn callback(name: &str, parameters: usize, body: &str, returned: Option<u32>) -> String {
    let parameters = " i32".repeat(parameters);
    let (result, value) =
        returned.map_or_else(Default::default, |value| ("(result i32)", format!("(i32.const {value})")));
    format!(r#"(func (export "proxy_on_{name}") (param{parameters}) {result} {body} {value})"#)
}

/// What a step in which Envoy would end says of it; none where it wouldn't.
fn fatal(imports: &str, callbacks: &str) -> Vec<String> {
    let scenario = "{scenario: s, given: {protocol: http2}, steps: [{response: {status: 200, body: [a], trailers: {x: z}}}, {response: {status: 200}}]}";
    plays(&module(imports, callbacks), scenario).into_iter().flat_map(|play| play.missed).collect()
}

#[test]
fn a_step_in_which_a_response_is_resumed_before_it_begins_fails() {
    for (name, parameters) in [("request_headers", 3), ("request_body", 3)] {
        let module = module(RESUME, &callback(name, parameters, RESPONSE, Some(0)));
        let play = play(&module, "{scenario: s, steps: [{request: {body: [a]}}]}");
        assert!(play.log[0].contains("that hasn't begun ends Envoy 1.40 (SIGSEGV)"), "{:?}", play.log);
        assert_eq!(play.missed.len(), 1, "{:?}", play.missed);
    }
}

#[test]
fn a_step_in_which_a_response_is_resumed_and_let_on_fails_unless_it_is_held_or_body() {
    for (name, parameters) in [("response_headers", 3), ("response_trailers", 2)] {
        let fails = |returned| fatal(RESUME, &callback(name, parameters, RESPONSE, Some(returned)));
        assert!(fails(0).first().is_some_and(|why| why.contains("sends it twice")), "{name}: {:?}", fails(0));
        assert_eq!(fails(1), [""; 0], "{name}");
    }
    assert_eq!(fatal(RESUME, &callback("response_body", 3, RESPONSE, Some(0))), [""; 0]);
}

#[test]
fn a_step_in_which_the_end_of_a_held_body_is_resumed_and_let_on_fails() {
    let held = "(if (i32.eqz (local.get 2)) (then (return (i32.const 1))))";
    let ends = |returned| {
        let module = module(RESUME, &callback("response_body", 3, &format!("{held}{RESPONSE}"), Some(returned)));
        let scenario = "{scenario: s, given: {protocol: http2}, steps: [{response: {body: [a, b]}}]}";
        play(&module, scenario).missed
    };
    assert!(ends(0).first().is_some_and(|why| why.contains("sends it twice")), "{:?}", ends(0));
    assert_eq!(ends(1), [""; 0]);
}

#[test]
fn a_step_in_which_a_body_is_read_that_was_freed_fails() {
    let import = r#"(import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))"#;
    let read = "(drop (call $read (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 100) (i32.const 104)))";
    for (answer, fails) in [(0, false), (1, false), (2, true), (3, true)] {
        let body = callback("response_body", 3, "", Some(answer));
        let module = module(import, &format!("{body}{}", callback("log", 1, read, None)));
        let missed = play(&module, "{scenario: s, steps: [{response: {body: [a]}}]}").missed;
        assert_eq!(missed.first().is_some_and(|why| why.contains("behind its last callback")), fails, "{answer}");
    }
}

#[test]
fn a_step_in_which_a_stream_is_replied_to_or_closed_at_its_end_or_both_in_its_response_fails() {
    let zeros = "(i32.const 0)".repeat(7);
    let reply = r#"(import "env" "proxy_send_local_response"
        (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let reply = (reply, format!("(drop (call $reply (i32.const 403) {zeros}))"), "a reply in on_log");
    let close = r#"(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))"#;
    let close = (close, "(drop (call $close (i32.const 1)))".to_owned(), "closing a stream in on_log");
    let both = format!("{}{}", reply.1, close.1);
    let imports = format!("{}{}", reply.0, close.0);
    for (name, parameters) in [("response_headers", 3), ("response_body", 3), ("response_trailers", 2)] {
        let found = fatal(&imports, &callback(name, parameters, &both, Some(0)));
        assert!(found.first().is_some_and(|found| found.starts_with("replying and closing")), "{name}: {found:?}");
    }
    for (imports, body, why) in [reply, close] {
        for (name, returned) in [("log", None), ("done", Some(1)), ("delete", None)] {
            // A root context's end is no stream's.
            let found = fatal(imports, &callback(name, 1, &body, returned));
            assert!(found.first().is_some_and(|found| found.contains(why)), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_step_in_which_a_response_is_replied_to_twice_in_one_callback_fails() {
    let reply = r#"(import "env" "proxy_send_local_response"
        (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let twice = format!("(drop (call $reply (i32.const 403) {}))", "(i32.const 0)".repeat(7)).repeat(2);
    for (name, parameters) in [("response_headers", 3), ("response_body", 3), ("response_trailers", 2)] {
        let found = fatal(reply, &callback(name, parameters, &twice, Some(0)));
        assert!(found.first().is_some_and(|found| found.starts_with("two replies")), "{name}: {found:?}");
    }
    // Of a request the first one is taken.
    assert_eq!(fatal(reply, &callback("request_headers", 3, &twice, Some(0))), [""; 0]);
}

#[test]
fn a_step_in_which_a_filter_tells_the_router_what_to_do_fails() {
    let add = r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (data (i32.const 100) "x-envoy-retry-on5xx")"#;
    let told = "(drop (call $add (i32.const 0) (i32.const 100) (i32.const 16) (i32.const 116) (i32.const 3)))";
    let found = fatal(add, &callback("request_headers", 3, told, Some(0)));
    assert!(found.first().is_some_and(|found| found.contains("`x-envoy-retry-on`")), "{found:?}");
}

#[test]
fn a_step_in_which_a_response_is_resumed_and_then_ended_fails_where_it_ends_there() {
    let close = r#"(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))"#;
    let imports = format!("{RESUME}{close}");
    let then = format!("{RESPONSE}(drop (call $close (i32.const 1)))");
    for (name, parameters) in [("response_headers", 3), ("response_trailers", 2)] {
        let found = fatal(&imports, &callback(name, parameters, &then, Some(1)));
        assert!(found.first().is_some_and(|found| found.starts_with("resuming the response and")), "{name}: {found:?}");
    }
    // Over HTTP/1 the head of a response that goes on leaves before the stream ends.
    let module = module(&imports, &callback("response_headers", 3, &then, Some(1)));
    let play = play(&module, "{scenario: s, steps: [{response: {body: [a]}}]}");
    assert_eq!(play.missed, [""; 0]);
    assert!(play.client.is_some_and(|client| client.start == "200" && !client.complete));
}

#[test]
fn an_allocator_that_traps_ends_the_vm_once_the_callback_that_needed_it_has_returned() {
    let read = r#"(import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))"#;
    let path = "(call $status (call $value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 100) (i32.const 104)))";
    let module = String::from_utf8(on_request(read, &format!("{path}{path}"))).unwrap();
    let start = module.find("(local.set $place").unwrap();
    let module = format!("{}(unreachable){}", &module[..start], &module[start..]);
    let data = r#"(data (i32.const 0) ":path")"#;
    let module = format!("{}{data})", module.trim_end().strip_suffix(')').unwrap());
    let play = play(module.as_bytes(), ONE);
    assert_eq!(play.log[..2], ["info: =06", "info: =06"]);
    assert!(play.log[2].contains("Function: malloc failed: wasm"), "{:?}", play.log);
    assert_eq!(play.client.unwrap().start, "503");
}
