//! The calls of one scenario on two hosts: those that differ in each play, with those before them.

use std::fmt::Write as _;

use super::{Failure, check};
use crate::{outcome::Outcome, scenario::Scenario, world::trace::Entry};

/// Entries shown before a difference, and of it.
const BEFORE: usize = 4;
const AFTER: usize = 4;
/// Differences shown of one play.
const SHOWN: usize = 3;
/// Entries that must be alike again behind a difference, and how many are looked through for them.
const AGAIN: usize = 3;
const FAR: usize = 600;

/// One failure for the start and for each play whose calls aren't those of Envoy.
pub fn compare(scenario: &Scenario, wasm: &Outcome, envoy: &Outcome) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (index, (actual, expected)) in wasm.traces.iter().zip(&envoy.traces).enumerate() {
        let Some(shown) = difference(expected, actual) else { continue };
        let play = index.checked_sub(1).and_then(|index| wasm.plays.get(index));
        let place = match play {
            Some(play) => {
                let name = scenario.steps.get(play.step).and_then(|step| step.name.as_deref());
                check::place(play, name)
            }
            None => "the start of the worker's VM".to_owned(),
        };
        failures.push(Failure { place, what: vec![shown], ..Failure::default() });
    }
    failures
}

/// The first differences as a small diff, `-` for what Envoy did, `+` for this host.
fn difference(expected: &[Entry], actual: &[Entry]) -> Option<String> {
    let differences = differences(expected, actual);
    let mut text = String::new();
    for Difference { at, envoy, wasm } in differences.iter().take(SHOWN) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "calls differ at {} of {}:", at + 1, expected.len());
        for entry in expected.get(at.saturating_sub(BEFORE)..*at).unwrap_or_default() {
            let _ = writeln!(text, "  {entry}");
        }
        for (sign, host, entries) in [('-', "envoy", envoy), ('+', "wasm ", wasm)] {
            for entry in entries.iter().take(AFTER) {
                let _ = writeln!(text, "{sign} {host} {entry}");
            }
            match entries.len() {
                0 => drop(writeln!(text, "{sign} {host} nothing")),
                all if all > AFTER => drop(writeln!(text, "{sign} {host} and {} more", all - AFTER)),
                _ => {}
            }
        }
    }
    if differences.len() > SHOWN {
        let _ = writeln!(text, "and {} more differences", differences.len() - SHOWN);
    }
    (!text.is_empty()).then(|| text.trim_end().to_owned())
}

/// Entries that only one host has, or has otherwise.
struct Difference<'a> {
    /// Where in Envoy's trace.
    at: usize,
    envoy: &'a [Entry],
    wasm: &'a [Entry],
}

/// Both traces side by side. Behind a difference they go on where the next few entries are alike again.
fn differences<'a>(envoy: &'a [Entry], wasm: &'a [Entry]) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < envoy.len() || right < wasm.len() {
        let (a, b) = (envoy.get(left..).unwrap_or_default(), wasm.get(right..).unwrap_or_default());
        let alike = a.iter().zip(b).take_while(|(a, b)| a.is_like(b)).count();
        (left, right) = (left + alike, right + alike);
        if alike > 0 || a.is_empty() && b.is_empty() {
            continue;
        }
        let (only_a, only_b) = apart(a, b);
        let part = |entries: &'a [Entry], length| entries.get(..length).unwrap_or_default();
        found.push(Difference { at: left, envoy: part(a, only_a), wasm: part(b, only_b) });
        (left, right) = (left + only_a, right + only_b);
    }
    found
}

/// How many entries of each stand before both go on alike.
fn apart(a: &[Entry], b: &[Entry]) -> (usize, usize) {
    for skipped in 1..=FAR {
        for only_a in (0..=skipped).rev() {
            let only_b = skipped - only_a;
            if let (Some(a), Some(b)) = (a.get(only_a..), b.get(only_b..)) {
                let ends = a.is_empty() && b.is_empty();
                let again = a.iter().zip(b).take(AGAIN).filter(|(a, b)| a.is_like(b)).count();
                if ends || again == AGAIN {
                    return (only_a, only_b);
                }
            }
        }
    }
    (a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::trace::Way;

    fn entries(names: &[&str]) -> Vec<Entry> {
        names.iter().map(|name| Entry::new(Way::Called, name, [2])).collect()
    }

    #[test]
    fn the_first_difference_is_shown_with_what_came_before_and_both_sides() {
        let envoy = entries(&["a", "b", "c", "d", "e", "proxy_on_log"]);
        let wasm = entries(&["a", "b", "c", "d", "e"]);
        assert_eq!(
            difference(&envoy, &wasm).unwrap(),
            "calls differ at 6 of 6:\n  [host->vm] b(2)\n  [host->vm] c(2)\n  [host->vm] d(2)\n  [host->vm] e(2)\n\
             - envoy [host->vm] proxy_on_log(2)\n+ wasm  nothing"
        );
        assert_eq!(difference(&envoy, &envoy), None);
    }

    #[test]
    fn behind_a_difference_the_rest_is_compared_again() {
        let envoy = entries(&["a", "b", "c", "d", "e", "f", "g", "h", "x"]);
        let wasm = entries(&["a", "c", "d", "e", "q", "f", "g", "h", "y"]);
        let found = differences(&envoy, &wasm);
        let found: Vec<_> = found.iter().map(|found| (found.at, found.envoy.len(), found.wasm.len())).collect();
        assert_eq!(found, [(1, 1, 0), (5, 0, 1), (8, 1, 1)]);
    }
}
