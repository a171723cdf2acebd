//! The calls of one scenario on two hosts: the first that differs in each play, with those before it.

use std::fmt::Write as _;

use super::{Failure, check};
use crate::{outcome::Outcome, scenario::Scenario, world::trace::Entry};

/// Entries shown before a difference, and from it on.
const BEFORE: usize = 4;
const AFTER: usize = 4;

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
        failures.push(Failure { place, what: vec![shown], log: Vec::new() });
    }
    failures
}

/// The first difference as a small diff, `-` for what Envoy did, `+` for this host.
fn difference(expected: &[Entry], actual: &[Entry]) -> Option<String> {
    let alike = expected.iter().zip(actual).take_while(|(a, b)| a.is_like(b)).count();
    if alike == expected.len() && alike == actual.len() {
        return None;
    }
    let mut text = format!("calls differ at {} (envoy {}, wasm {}):", alike + 1, expected.len(), actual.len());
    let from = alike.saturating_sub(BEFORE);
    // Writing to a String can't fail.
    for entry in expected.get(from..alike).unwrap_or_default() {
        let _ = write!(text, "\n  {entry}");
    }
    for (sign, host, entries) in [('-', "envoy", expected), ('+', "wasm ", actual)] {
        let rest = entries.get(alike..).unwrap_or_default();
        for entry in rest.iter().take(AFTER) {
            let _ = write!(text, "\n{sign} {host} {entry}");
        }
        if rest.is_empty() {
            let _ = write!(text, "\n{sign} {host} nothing more");
        }
    }
    Some(text)
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
            "calls differ at 6 (envoy 6, wasm 5):\n  [host->vm] b(2)\n  [host->vm] c(2)\n  [host->vm] d(2)\n  [host->vm] e(2)\n\
             - envoy [host->vm] proxy_on_log(2)\n+ wasm  nothing more"
        );
        assert_eq!(difference(&envoy, &envoy), None);
    }
}
