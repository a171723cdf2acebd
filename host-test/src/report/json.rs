//! Reports for programs: one JSON document.

use serde_json::{Value, json};

use crate::{
    report::human,
    runner::{Failure, Report, Trapped, Verdict},
};

/// `{"passed": bool, "reports": […]}`, a report for each line of the text for people.
pub fn render(reports: &[Report]) -> String {
    let passed = human::render(reports).1;
    let reports: Vec<Value> = reports.iter().map(report).collect();
    format!("{:#}\n", json!({ "passed": passed, "reports": reports }))
}

fn report(report: &Report) -> Value {
    let (verdict, reason, failures) = match &report.verdict {
        Verdict::Passed => ("passed", Value::Null, &[] as &[Failure]),
        Verdict::Skipped(reason) => ("skipped", json!(reason), &[] as &[Failure]),
        Verdict::Failed(failures) => ("failed", Value::Null, failures.as_slice()),
    };
    let failures = failures.iter().map(failure);
    json!({
        "plugin": report.plugin,
        "scenario": report.scenario,
        "file": report.file,
        "hosts": report.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "check": report.check,
        "verdict": verdict,
        "skipped_because": reason,
        "failures": failures.collect::<Vec<_>>(),
        "hazards": report.hazards,
        "seconds": report.took.as_secs_f64(),
    })
}

fn failure(failure: &Failure) -> Value {
    let trap = |trap: &Trapped| json!({ "what": trap.what, "said": trap.said });
    json!({
        "place": failure.place,
        "what": failure.what,
        "traps": failure.traps.iter().map(trap).collect::<Vec<_>>(),
        "calls": failure.calls,
        "log": failure.log,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::junit::tests::reports;

    #[test]
    fn every_report_stands_in_the_document_with_its_failures() {
        let read: Value = serde_json::from_str(&render(&reports())).unwrap();
        assert_eq!(read["passed"], false);
        assert_eq!(read["reports"].as_array().unwrap().len(), 3);
        assert_eq!(read["reports"][1]["failures"][0]["place"], "step 1");
        assert_eq!(read["reports"][1]["check"], "trace");
        assert_eq!(read["reports"][2]["skipped_because"], "no bodies");
    }
}
