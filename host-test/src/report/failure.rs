//! A failure as lines, the same for people and for JUnit: what was expected beside what was, then how it
//! came to be.

use crate::runner::{Failure, Trapped};

/// Each with how far it stands to the right.
pub fn lines(failure: &Failure) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let depth = usize::from(!failure.place.is_empty());
    if depth > 0 {
        lines.push((0, failure.place.clone()));
    }
    lines.extend(failure.what.iter().map(|what| (depth, what.replace('\n', "\n  "))));
    for Trapped { what, said } in &failure.traps {
        lines.push((depth, format!("trap in {what}")));
        lines.extend(said.iter().map(|line| (depth + 1, line.clone())));
    }
    if !failure.calls.is_empty() {
        lines.push((depth, "calls".into()));
        lines.extend(failure.calls.iter().map(|call| (depth, call.clone())));
    }
    // What stands with its trap isn't said again.
    let told =
        |line: &&String| failure.traps.iter().any(|trap| trap.said.contains(line) || line.ends_with(&rest(trap)));
    let log = failure.log.iter().filter(|line| !told(line));
    lines.extend(log.map(|line| (depth, format!("log | {}", line.replace('\n', "\n    | ")))));
    lines
}

/// How the log's line of a trap ends.
fn rest(trap: &Trapped) -> String {
    let (callback, what) = trap.what.split_once(": ").unwrap_or((&trap.what, ""));
    format!("Function: {callback} failed: {what}")
}
