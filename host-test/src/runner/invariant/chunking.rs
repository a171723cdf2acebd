//! However bodies are cut on the wire, the outcome is the same.
//!
//! Each cut is played by a filter of its own, behind the scenario's earlier steps, so that what a
//! filter counts or keeps is the same each time.

use super::fresh;
use crate::{
    outcome::{Cut, Play},
    runner::{Failure, check, compare},
    scenario::{Body, Scenario, Step},
};

/// Bodies up to so many bytes are cut at every place, and byte by byte.
const EVERY: usize = 256;
/// Places at which longer ones are cut.
const SAMPLE: usize = 64;
/// Steps before the one that is cut which are played at most.
const BEFORE: usize = 64;

/// Whether there is anything to cut.
pub fn applies(scenario: &Scenario) -> bool {
    scenario.steps.iter().any(|step| !cuts(length(step)).is_empty())
}

pub fn violations(scenario: &Scenario, modules: &[Vec<u8>]) -> Result<Vec<Failure>, String> {
    let mut failures = Vec::new();
    for (index, step) in scenario.steps.iter().enumerate() {
        let cuts = cuts(length(step));
        if cuts.is_empty() {
            continue;
        }
        let whole = play(scenario, modules, index, step, Cut::AsWritten)?;
        for cut in cuts {
            let play = play(scenario, modules, index, step, cut)?;
            let what = compare::seen(("unsplit", "split"), (&whole, &play));
            if !what.is_empty() {
                let place = check::place(&play, step.name.as_deref());
                failures.push(Failure { place, what, log: play.log, ..Failure::default() });
                // The next cut says nothing new.
                break;
            }
        }
    }
    Ok(failures)
}

fn play(scenario: &Scenario, modules: &[Vec<u8>], index: usize, step: &Step, cut: Cut) -> Result<Play, String> {
    let mut session = fresh(scenario, modules)?;
    let before = scenario.steps.get(..index).unwrap_or_default().iter();
    for step in before.flat_map(|step| (0..step.times).map(move |_| step)).take(BEFORE) {
        session.play(step, Cut::AsWritten);
    }
    let (mut play, _) = session.play(step, cut);
    play.step = index;
    Ok(play)
}

/// Bytes of the longer body.
fn length(step: &Step) -> usize {
    let length = |body: Option<&Body>| body.map_or(0, |body| body.pieces().iter().map(Vec::len).sum());
    let response = step.response.as_ref().and_then(|response| response.body.as_ref());
    length(step.request().body.as_ref()).max(length(response))
}

/// Every cut of a short body; of a long one its ends, its middle, and places in even steps.
fn cuts(length: usize) -> Vec<Cut> {
    if length < 2 {
        return Vec::new();
    }
    if length <= EVERY {
        return (1..length).map(Cut::After).chain([Cut::EveryByte]).collect();
    }
    let mut places: Vec<usize> = (1..=SAMPLE).map(|part| length * part / (SAMPLE + 1)).collect();
    places.extend([1, 2, 3, length - 3, length - 2, length - 1]);
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(Cut::After).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_bodies_are_cut_everywhere_and_long_ones_at_a_bounded_number_of_places() {
        assert_eq!(cuts(3), [Cut::After(1), Cut::After(2), Cut::EveryByte]);
        assert!(cuts(1).is_empty());
        let long = cuts(1 << 20);
        assert!(long.len() <= SAMPLE + 6 && long.contains(&Cut::After((1 << 20) - 1)));
    }
}
