//! What is told of a play that went wrong, beside what was expected: its traps and its calls.

use super::Trapped;
use crate::{
    report::story,
    world::{Logs, trace::Entry},
};

/// Lines of calls that are shown; of a longer play the beginning and more of the end.
const FIRST: usize = 8;
const LAST: usize = 24;

/// Lines that a module writes before it traps, of which a panic's text is made.
const SAID: usize = 8;

/// How this host's log tells a trap: `host error: Function: proxy_on_log failed: …`.
const TRAP: (&str, &str) = ("host error: Function: ", " failed: ");

/// The traps that a log tells of, each with the errors right before it. A Rust panic comes by `proxy_log`
/// or by WASI's standard error; without a panic hook and without WASI it is lost in the module.
pub fn traps(log: &[String]) -> Vec<Trapped> {
    let mut traps: Vec<Trapped> = Vec::new();
    for (place, line) in log.iter().enumerate() {
        let Some((callback, what)) = line.strip_prefix(TRAP.0).and_then(|rest| rest.split_once(TRAP.1)) else {
            continue;
        };
        let before = log.get(place.saturating_sub(SAID)..place).unwrap_or_default();
        let errors = before.iter().rev().take_while(|line| is_error(line)).count();
        let said = before.get(before.len() - errors..).unwrap_or_default().to_vec();
        traps.push(Trapped { what: format!("{callback}: {what}"), said });
    }
    traps
}

fn is_error(line: &str) -> bool {
    Logs::of_guest(line) && ["error: ", "critical: "].iter().any(|level| line.starts_with(level))
}

/// A play's calls as lines, the middle left out where there are many.
pub fn calls(entries: &[Entry]) -> Vec<String> {
    let mut lines = story::calls(entries);
    if lines.len() > FIRST + LAST + 1 {
        let left_out = lines.len() - FIRST - LAST;
        let middle = format!("  … {left_out} lines more, told by `portcullis explain`");
        lines.splice(FIRST..FIRST + left_out, [middle]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::trace::Way;

    #[test]
    fn a_trap_has_the_errors_right_before_it_and_no_others() {
        let log = [
            "error: of another request",
            "info: begins",
            "critical: panicked at src/lib.rs:7:9:\nindex out of bounds",
            "host error: Function: proxy_on_log failed: wasm trap (in panic)",
            "host warn: a line of this host",
        ];
        let found = traps(&log.map(String::from));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "proxy_on_log: wasm trap (in panic)");
        assert_eq!(found[0].said, ["critical: panicked at src/lib.rs:7:9:\nindex out of bounds"]);
    }

    #[test]
    fn of_many_calls_the_beginning_and_the_end_are_told() {
        let call = |number: i64| Entry::new(Way::Called, "proxy_on_tick", [number]);
        let entries: Vec<Entry> = (0..40).map(call).collect();
        assert_eq!(calls(&entries[..33]).len(), 33);
        let told = calls(&entries);
        assert_eq!(told.len(), 33);
        assert!(told[7].contains("proxy_on_tick(context 7)"), "{told:?}");
        assert_eq!(told[8], "  … 8 lines more, told by `portcullis explain`");
        assert!(told[9].contains("proxy_on_tick(context 16)"), "{told:?}");
    }
}
