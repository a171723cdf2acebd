//! What a filter reads, changes and is told while a request and its response pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod guests;

use guests::{ADD, GET, METRICS, ONE, PAIRS, PROPERTY, REPLY, SET, SET_PAIRS, STORE, module, play, plays};

/// Data that most guests need: names and values at fixed places.
const DATA: &str = r#"
    (data (i32.const 100) "x-a")
    (data (i32.const 110) "new")
    (data (i32.const 120) ":status")
    (data (i32.const 130) "xds\00route_name")
    (data (i32.const 150) "portcullis_probe")
    (data (i32.const 170) "request\00path")"#;

fn callback(name: &str, arguments: &str, body: &str) -> String {
    format!(r#"(func (export "proxy_on_{name}") (param {arguments}) (result i32) {body} (i32.const 0))"#)
}

fn request_headers(body: &str) -> String {
    callback("request_headers", "i32 i32 i32", body)
}

fn response_headers(body: &str) -> String {
    callback("response_headers", "i32 i32 i32", body)
}

const GET_A: &str = "(call $get (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 50000) (i32.const 50004))";
const SET_A: &str = "(call $set (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 110) (i32.const 3))";
const ROUTE: &str =
    "(call $status (call $property (i32.const 130) (i32.const 14) (i32.const 50000) (i32.const 50004))) (call $given)";

#[test]
fn request_headers_are_gone_once_they_went_on() {
    let body = format!(
        "(call $status {GET_A}) (call $status {SET_A}) (call $status (call $pairs (i32.const 0) (i32.const 50000) (i32.const 50004))) (call $status (i32.load (i32.const 50004)))"
    );
    let module = module(&format!("{GET}{SET}{PAIRS}"), &format!("{DATA}{}", response_headers(&body)));
    let play = play(&module, "{scenario: s, steps: [{request: {headers: {x-a: b}}}]}");
    assert_eq!(play.log, ["info: =02", "info: =02", "info: =00", "info: =00"]);
}

#[test]
fn a_header_value_may_be_any_bytes() {
    let module = module(&format!("{GET}{ADD}"), &format!("{DATA}{}", request_headers(&format!(
        "(call $status {GET_A})
         (drop (call $add (i32.const 0) (i32.const 110) (i32.const 3) (i32.load (i32.const 50000)) (i32.load (i32.const 50004))))"
    ))));
    let play = play(&module, r#"{scenario: s, steps: [{request: {headers: [{X-A: {hex: "ff80"}}, {x-a: second}]}}]}"#);
    assert_eq!(play.log, ["info: =00"]);
    let upstream = play.upstream.unwrap();
    assert_eq!(upstream.values("new").collect::<Vec<_>>(), [[0xff, 0x80]]);
    assert_eq!(upstream.values("x-a").count(), 2);
    assert_eq!(upstream.start, "GET /");
    assert!(upstream.values("x-forwarded-proto").next().is_none(), "the proxy's own");
}

#[test]
fn garbage_instead_of_pairs_wipes_the_map() {
    let wipe = "(call $status (call $set_pairs (i32.const 2) (i32.const 100) (i32.const 9)))
        (drop (call $set (i32.const 2) (i32.const 120) (i32.const 7) (i32.const 200) (i32.const 3)))";
    let data = r#"(data (i32.const 200) "200")"#;
    let module = module(&format!("{SET}{SET_PAIRS}"), &format!("{DATA}{data}{}", response_headers(wipe)));
    let play = play(&module, "{scenario: s, steps: [{response: {headers: {a: b}}}]}");
    assert_eq!(play.log, ["info: =00"]);
    let client = play.client.unwrap();
    assert_eq!((client.start.as_str(), client.headers.len()), ("200", 0));
}

#[test]
fn a_response_without_a_status_is_answered_by_502() {
    let remove = r#"(import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))"#;
    let module = module(
        remove,
        &format!("{DATA}{}", response_headers("(drop (call $remove (i32.const 2) (i32.const 120) (i32.const 7)))")),
    );
    let client = play(&module, ONE).client.unwrap();
    assert_eq!(
        (client.start.as_str(), client.body.as_slice()),
        ("502", b"missing required header: :status".as_slice())
    );
}

const REPLY_429: &str = "(call $status (call $reply (i32.const 429) (i32.const 110) (i32.const 3) (i32.const 110) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const -1)))";

#[test]
fn a_reply_passes_the_filters_own_response_callbacks() {
    let edit = SET_A.replace("$set (i32.const 0)", "$set (i32.const 2)");
    let module = module(
        &format!("{SET}{REPLY}"),
        &format!(
            "{DATA}{}{}{}",
            request_headers(REPLY_429),
            response_headers(&format!("(drop {edit})")),
            callback(
                "response_body",
                "$id i32) (param $size i32) (param $end i32",
                "(call $status (local.get $size)) (call $status (local.get $end))"
            )
        ),
    );
    let play = play(&module, ONE);
    assert_eq!(play.log, ["info: =00", "info: =03", "info: =01"]);
    assert!(play.upstream.is_none());
    let client = play.client.unwrap();
    assert_eq!((client.start.as_str(), client.body.as_slice()), ("429", b"new".as_slice()));
    assert_eq!(client.values("content-type").collect::<Vec<_>>(), [b"text/plain"]);
    assert_eq!(client.values("x-a").collect::<Vec<_>>(), [b"new"]);
}

#[test]
fn a_reply_from_the_response_headers_replaces_the_response_without_another_callback() {
    let module = module(REPLY, &format!("{DATA}{}", response_headers(REPLY_429)));
    let play = play(&module, "{scenario: s, steps: [{response: {headers: {a: b}, body: long}}]}");
    assert_eq!(play.log, ["info: =00"]);
    let client = play.client.unwrap();
    assert_eq!((client.start.as_str(), client.body.as_slice()), ("429", b"new".as_slice()));
    assert!(client.values("a").next().is_none());
}

#[test]
fn a_later_filters_reply_passes_the_response_callbacks_and_no_upstream_is_reached() {
    let module = module("", &format!("{DATA}{}", response_headers("(call $status (i32.const 9))")));
    let play = play(&module, "{scenario: s, steps: [{reply: {status: 418, headers: {a: b}, body: tea}}]}");
    assert_eq!(play.log, ["info: =09"]);
    assert!(play.upstream.is_none());
    assert_eq!(play.client.unwrap().start, "418");
}

#[test]
fn a_head_that_nothing_resumes_holds_the_client_and_the_log_is_still_written() {
    let module = module(
        "",
        r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_log") (param i32) (call $status (i32.const 5)))"#,
    );
    let play = play(&module, ONE);
    assert!(play.client.is_none() && play.upstream.is_none());
    assert_eq!(play.log, ["info: =05"]);
}

#[test]
fn the_end_of_a_body_comes_on_its_own_over_http1_and_with_the_last_piece_over_http2() {
    let module = module(
        "",
        &callback(
            "request_body",
            "$id i32) (param $size i32) (param $end i32",
            "(call $status (i32.add (i32.mul (local.get $end) (i32.const 10)) (local.get $size)))",
        ),
    );
    let log = |protocol: &str, cut: &str| {
        let yaml = format!(
            "{{scenario: s, given: {{protocol: {protocol}}}, steps: [{{request: {{method: POST, body: [ab, c]{cut}}}}}]}}"
        );
        play(&module, &yaml).log
    };
    assert_eq!(log("http1", ""), ["info: =02", "info: =01", "info: =10"]);
    assert_eq!(log("http2", ""), ["info: =02", "info: =11"]);
    assert_eq!(log("http2", ", trailers: {t: v}"), ["info: =02", "info: =01"], "trailers end the message");
}

#[test]
fn every_split_plays_each_cut_and_all_bodies_arrive_whole() {
    let module = module("", "");
    let plays = plays(
        &module,
        "{scenario: s, steps: [{every_split: true, request: {method: POST, body: abc}, response: {body: defg}}]}",
    );
    assert_eq!(plays.len(), 5);
    for play in plays {
        assert_eq!(play.upstream.unwrap().body, b"abc");
        assert_eq!(play.client.unwrap().body, b"defg");
    }
}

#[test]
fn a_body_that_outgrows_its_announced_length_is_cut_and_one_that_shrinks_never_ends() {
    let set = r#"(import "env" "proxy_set_buffer_bytes" (func $write (param i32 i32 i32 i32 i32) (result i32)))"#;
    let write = |length: u32| {
        let body = format!(
            "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 99) (i32.const 100) (i32.const {length})))"
        );
        module(set, &format!("{DATA}{}", callback("response_body", "i32 i32 i32", &body)))
    };
    let client =
        play(&write(3), "{scenario: s, given: {protocol: http2}, steps: [{response: {body: long}}]}").client.unwrap();
    assert!(!client.complete);
    let client = play(&write(3), "{scenario: s, steps: [{response: {body: ab}}]}").client.unwrap();
    assert_eq!((client.body.as_slice(), client.complete), (b"x-".as_slice(), true), "written twice, read as announced");
}

#[test]
fn the_store_takes_a_stale_number_for_no_key_that_is_there() {
    let call = |cas: &str| {
        format!(
            "(call $status (call $store (i32.const 100) (i32.const 3) (i32.const 110) (i32.const 3) (i32.const {cas})))"
        )
    };
    let module = module(STORE, &format!("{DATA}{}", request_headers(&format!(
        "{}{}{}(call $status (call $load (i32.const 100) (i32.const 3) (i32.const 50000) (i32.const 50004) (i32.const 50008)))
        (call $given) (call $status (i32.load (i32.const 50008)))",
        call("-1"), call("-1"), call("0")
    ))));
    assert_eq!(play(&module, ONE).log, ["info: =00", "info: =08", "info: =00", "info: =00", "info: new", "info: =02"]);
}

#[test]
fn a_counter_grows_in_the_step_that_counts() {
    let define = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $define (i32.const 0) (i32.const 110) (i32.const 3) (i32.const 300))) (i32.const 1))"#;
    let count = request_headers(
        "(call $status (call $increment (i32.load (i32.const 300)) (i64.const 2))) (call $status (call $increment (i32.load (i32.const 300)) (i64.const 0)))",
    );
    let plays = plays(&module(METRICS, &format!("{DATA}{define}{count}")), "{scenario: s, steps: [{times: 2}]}");
    for play in plays {
        assert_eq!(play.log, ["info: =00", "info: =02"]);
        assert_eq!(play.metrics, [("new".to_owned(), 2)].into());
    }
}

#[test]
fn the_response_phase_sees_the_route_that_a_later_filter_chose_and_no_request() {
    let path = "(call $status (call $property (i32.const 170) (i32.const 12) (i32.const 50000) (i32.const 50004)))";
    let module = module(
        PROPERTY,
        &format!("{DATA}{}{}", request_headers(&format!("{ROUTE}{path}")), response_headers(&format!("{ROUTE}{path}"))),
    );
    let play = play(&module, "{scenario: s, given: {route: {name: first}, reroute: {name: second}}, steps: [{}]}");
    assert_eq!(play.log, ["info: =00", "info: first", "info: =00", "info: =00", "info: second", "info: =01"]);
}

#[test]
fn the_record_is_what_the_filter_left_in_filter_state() {
    let module = module(
        "",
        &format!(
            "{DATA}{}",
            request_headers("(drop (call $set_property (i32.const 150) (i32.const 16) (i32.const 110) (i32.const 3)))")
        ),
    );
    assert_eq!(play(&module, ONE).record.as_deref(), Some("new"));
}
