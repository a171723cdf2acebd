//! Reports for people: a line for each scenario and host, and below it what went wrong.

use std::fmt::Write as _;

use crate::{
    report::failure,
    runner::{Report, Verdict},
};

/// The whole text, and whether the run was a success. A run of nothing is none.
pub fn render(reports: &[Report]) -> (String, bool) {
    if reports.is_empty() {
        return ("no scenario was played: nothing was found under the given paths\n".into(), false);
    }
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for report in reports {
        match report.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Failed(_) => failed += 1,
            Verdict::Skipped(_) => skipped += 1,
        }
        // Writing to a String can't fail.
        let _ = write(&mut text, report);
    }
    let _ = write!(text, "{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    text.push('\n');
    (text, failed == 0 && passed > 0)
}

/// One report alone.
pub fn one(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let hosts = report.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" against ");
    let check = report.check.map(|check| format!(", {check}")).unwrap_or_default();
    let name = format!("{}: {}{check}", report.plugin, report.scenario);
    let took = report.took.as_secs_f64() * 1000.0;
    match &report.verdict {
        Verdict::Passed => {
            writeln!(text, "ok    {name} ({hosts}, {took:.0} ms)")?;
            report.hazards.iter().try_for_each(|hazard| writeln!(text, "      hazard: {hazard}"))
        }
        Verdict::Skipped(reason) => writeln!(text, "skip  {name} ({hosts}): {reason}"),
        Verdict::Failed(failures) => {
            writeln!(text, "FAIL  {name} ({hosts}, {took:.0} ms)")?;
            if !report.file.as_os_str().is_empty() {
                writeln!(text, "      {}", report.file.display())?;
            }
            for (depth, line) in failures.iter().flat_map(failure::lines) {
                let indent = "  ".repeat(depth + 3);
                writeln!(text, "{indent}{}", line.replace('\n', &format!("\n{indent}")))?;
            }
            report.hazards.iter().try_for_each(|hazard| writeln!(text, "      hazard: {hazard}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{runner::Failure, scenario::HostKind};

    fn report(verdict: Verdict) -> Report {
        Report {
            scenario: "a browser is told".into(),
            plugin: "security-headers".into(),
            file: "a.yaml".into(),
            hosts: vec![HostKind::Wasm],
            check: None,
            verdict,
            took: Duration::from_millis(12),
            hazards: Vec::new(),
        }
    }

    #[test]
    fn failures_stand_below_their_scenario_with_the_log() {
        let failure = Failure {
            place: "step 1".into(),
            what: vec!["client: expected status 200, actual 503".into()],
            log: vec!["error: x".into()],
            ..Failure::default()
        };
        let reports = [
            report(Verdict::Passed),
            report(Verdict::Failed(vec![failure])),
            report(Verdict::Skipped("no bodies".into())),
        ];
        let (text, success) = render(&reports);
        assert!(!success);
        assert_eq!(
            text,
            "ok    security-headers: a browser is told (wasm, 12 ms)\n\
             FAIL  security-headers: a browser is told (wasm, 12 ms)\n\
             \u{20}     a.yaml\n\
             \u{20}     step 1\n\
             \u{20}       client: expected status 200, actual 503\n\
             \u{20}       log | error: x\n\
             skip  security-headers: a browser is told (wasm): no bodies\n\
             1 passed, 1 failed, 1 skipped\n"
        );
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert!(!render(&[]).1);
        assert!(!render(&[report(Verdict::Skipped("x".into()))]).1);
        assert!(render(&[report(Verdict::Passed)]).1);
    }
}
