//! Scenarios in Envoy itself, with a filter whose every word is known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use anyhow::Result;
use host_test::{
    envoy::{find, replay},
    outcome::{Cut, Outcome},
    scenario::{Filter, Scenario},
};
use tempfile::TempDir;

static MODULES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let module = wat::parse_str(include_str!("guests/probe.wat")).unwrap();
    std::fs::write(folder.path().join("probe.wasm"), module).unwrap();
    folder
});

fn play_under(capabilities: Option<&[&str]>, scenarios: &[&str]) -> Vec<Result<Outcome>> {
    let scenarios: Vec<Scenario> = scenarios
        .iter()
        .map(|yaml| {
            let mut scenario: Scenario = serde_saphyr::from_str(yaml).unwrap();
            scenario.plugin = "probe".into();
            scenario
        })
        .collect();
    let module = |filter: &Filter| -> Result<PathBuf> { Ok(MODULES.path().join(format!("{}.wasm", filter.plugin))) };
    let list: Option<Vec<String>> = capabilities.map(|list| list.iter().map(|name| name.to_string()).collect());
    let results = replay::run(&find(None, None).unwrap(), &module, &|_| list.clone(), &scenarios, false);
    assert_eq!(results.len(), scenarios.len());
    results
}

fn play(scenario: &str) -> Outcome {
    play_under(None, &[scenario]).remove(0).unwrap()
}

fn lines(headers: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

#[test]
fn a_step_shows_what_each_side_received_and_what_the_filter_left() {
    for protocol in ["http1", "http2"] {
        let outcome = play(&format!(
            "
scenario: plain
given: {{protocol: {protocol}, route: {{name: front}}}}
steps:
  - request:
      method: POST
      path: /a?b
      headers: [{{x-a: '1'}}, {{x-b: {{hex: ff80}}}}, {{x-a: '2'}}]
      body: [one, two]
      trailers: {{x-end: t}}
    response: {{status: 201, headers: [{{set-cookie: a}}, {{set-cookie: b}}], body: [three], trailers: {{x-last: u}}}}
"
        ));
        assert_eq!(outcome.refused, None);
        let play = &outcome.plays[0];
        let upstream = play.upstream.as_ref().unwrap();
        assert_eq!(upstream.start, "POST /a?b");
        let mut received = lines(&upstream.headers);
        received.sort_by_key(|(name, _)| *name);
        assert_eq!(
            received,
            [("x-a", &b"1"[..]), ("x-a", b"2"), ("x-b", b"\xff\x80"), ("x-seen", b"yes")],
            "{protocol}"
        );
        assert_eq!((upstream.body.as_slice(), upstream.complete), (&b"onetwo"[..], true));
        assert_eq!(lines(&upstream.trailers), [("x-end", &b"t"[..])]);
        let client = play.client.as_ref().unwrap();
        assert_eq!(client.start, "201");
        let received = lines(&client.headers);
        assert_eq!(received, [("set-cookie", &b"a"[..]), ("set-cookie", b"b"), ("x-route", b"front")], "{protocol}");
        assert_eq!((client.body.as_slice(), client.complete), (&b"three"[..], true));
        assert_eq!(lines(&client.trailers), [("x-last", &b"u"[..])]);
        assert_eq!(play.record.as_deref(), Some("policy=web reason=probe.ok"));
        let counters = [("portcullis.probe.requests", 1), ("portcullis.probe.chunks", 3)];
        assert_eq!(play.metrics, BTreeMap::from(counters.map(|(name, by)| (name.to_owned(), by))));
        assert_eq!(play.log, ["warn: a request\nof two lines"]);
    }
}

#[test]
fn what_is_empty_stays_empty() {
    let outcome = play(
        "
scenario: empty
steps: [{}, {request: {method: POST, body: ''}, response: {body: ''}}, {request: {method: POST, body: []}, response: {body: []}}, {request: {method: HEAD}, response: {headers: {content-length: 7}}}, {response: {status: 204}}]
",
    );
    for play in &outcome.plays {
        let (client, upstream) = (play.client.as_ref().unwrap(), play.upstream.as_ref().unwrap());
        assert!(client.complete && upstream.complete);
        assert!(client.body.is_empty() && upstream.body.is_empty());
        assert!(!play.metrics.contains_key("portcullis.probe.chunks"));
    }
    assert_eq!(outcome.plays[3].client.as_ref().unwrap().values("content-length").next(), Some(&b"7"[..]));
}

#[test]
fn every_split_brings_each_piece_to_the_filter_in_a_call_of_its_own() {
    for protocol in ["http1", "http2"] {
        for body in ["abcdef", "[ab, cdef]"] {
            let outcome = play(&format!(
                "
scenario: split
given: {{protocol: {protocol}}}
steps: [{{every_split: true, request: {{method: POST, body: {body}}}, response: {{body: uvwxyz}}}}]
"
            ));
            assert_eq!(outcome.plays.len(), 7);
            for play in &outcome.plays {
                let pieces = match play.cut {
                    Cut::AsWritten => 2 + i64::from(body.starts_with('[')),
                    Cut::After(_) => 4,
                    Cut::EveryByte => 12,
                };
                assert_eq!(play.metrics["portcullis.probe.chunks"], pieces, "{protocol} {body} {:?}", play.cut);
                assert_eq!(play.upstream.as_ref().unwrap().body, b"abcdef");
                assert_eq!(play.client.as_ref().unwrap().body, b"uvwxyz");
            }
        }
    }
}

#[test]
fn a_later_filter_replies_and_reroutes_unseen() {
    let outcome = play(
        "
scenario: behind
given: {route: {name: front}, reroute: {name: back}}
steps:
  - reply: {status: 418, headers: [{b: '1'}, {a: {hex: ff}}, {b: '2'}], body: {hex: '00ff'}}
    times: 2
  - {}
  - request: {path: /reply}
    reply: {status: 418, headers: {content-type: a/b}}
",
    );
    assert_eq!(outcome.plays.len(), 4);
    for play in &outcome.plays[..2] {
        assert_eq!(play.upstream, None);
        let client = play.client.as_ref().unwrap();
        assert_eq!((client.start.as_str(), client.body.as_slice()), ("418", &b"\x00\xff"[..]));
        assert_eq!(
            lines(&client.headers),
            [
                ("b", &b"1"[..]),
                ("a", b"\xff"),
                ("b", b"2"),
                ("content-length", b"2"),
                ("content-type", b"text/plain"),
                ("x-route", b"back"),
            ]
        );
    }
    let play = &outcome.plays[2];
    assert_eq!(play.client.as_ref().unwrap().values("x-route").next(), Some(&b"back"[..]));
    assert_eq!(lines(&play.upstream.as_ref().unwrap().headers), [("x-seen", &b"yes"[..])]);
    let play = &outcome.plays[3];
    assert_eq!((play.client.as_ref().unwrap().start.as_str(), &play.upstream), ("403", &None));
}

#[test]
fn a_refused_configuration_is_an_outcome_and_leaves_the_others_alone() {
    let results = play_under(
        None,
        &[
            "{scenario: a, steps: [{}]}",
            "{scenario: b, configuration: 'no', configuration_as: string, refused: [two bytes]}",
            "{scenario: c, configuration: 'no', configuration_as: string, steps: [{}]}",
            "{scenario: d, configuration: {a: 1}, steps: [{}]}",
            "{scenario: e, refused: [anything]}",
        ],
    );
    let refused: Vec<_> = results.iter().map(|result| result.as_ref().unwrap().refused.clone()).collect();
    let text = Some("two bytes: refused".to_owned());
    assert_eq!(refused, [None, text.clone(), text, None, None]);
    assert_eq!(results[3].as_ref().unwrap().plays.len(), 1);
}

#[test]
fn a_trap_is_answered_and_stays_in_its_scenario() {
    let results = play_under(None, &["{scenario: a, steps: [{request: {path: /trap}}]}", "{scenario: b, steps: [{}]}"]);
    let play = &results[0].as_ref().unwrap().plays[0];
    assert_eq!((play.client.as_ref().unwrap().start.as_str(), &play.upstream), ("503", &None));
    assert_eq!(results[1].as_ref().unwrap().plays[0].client.as_ref().unwrap().start, "200");
}

#[test]
fn a_scenario_that_can_not_be_sent_fails_alone() {
    let results = play_under(
        None,
        &[
            "{scenario: a, given: {protocol: http2}, steps: [{request: {path: 'no path'}}]}",
            "{scenario: b, given: {protocol: http2}, steps: [{}]}",
        ],
    );
    let error = format!("{:#}", results[0].as_ref().unwrap_err());
    assert!(error.contains("step 1") && error.contains("no path"), "{error}");
    assert!(results[1].is_ok());
}

#[test]
fn a_capability_list_restricts_the_filter() {
    let all = [
        "proxy_on_context_create",
        "proxy_on_vm_start",
        "proxy_on_configure",
        "proxy_on_request_headers",
        "proxy_on_response_headers",
        "proxy_log",
        "proxy_define_metric",
        "proxy_increment_metric",
        "proxy_set_property",
        "proxy_get_property",
        "proxy_add_header_map_value",
        "proxy_get_header_map_value",
    ];
    let client = |list: &[&str]| {
        let outcome = play_under(Some(list), &["{scenario: a, steps: [{}]}"]).remove(0).unwrap();
        (outcome.plays[0].record.clone(), outcome.plays[0].client.clone().unwrap())
    };
    let (record, message) = client(&all);
    assert!(record.is_some() && message.values("x-route").next().is_some());
    let without: Vec<&str> = all.into_iter().filter(|name| *name != "proxy_on_response_headers").collect();
    let (record, message) = client(&without);
    assert!(record.is_some() && message.values("x-route").next().is_none());
}

#[test]
fn an_envoy_that_ends_fails_one_scenario_and_the_others_get_a_new_one() {
    let results = play_under(
        None,
        &[
            "{scenario: a, steps: [{}]}",
            "{scenario: b, steps: [{request: {path: /crash}}]}",
            "{scenario: c, steps: [{}]}",
        ],
    );
    let error = format!("{:#}", results[1].as_ref().unwrap_err());
    assert!(error.contains("Envoy ended"), "{error}");
    for index in [0, 2] {
        let outcome = results[index].as_ref().unwrap();
        assert_eq!(outcome.plays[0].client.as_ref().unwrap().start, "200");
    }
}
