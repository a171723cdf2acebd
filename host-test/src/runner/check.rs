//! What a scenario expects beside what a host saw. Every failure reads as a sentence with both.

use std::collections::BTreeMap;

use super::{Failure, told};
use crate::{
    outcome::{Cut, Message, Outcome, Play},
    scenario::{Expect, ExpectUpstream, HeaderExpectation, Scenario, Step, bytes::display},
};

/// All failures of a scenario on one host.
pub fn scenario(scenario: &Scenario, outcome: &Outcome) -> Vec<Failure> {
    let mut failures = Vec::new();
    let start = started(scenario, outcome);
    if !start.is_empty() {
        // A refusal's reason already holds lines of the log.
        let reason = outcome.refused.as_deref().unwrap_or_default();
        let log = outcome.startup_log.iter().filter(|line| !reason.contains(line.as_str())).cloned().collect();
        failures.push(Failure { what: start, log, ..Failure::default() });
    }
    if outcome.refused.is_some() || !scenario.refused.is_empty() {
        return failures;
    }
    let wanted: usize = scenario.steps.iter().map(|step| step.cuts().len()).sum();
    if outcome.plays.len() != wanted {
        let what = format!("{wanted} plays expected, {} were played", outcome.plays.len());
        failures.push(Failure::whole(vec![what]));
    }
    if !outcome.missed.is_empty() {
        failures.push(Failure::whole(outcome.missed.clone()));
    }
    for (place, play) in outcome.plays.iter().enumerate() {
        let Some(step) = scenario.steps.get(play.step) else { continue };
        let mut what = check(step, play);
        what.extend(never(&scenario.never, play));
        if !what.is_empty() {
            // Before those of the plays stand the calls of the start.
            let calls = outcome.traces.get(place + 1).map(|entries| told::calls(entries)).unwrap_or_default();
            let place = self::place(play, step.name.as_deref());
            failures.push(Failure { place, what, traps: told::traps(&play.log), calls, log: play.log.clone() });
        }
    }
    failures
}

/// The failures of a step that was played once. A stream with a name may not have ended yet.
pub fn check(step: &Step, play: &Play) -> Vec<String> {
    let (expect, open) = (&step.expect, step.stream.is_some());
    let mut failures = Vec::new();
    if let Some(taken) = play.taken
        && taken == expect.refused
    {
        let (wanted, actual) = if taken { ("refused", "taken") } else { ("taken", "refused") };
        failures.push(format!("update: expected to be {wanted}, was {actual}"));
    }
    client(expect, play, open, &mut failures);
    upstream("upstream", &expect.upstream, play.upstream.as_ref(), open, &mut failures);
    attempts(expect, play, &mut failures);
    record(expect, play.record.as_deref(), &mut failures);
    for (name, wanted) in &expect.metrics {
        let grown = play.metrics.get(name).copied().unwrap_or(0);
        if grown != *wanted {
            let others = if play.metrics.is_empty() { "none".into() } else { format!("{:?}", play.metrics) };
            failures.push(format!("metric {name}: expected to grow by {wanted}, grew by {grown} (grown: {others})"));
        }
    }
    for text in &expect.log {
        if !play.log.iter().any(|line| line.contains(text)) {
            failures.push(format!("log: expected a line with `{text}`, none of {} has it", play.log.len()));
        }
    }
    failures.extend(play.missed.iter().cloned());
    failures
}

fn started(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let mut failures = Vec::new();
    match &outcome.refused {
        Some(reason) if scenario.refused.is_empty() => {
            failures.push(format!("configuration: expected to be taken, was refused: {reason}"));
        }
        None if !scenario.refused.is_empty() => {
            failures.push(format!("configuration: expected to be refused with {:?}, was taken", scenario.refused));
        }
        Some(reason) => {
            for text in scenario.refused.iter().filter(|text| !reason.contains(*text)) {
                failures.push(format!("refusal: expected `{text}` in it, was: {reason}"));
            }
        }
        None => {
            for text in
                scenario.configured.iter().filter(|text| !outcome.startup_log.iter().any(|line| line.contains(*text)))
            {
                let lines = outcome.startup_log.len();
                failures.push(format!("start-up log: expected a line with `{text}`, none of {lines} has it"));
            }
        }
    }
    let texts = outcome.startup_log.iter().chain(&outcome.refused);
    for line in texts {
        for text in scenario.never.iter().filter(|text| line.contains(*text)) {
            failures.push(format!("start-up log: `{text}` must never appear, but stands in a line"));
        }
    }
    failures
}

/// `step 2 (name), cut after 3 bytes`.
pub(super) fn place(play: &Play, name: Option<&str>) -> String {
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let cut = match play.cut {
        Cut::AsWritten => String::new(),
        Cut::After(at) => format!(", bodies cut after {at} bytes"),
        Cut::EveryByte => ", bodies cut at every byte".into(),
    };
    format!("step {}{name}{cut}", play.step + 1)
}

fn client(expect: &Expect, play: &Play, open: bool, failures: &mut Vec<String>) {
    let expect = &expect.client;
    let silent = expect.status.is_none()
        && expect.headers.is_empty()
        && expect.body.is_none()
        && expect.trailers.is_empty()
        && expect.complete.is_none();
    if expect.answered.is_some_and(|wanted| wanted != play.client.is_some()) {
        let (wanted, actual) = if play.client.is_some() { ("no answer", "one") } else { ("an answer", "none") };
        failures.push(format!("client: expected {wanted}, there was {actual}"));
    }
    let Some(message) = &play.client else {
        if !silent && expect.answered != Some(true) {
            failures.push("client: expected a response, the connection ended without one".into());
        }
        return;
    };
    if let Some(status) = expect.status
        && message.start != status.to_string()
    {
        failures.push(format!("client: expected status {status}, actual {}", message.start));
    }
    lines("client", &expect.headers, &message.headers, failures);
    lines("client trailer", &expect.trailers, &message.trailers, failures);
    let wanted = expect.body.as_ref().map(|body| body.0.as_slice());
    body("client", wanted, expect.complete.or((!open && wanted.is_some()).then_some(true)), message, failures);
}

fn attempts(expect: &Expect, play: &Play, failures: &mut Vec<String>) {
    if expect.attempts.is_empty() {
        return;
    }
    let all: Vec<&Message> = play.upstream.iter().chain(&play.further).collect();
    if all.len() != expect.attempts.len() {
        let shown = all.iter().map(|message| message.start.as_str()).collect::<Vec<_>>().join(", ");
        failures.push(format!("attempts: expected {}, there were {}: {shown}", expect.attempts.len(), all.len()));
    }
    for (index, (wanted, message)) in expect.attempts.iter().zip(all).enumerate() {
        upstream(&format!("attempt {}", index + 1), wanted, Some(message), false, failures);
    }
}

fn upstream(side: &str, expect: &ExpectUpstream, seen: Option<&Message>, open: bool, failures: &mut Vec<String>) {
    let reached = seen.is_some();
    if expect.reached.is_some_and(|wanted| wanted != reached) {
        let (wanted, actual) = if reached { ("not reached", "reached") } else { ("reached", "not reached") };
        failures.push(format!("{side}: expected to be {wanted}, was {actual}"));
    }
    let silent = expect.method.is_none()
        && expect.path.is_none()
        && expect.headers.is_empty()
        && expect.body.is_none()
        && expect.complete.is_none()
        && expect.trailers.is_empty();
    let Some(message) = seen else {
        if !silent && expect.reached != Some(true) {
            failures.push(format!("{side}: expected a request, was not reached"));
        }
        return;
    };
    let (method, path) = message.start.split_once(' ').unwrap_or((&message.start, ""));
    for (what, wanted, actual) in [("method", &expect.method, method), ("path", &expect.path, path)] {
        if let Some(wanted) = wanted
            && wanted != actual
        {
            failures.push(format!("{side} {what}: expected `{wanted}`, actual `{actual}`"));
        }
    }
    lines(side, &expect.headers, &message.headers, failures);
    lines(&format!("{side} trailer"), &expect.trailers, &message.trailers, failures);
    let wanted = expect.body.as_ref().map(|body| body.0.as_slice());
    body(side, wanted, expect.complete.or((!open && wanted.is_some()).then_some(true)), message, failures);
}

fn lines(
    side: &str,
    expect: &BTreeMap<String, HeaderExpectation>,
    actual: &[(String, Vec<u8>)],
    failures: &mut Vec<String>,
) {
    for (name, wanted) in expect {
        let name = name.to_ascii_lowercase();
        let wanted: Vec<&[u8]> = wanted.lines().iter().map(|line| line.0.as_slice()).collect();
        let actual: Vec<&[u8]> =
            actual.iter().filter(|(line, _)| *line == name).map(|(_, value)| value.as_slice()).collect();
        if wanted != actual {
            failures.push(format!("{side} {name}: expected {}, actual {}", shown(&wanted), shown(&actual)));
        }
    }
}

/// All lines of one name, for people.
pub(super) fn shown(lines: &[&[u8]]) -> String {
    match lines {
        [] => "no line".into(),
        lines => lines.iter().map(|line| format!("`{}`", display(line))).collect::<Vec<_>>().join(" and "),
    }
}

fn body(side: &str, expect: Option<&[u8]>, complete: Option<bool>, message: &Message, failures: &mut Vec<String>) {
    if let Some(wanted) = expect
        && message.body != wanted
    {
        failures.push(format!("{side} body: {}", apart(("expected", "actual"), wanted, &message.body)));
    } else if complete.is_some_and(|complete| complete != message.complete) {
        let (wanted, actual) = if message.complete { ("be cut off", "ended") } else { ("end", "was cut off") };
        failures.push(format!("{side} body: expected to {wanted}, {actual}"));
    }
}

/// A body for people, its middle left out where it is long.
fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 240;
    match body.split_at_checked(SHOWN) {
        Some((head, rest)) if !rest.is_empty() => format!("`{}…` ({} bytes)", display(head), body.len()),
        _ => format!("`{}`", display(body)),
    }
}

/// Two bodies that differ, for people: from shortly before the first byte that does, where both are long.
pub(super) fn apart(names: (&str, &str), one: &[u8], other: &[u8]) -> String {
    const BEFORE: usize = 40;
    let alike = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    if alike <= 2 * BEFORE {
        return format!("{} {}, {} {}", names.0, excerpt(one), names.1, excerpt(other));
    }
    let from = alike - BEFORE;
    let shown = |body: &[u8]| excerpt(body.get(from..).unwrap_or_default());
    let lengths = format!("of {} and {} bytes", one.len(), other.len());
    format!(
        "alike up to byte {alike} {lengths}; from byte {from} on {} {}, {} {}",
        names.0,
        shown(one),
        names.1,
        shown(other)
    )
}

/// A record is `name=value` words, one of them `reason`.
fn record(expect: &Expect, record: Option<&str>, failures: &mut Vec<String>) {
    let fields: BTreeMap<&str, &str> =
        record.unwrap_or_default().split_whitespace().filter_map(|field| field.split_once('=')).collect();
    let shown = record.map_or_else(|| "there is none".into(), |record| format!("it is `{record}`"));
    match expect.reason.as_deref() {
        Some("none") if record.is_some() => failures.push(format!("record: expected none, {shown}")),
        None | Some("none") => {}
        Some(reason) if fields.get("reason") == Some(&reason) => {}
        Some(reason) => failures.push(format!("record: expected reason={reason}, {shown}")),
    }
    for (name, wanted) in &expect.record {
        if fields.get(name.as_str()) != Some(&wanted.as_str()) {
            failures.push(format!("record: expected {name}={wanted}, {shown}"));
        }
    }
}

/// Texts that appear although they must not. The text is the scenario's own, so it may be shown.
fn never(texts: &[String], play: &Play) -> Vec<String> {
    let mut places: Vec<(&str, Vec<u8>)> = vec![
        ("record", play.record.clone().unwrap_or_default().into_bytes()),
        ("log", play.log.join("\n").into_bytes()),
        ("metrics", play.metrics.keys().cloned().collect::<Vec<_>>().join("\n").into_bytes()),
    ];
    if let Some(client) = &play.client {
        let lines = client.headers.iter().chain(&client.trailers);
        let lines = lines.flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat());
        places.push(("headers at the client", lines.collect()));
        places.push(("body at the client", client.body.clone()));
    }
    let mut failures = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        for (place, bytes) in &places {
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                failures.push(format!("{place}: `{text}` must never appear, but does"));
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play() -> Play {
        let lines = [("set-cookie", "a=1"), ("set-cookie", "b=2")];
        let headers = lines.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec())).collect();
        let client =
            Message { start: "200".into(), headers, body: b"hi".to_vec(), complete: true, ..Message::default() };
        let record = Some("policy=web mode=enforce reason=paint.painted".into());
        Play { client: Some(client), record, log: vec!["warn: key secret".into()], ..Play::default() }
    }

    fn failures(expect: &str) -> Vec<String> {
        check(&serde_saphyr::from_str(&format!("{{expect: {expect}}}")).unwrap(), &play())
    }

    #[test]
    fn a_header_that_differs_is_shown_with_all_its_lines() {
        assert_eq!(
            failures("{client: {headers: {Set-Cookie: a=1, x-frame-options: DENY, via: null}}}"),
            [
                "client set-cookie: expected `a=1`, actual `a=1` and `b=2`",
                "client x-frame-options: expected `DENY`, actual no line",
            ]
        );
        assert!(failures("{client: {headers: {set-cookie: [a=1, b=2]}}}").is_empty());
    }

    #[test]
    fn long_bodies_are_shown_where_they_differ() {
        let long = |end: &str| [vec![b'x'; 1_000], end.as_bytes().to_vec()].concat();
        let (x, names) = ("x".repeat(40), ("expected", "actual"));
        assert_eq!(
            apart(names, &long("abc"), &long("b")),
            format!("alike up to byte 1000 of 1003 and 1001 bytes; from byte 960 on expected `{x}abc`, actual `{x}b`")
        );
        assert_eq!(apart(names, b"hi", b"ho"), "expected `hi`, actual `ho`");
    }

    #[test]
    fn reasons_and_fields_are_read_from_the_record() {
        assert!(failures("{reason: paint.painted, record: {policy: web}}").is_empty());
        assert_eq!(
            failures("{reason: none}"),
            ["record: expected none, it is `policy=web mode=enforce reason=paint.painted`"]
        );
        assert_eq!(failures("{record: {policy: api}}").len(), 1);
    }

    #[test]
    fn what_was_not_reached_or_did_not_grow_is_said() {
        assert_eq!(failures("{upstream: {reached: true}}"), ["upstream: expected to be reached, was not reached"]);
        assert_eq!(failures("{upstream: {path: /}}"), ["upstream: expected a request, was not reached"]);
        assert_eq!(failures("{metrics: {a: 1}}"), ["metric a: expected to grow by 1, grew by 0 (grown: none)"]);
    }

    #[test]
    fn what_the_start_did_not_log_is_said() {
        let said = Outcome { startup_log: vec!["info: ready".into()], ..Outcome::default() };
        let failures = |yaml: &str| scenario(&serde_saphyr::from_str(yaml).unwrap(), &said);
        assert!(failures("{scenario: s, configured: [ready]}").is_empty());
        let failures = failures("{scenario: s, configured: [steady]}");
        assert_eq!(failures[0].what, ["start-up log: expected a line with `steady`, none of 1 has it"]);
    }

    #[test]
    fn a_text_that_must_never_appear_is_found_in_any_output() {
        let found = never(&["secret".into(), "b=2".into(), "absent".into()], &play());
        assert_eq!(
            found,
            ["log: `secret` must never appear, but does", "headers at the client: `b=2` must never appear, but does"]
        );
    }
}
