//! What is dangerous in a module's calls is told whatever its scenario expects: each hazard has a small
//! guest that shows it, and a clean one beside it that doesn't.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use host_test::{
    run::BuiltModules,
    scenario,
    vm::{self, Limits},
};

const BODY: &str = "{request: {method: POST, body: [one, two]}}";
const CALLOUT: &str = "http_call svc 1000 \"\" :method GET :path / :authority a";

/// What is told of a script of the probe; `rest` is more of the scenario.
fn hazards(script: &str, rest: &str) -> Vec<String> {
    let script: String = script.lines().map(|line| format!("  {}\n", line.trim())).collect();
    let yaml = format!("scenario: s\nmodule: probe\nconfiguration: |\n{script}{rest}\n");
    let scenario = scenario::parse(&yaml).unwrap();
    let modules = BuiltModules::new(&[]).of(&scenario).unwrap();
    let outcome = vm::run(&modules, &scenario, Limits { watch: true, ..Limits::default() }).unwrap();
    assert_eq!(outcome.refused, None, "{yaml}");
    outcome.hazards
}

/// The first script shows exactly this hazard, the second none.
fn told(text: &str, careless: &str, clean: &str, rest: &str) {
    let found = hazards(careless, rest);
    assert!(found.len() == 1 && found[0].contains(text), "{careless}: {found:?}");
    assert_eq!(hazards(clean, rest), Vec::<String>::new(), "{clean}");
}

#[test]
fn a_header_call_where_no_headers_are_in_hand() {
    told(
        "proxy_on_request_body: proxy_replace_header_map_value of headers that aren't in hand",
        "request_body: replace 0 x-a b",
        "request_headers: replace 0 x-a b",
        &format!("steps: [{BODY}]"),
    );
}

#[test]
fn a_message_that_is_held_and_that_nothing_lets_on() {
    told(
        "the request was held and nothing let it on",
        "request_headers: return 1",
        "request_headers: reply 403 denied; return 1",
        "steps: [{}]",
    );
    told(
        "the response was held and nothing let it on",
        "response_headers: return 1",
        "response_headers: return 0",
        "steps: [{}]",
    );
}

#[test]
fn an_edit_inside_of_a_buffer() {
    told(
        "proxy_on_request_body: an edit inside of a buffer",
        "request_body[1]: set_buffer 0 1 1 x",
        "request_body[1]: set_buffer 0 0 1 x",
        "steps: [{request: {method: POST, body: text}}]",
    );
}

#[test]
fn an_edit_that_is_made_once_more_on_the_empty_end_of_a_body() {
    told(
        "proxy_on_request_body: the body is edited once more on its empty end",
        "request_body: set_buffer 0 0 0 x",
        "request_body[1]: set_buffer 0 0 0 x",
        "steps: [{request: {method: POST, body: [text]}}]",
    );
}

#[test]
fn a_body_that_is_edited_with_its_length_left() {
    for (protocol, clean) in [("http1", "replace 0 content-length 8"), ("http2", "remove 0 content-length")] {
        told(
            "the body of the request was edited and its content-length left: it says 4, and 8 bytes went on",
            "request_body[1]: set_buffer 0 0 0 more",
            &format!("request_headers: {clean}\nrequest_body[1]: set_buffer 0 0 0 more"),
            &format!("given: {{protocol: {protocol}}}\nsteps: [{{request: {{method: POST, body: text}}}}]"),
        );
        told(
            "the body of the response was edited and its content-length left: it says 6, and 1 bytes went on",
            "request_headers: reply 403 denied\nresponse_body: set_buffer 1 0 99 x",
            "request_headers: reply 403 denied\nresponse_body: set_buffer 1 0 99 deny!!",
            &format!("given: {{protocol: {protocol}}}\nsteps: [{{}}]"),
        );
    }
    assert!(
        hazards("trace", "steps: [{request: {method: HEAD}, response: {headers: {content-length: '5'}}}]").is_empty()
    );
}

#[test]
fn a_property_that_has_another_name_now() {
    told(
        "the property `route_name` is gone",
        "request_headers: get_property route_name",
        "request_headers: get_property xds route_name",
        "given: {route: {name: a}}\nsteps: [{}]",
    );
}

#[test]
fn a_reply_once_the_response_has_begun() {
    told(
        "a reply after the response has begun",
        "response_body: reply 500 late; return 1",
        "response_headers: reply 500 early; return 1",
        "steps: [{response: {body: [one, two]}}]",
    );
}

#[test]
fn work_that_every_vm_does_when_it_is_configured() {
    told(
        "proxy_set_shared_data happens in the canary, in the main thread and in each worker",
        "configure: set_shared_data key value 0",
        "request_headers: set_shared_data key value 0",
        "steps: [{}]",
    );
}

#[test]
fn a_body_that_is_held_near_the_limit() {
    told(
        "proxy_on_request_body: more than half of the buffer limit is held",
        "request_body[1]: return 1",
        "request_body: return 0",
        "given: {buffer_limit: 1000}\nsteps: [{request: {method: POST, body: [{repeat: x, times: 900}, b]}}]",
    );
}

#[test]
fn a_callout_at_whose_answer_nobody_looks() {
    let ask = format!("request_headers: {CALLOUT}; return 1\n");
    told(
        "nobody looked at how the callout went",
        &format!("{ask}http_call_response: effective_context stream; continue 0"),
        &format!("{ask}http_call_response: get_value 6 :status; effective_context stream; continue 0"),
        "given: {clusters: {svc: [{status: 503}]}}\nsteps: [{}]",
    );
    // A line of the answer that isn't its status says nothing of that; no lines at all do.
    told(
        "nobody looked at how the callout went",
        &format!("{ask}http_call_response: get_value 6 x-user; effective_context stream; continue 0"),
        &format!("{ask}http_call_response: get_header_map_pairs 6; effective_context stream; continue 0"),
        "given: {clusters: {svc: [{status: 503}]}}\nsteps: [{}]",
    );
}

#[test]
fn what_is_answered_or_closed_from_elsewhere_is_held_no_more() {
    for script in [
        format!("request_headers: {CALLOUT}; return 1\nhttp_call_response: effective_context stream; reply 403 denied"),
        format!(
            "request_headers: {CALLOUT}; return 1\nhttp_call_response: get_value 6 :status; effective_context stream; close 0"
        ),
    ] {
        let found = hazards(&script, "given: {clusters: {svc: [{status: 503}]}}\nsteps: [{}]");
        assert_eq!(found, Vec::<String>::new(), "{script}");
    }
    let ticked =
        "configure: set_tick_period 50\nrequest_headers[#2]: return 1\ntick: effective_context 2; reply 403 denied";
    let steps = "steps: [{stream: one, request: {}}, {stream: two, pass: 100ms, request: {}}]";
    assert_eq!(hazards(ticked, steps), Vec::<String>::new());
}

#[test]
fn one_stream_that_is_let_on_hides_no_other_that_is_held() {
    let two =
        "{stream: one, request: {method: POST, body: [abc]}}, {stream: two, request: {method: POST, body: [abc]}}";
    told(
        "the request was held and nothing let it on",
        "request_headers[#2]: return 1\nrequest_body[#2]: return 1\nrequest_body[#3]: continue 0",
        "request_headers: return 0",
        &format!("steps: [{two}, {{stream: one, reset: client}}]"),
    );
}

#[test]
fn a_whole_message_that_is_still_held_at_the_end() {
    told(
        "the request was held and nothing let it on",
        "request_headers[#2]: return 1\nrequest_body[#2]: return 1",
        "request_headers[#2]: return 1",
        "steps: [{stream: one, request: {method: POST, body: [abc]}}]",
    );
}

#[test]
fn a_refusal_over_grpc_at_which_nobody_looks() {
    let ask = "request_headers: grpc_call svc pkg.Service Method hello 1000; return 1\n";
    told(
        "the request goes on, and nobody looked at how the callout went",
        &format!("{ask}grpc_close: effective_context stream; continue 0"),
        &format!("{ask}grpc_close: effective_context stream; reply 403 denied"),
        "given: {clusters: {svc: [{grpc: [half_closed, {trailers: {grpc-status: 7, grpc-message: 'no'}}]}]}}\nsteps: [{}]",
    );
}

#[test]
fn a_reply_from_a_callout_or_from_the_request_once_the_response_has_begun() {
    let ask = format!("response_headers: {CALLOUT}");
    told(
        "a reply after the response has begun",
        &format!("{ask}\nhttp_call_response: get_value 6 :status; effective_context stream; reply 500 late"),
        &format!(
            "{ask}; return 1\nresponse_body: return 1\nhttp_call_response: get_value 6 :status; effective_context stream; reply 500 early"
        ),
        "given: {clusters: {svc: [{status: 200, after: 100ms}]}}\nsteps: [{stream: one, request: {more: true}}, {stream: \
         one, response: {body: [one], more: true}}, {stream: one, pass: 300ms, response: {body: [two]}}]",
    );
    told(
        "a reply after the response has begun",
        "request_body[2]: reply 403 denied",
        "request_body[1]: reply 403 denied",
        "steps: [{stream: one, request: {method: POST, body: [abc], more: true}}, {stream: one, response: {body: [early], \
         more: true}}, {stream: one, send: {body: [x], more: true}}]",
    );
}

#[test]
fn a_response_that_goes_on_after_a_callout_at_whose_answer_nobody_looked() {
    let ask = format!("response_headers: {CALLOUT}; return 1\n");
    told(
        "the response goes on, and nobody looked at how the callout went",
        &format!("{ask}http_call_response: effective_context stream; continue 1"),
        &format!("{ask}http_call_response: get_value 6 :status; effective_context stream; continue 1"),
        "given: {clusters: {svc: [{status: 503}]}}\nsteps: [{}]",
    );
}
