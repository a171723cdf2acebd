//! One scenario on two hosts: whatever differs is a bug in the test host.
//!
//! The order of lines within one name is compared, the order of names isn't.

use std::collections::BTreeSet;

use super::check::{apart, place, shown};
use crate::{
    outcome::{Message, Outcome, Play},
    scenario::{HostKind, Scenario},
    world::Logs,
};

/// Lines that say nothing about a filter; a name that ends in `*` stands for all that begin so.
const IGNORED: &[(&str, &str)] = &[
    ("date", "Envoy's clock"),
    ("content-length", "framing: a component's host has no wire, a proxy may choose chunks instead"),
    ("transfer-encoding", "framing"),
    ("connection", "belongs to one connection"),
    ("keep-alive", "belongs to one connection"),
    ("proxy-connection", "belongs to one connection"),
    ("host", "what HTTP/1 calls the authority"),
    ("x-envoy-*", "added by Envoy's router"),
    ("x-forwarded-proto", "added by Envoy's connection manager"),
    ("x-request-id", "added by Envoy's connection manager"),
    ("via", "added by Envoy's connection manager"),
];

/// Who saw what, for people.
type Names<'a> = (&'a str, &'a str);

/// The differences of two outcomes, each with both sides. Of a module that is no plugin, every line that
/// it logged in a step is compared: its script speaks through them.
pub fn compare(scenario: &Scenario, a: (HostKind, &Outcome), b: (HostKind, &Outcome)) -> Vec<String> {
    let (first, second) = (a.0.to_string(), b.0.to_string());
    let names = (first.as_str(), second.as_str());
    let (a, b) = (a.1, b.1);
    let taken = |outcome: &Outcome| if outcome.refused.is_some() { "refused" } else { "taken" };
    let mut differences = Vec::new();
    differ(&mut differences, names, "configuration", (&taken(a), &taken(b)));
    if a.refused.is_some() || b.refused.is_some() {
        return differences;
    }
    differ(&mut differences, names, "plays", (&a.plays.len(), &b.plays.len()));
    // Where a step ends between two lines is a matter of Envoy's clock, if both say the same in the same order.
    let compares_logs = scenario.chain().iter().all(|filter| filter.module.is_some())
        && !a.plays.iter().flat_map(lines_of_guest).eq(b.plays.iter().flat_map(lines_of_guest));
    for (a, b) in a.plays.iter().zip(&b.plays) {
        let place = place(a, scenario.steps.get(a.step).and_then(|step| step.name.as_deref()));
        let mut found = plays(names, (a, b));
        if compares_logs {
            found.extend(said(names, (a, b)));
        }
        differences.extend(found.into_iter().map(|difference| format!("{place}: {difference}")));
    }
    differences
}

fn plays(names: Names<'_>, (a, b): (&Play, &Play)) -> Vec<String> {
    let mut found = seen(names, (a, b));
    let taken = |play: &Play| if play.taken == Some(false) { "refused" } else { "taken" };
    differ(&mut found, names, "update", (&taken(a), &taken(b)));
    let metrics: BTreeSet<&String> = a.metrics.keys().chain(b.metrics.keys()).collect();
    for metric in metrics {
        let grown = |play: &Play| play.metrics.get(metric).copied().unwrap_or(0);
        differ(&mut found, names, &format!("metric {metric}"), (&grown(a), &grown(b)));
    }
    found
}

fn lines_of_guest(play: &Play) -> impl Iterator<Item = &String> {
    play.log.iter().filter(|line| Logs::of_guest(line))
}

/// The first line that differs; those behind it mostly follow from it.
fn said(names: Names<'_>, (a, b): (&Play, &Play)) -> Option<String> {
    let of = |play: &Play| -> Vec<String> { lines_of_guest(play).cloned().chain(["nothing more".into()]).collect() };
    let (left, right) = (of(a), of(b));
    let (left, right) = left.iter().zip(&right).find(|(left, right)| left != right)?;
    Some(format!("log: {} `{left}`, {} `{right}`", names.0, names.1))
}

/// What client, upstream and the filter's record tell apart.
pub fn seen(names: Names<'_>, (a, b): (&Play, &Play)) -> Vec<String> {
    let mut found = Vec::new();
    messages(&mut found, names, "client", (a.client.as_ref(), b.client.as_ref()));
    if a.chance.is_none() && b.chance.is_none() {
        messages(&mut found, names, "upstream", (a.upstream.as_ref(), b.upstream.as_ref()));
        for place in 0..a.further.len().max(b.further.len()) {
            let attempts = (a.further.get(place), b.further.get(place));
            messages(&mut found, names, &format!("attempt {}", place + 2), attempts);
        }
    }
    let none = || "none".to_owned();
    let records = (a.record.clone().unwrap_or_else(none), b.record.clone().unwrap_or_else(none));
    differ(&mut found, names, "record", (&records.0, &records.1));
    found
}

fn messages(found: &mut Vec<String>, names: Names<'_>, side: &str, (a, b): (Option<&Message>, Option<&Message>)) {
    let (Some(a), Some(b)) = (a, b) else {
        let there = |message: Option<&Message>| if message.is_some() { "a message" } else { "nothing" };
        differ(found, names, side, (&there(a), &there(b)));
        return;
    };
    differ(found, names, side, (&a.start, &b.start));
    lines(found, names, side, (&a.headers, &b.headers));
    lines(found, names, &format!("{side} trailer"), (&a.trailers, &b.trailers));
    if a.body != b.body {
        found.push(format!("{side} body: {}", apart(names, &a.body, &b.body)));
    }
    let end = |message: &Message| if message.complete { "complete" } else { "cut off" };
    differ(found, names, &format!("{side} end"), (&end(a), &end(b)));
}

type Lines = [(String, Vec<u8>)];

fn lines(found: &mut Vec<String>, names: Names<'_>, side: &str, (a, b): (&Lines, &Lines)) {
    let all: BTreeSet<&String> = a.iter().chain(b).map(|(name, _)| name).filter(|name| !ignored(name)).collect();
    for name in all {
        let of = |lines: &Lines| {
            let lines = lines.iter().filter(|(line, _)| line == name);
            shown(&lines.map(|(_, value)| value.as_slice()).collect::<Vec<_>>())
        };
        differ(found, names, &format!("{side} {name}"), (&of(a), &of(b)));
    }
}

fn ignored(name: &str) -> bool {
    IGNORED.iter().any(|(ignored, _)| match ignored.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *ignored,
    })
}

fn differ<T: PartialEq + std::fmt::Display>(found: &mut Vec<String>, names: Names<'_>, what: &str, (a, b): (&T, &T)) {
    if a != b {
        found.push(format!("{what}: {} {a}, {} {b}", names.0, names.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(headers: &[(&str, &str)]) -> Outcome {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec())).collect();
        let client = Message { start: "200".into(), headers, complete: true, ..Message::default() };
        Outcome { plays: vec![Play { client: Some(client), ..Play::default() }], ..Outcome::default() }
    }

    fn scenario(yaml: &str) -> Scenario {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn differences(a: &[(&str, &str)], b: &[(&str, &str)]) -> Vec<String> {
        compare(&scenario("{scenario: s}"), (HostKind::Wasm, &outcome(a)), (HostKind::Envoy, &outcome(b)))
    }

    #[test]
    fn the_order_of_names_is_no_difference_and_that_of_lines_is() {
        let same = differences(&[("a", "1"), ("b", "2"), ("b", "3")], &[("b", "2"), ("b", "3"), ("a", "1")]);
        assert!(same.is_empty(), "{same:?}");
        assert_eq!(
            differences(&[("b", "2"), ("b", "3")], &[("b", "3"), ("b", "2")]),
            ["step 1: client b: wasm `2` and `3`, envoy `3` and `2`"]
        );
    }

    #[test]
    fn what_only_a_proxy_adds_is_ignored() {
        assert!(differences(&[], &[("date", "now"), ("x-envoy-a", "1"), ("via", "1.1 envoy")]).is_empty());
        assert_eq!(differences(&[], &[("x-env", "1")]).len(), 1);
    }

    #[test]
    fn what_a_module_says_is_compared_where_it_is_no_plugin() {
        let said = |lines: &[&str]| {
            let log = lines.iter().map(|line| (*line).into()).collect();
            Outcome { plays: vec![Play { log, ..Play::default() }], ..Outcome::default() }
        };
        let (a, b) = (said(&["info: a", "host error: x", "info: b"]), said(&["info: a"]));
        let differ = |yaml| compare(&scenario(yaml), (HostKind::Wasm, &a), (HostKind::Envoy, &b));
        assert_eq!(differ("{scenario: s, module: probe}"), ["step 1: log: wasm `info: b`, envoy `nothing more`"]);
        assert!(differ("{scenario: s}").is_empty());
    }

    #[test]
    fn lines_in_one_order_may_fall_on_either_side_of_a_steps_end() {
        let said = |steps: [&[&str]; 2]| {
            let play =
                |lines: &[&str]| Play { log: lines.iter().map(|line| (*line).into()).collect(), ..Play::default() };
            Outcome { plays: steps.iter().map(|lines| play(lines)).collect(), ..Outcome::default() }
        };
        let differ = |a, b| {
            compare(
                &scenario("{scenario: s, module: probe, steps: [{}, {}]}"),
                (HostKind::Wasm, &said(a)),
                (HostKind::Envoy, &said(b)),
            )
        };
        assert!(differ([&["info: a"], &["info: b"]], [&["info: a", "info: b"], &[]]).is_empty());
        assert!(!differ([&["info: a"], &["info: b"]], [&["info: b"], &["info: a"]]).is_empty());
    }

    #[test]
    fn a_difference_stands_with_its_steps_name_and_how_the_bodies_were_cut() {
        let (mut a, b) = (outcome(&[("a", "1")]), outcome(&[]));
        a.plays[0].cut = crate::outcome::Cut::After(3);
        let found =
            compare(&scenario("{scenario: s, steps: [{name: a page}]}"), (HostKind::Wasm, &a), (HostKind::Envoy, &b));
        assert_eq!(found, ["step 1 (a page), bodies cut after 3 bytes: client a: wasm `1`, envoy no line"]);
    }

    #[test]
    fn what_envoy_leaves_to_chance_is_no_difference() {
        let reached = |chance| {
            let upstream = Some(Message::default()).filter(|_| chance == Some("why"));
            Outcome { plays: vec![Play { upstream, chance, ..Play::default() }], ..Outcome::default() }
        };
        let differ = |a: &Outcome| {
            let envoy = Outcome { plays: vec![Play::default()], ..Outcome::default() };
            compare(&scenario("{scenario: s}"), (HostKind::Wasm, a), (HostKind::Envoy, &envoy))
        };
        assert!(differ(&reached(Some("why"))).is_empty());
        let mut certain = reached(Some("why"));
        certain.plays[0].chance = None;
        assert_eq!(differ(&certain), ["step 1: upstream: wasm a message, envoy nothing"]);
    }

    #[test]
    fn a_refusal_on_one_host_only_is_a_difference() {
        let refused = Outcome { refused: Some("no".into()), ..Outcome::default() };
        let found =
            compare(&scenario("{scenario: s}"), (HostKind::Wasm, &refused), (HostKind::Component, &outcome(&[])));
        assert_eq!(found, ["configuration: wasm refused, component taken"]);
    }
}
