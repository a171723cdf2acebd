//! Reports as JUnit's XML: a suite for each plugin, a case for each scenario and host.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    report::failure,
    runner::{Failure, Report, Verdict},
};

pub fn render(reports: &[Report]) -> String {
    let mut suites: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
    for report in reports {
        suites.entry(&report.plugin).or_default().push(report);
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (plugin, reports) in suites {
        // Writing to a String can't fail.
        let _ = suite(&mut text, plugin, &reports);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, plugin: &str, reports: &[&Report]) -> std::fmt::Result {
    let of = |is: fn(&Verdict) -> bool| reports.iter().filter(|report| is(&report.verdict)).count();
    let failed = of(|verdict| matches!(verdict, Verdict::Failed(_)));
    let skipped = of(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let seconds: f64 = reports.iter().map(|report| report.took.as_secs_f64()).sum();
    writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        escaped(plugin),
        reports.len()
    )?;
    for report in reports {
        let hosts = report.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" against ");
        let check = report.check.map(|check| format!(", {check}")).unwrap_or_default();
        write!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" time=\"{:.3}\"",
            escaped(&format!("{plugin}.{hosts}")),
            escaped(&format!("{}{check}", report.scenario)),
            escaped(&report.file.to_string_lossy()),
            report.took.as_secs_f64()
        )?;
        match &report.verdict {
            Verdict::Passed => text.push_str("/>\n"),
            Verdict::Skipped(reason) => {
                writeln!(text, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(reason))?;
            }
            Verdict::Failed(failures) => {
                text.push_str(">\n");
                for failure in failures {
                    let first = failure.what.first().map(String::as_str).unwrap_or_default();
                    let first = first.lines().next().unwrap_or_default();
                    let whole = escaped(&whole(failure));
                    writeln!(text, "      <failure message=\"{}\">{whole}</failure>", escaped(first))?;
                }
                text.push_str("    </testcase>\n");
            }
        }
    }
    text.push_str("  </testsuite>\n");
    Ok(())
}

fn whole(failure: &Failure) -> String {
    let lines = failure::lines(failure).into_iter();
    lines.map(|(depth, line)| format!("{}{line}", "  ".repeat(depth))).collect::<Vec<_>>().join("\n")
}

/// Text in an attribute or an element. What XML 1.0 can't hold at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::HostKind;

    pub fn reports() -> Vec<Report> {
        let report = |check, verdict| Report {
            scenario: "a <b> & \"c\"".into(),
            plugin: "security-headers".into(),
            file: "a.yaml".into(),
            hosts: vec![HostKind::Wasm],
            check,
            verdict,
            took: Duration::from_millis(12),
            hazards: Vec::new(),
        };
        let failure = Failure {
            place: "step 1".into(),
            what: vec!["one\nmore\u{1}".into()],
            log: vec!["error: x".into()],
            ..Failure::default()
        };
        vec![
            report(None, Verdict::Passed),
            report(Some("trace"), Verdict::Failed(vec![failure])),
            report(None, Verdict::Skipped("no bodies".into())),
        ]
    }

    #[test]
    fn cases_stand_in_their_suite_and_text_can_not_break_out() {
        assert_eq!(
            render(&reports()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
             <testsuite name=\"security-headers\" tests=\"3\" failures=\"1\" skipped=\"1\" time=\"0.036\">\n    \
             <testcase classname=\"security-headers.wasm\" name=\"a &lt;b&gt; &amp; &quot;c&quot;\" file=\"a.yaml\" time=\"0.012\"/>\n    \
             <testcase classname=\"security-headers.wasm\" name=\"a &lt;b&gt; &amp; &quot;c&quot;, trace\" file=\"a.yaml\" time=\"0.012\">\n      \
             <failure message=\"one\">step 1\n  one\n  more\u{fffd}\n  log | error: x</failure>\n    </testcase>\n    \
             <testcase classname=\"security-headers.wasm\" name=\"a &lt;b&gt; &amp; &quot;c&quot;\" file=\"a.yaml\" time=\"0.012\">\n      \
             <skipped message=\"no bodies\"/>\n    </testcase>\n  </testsuite>\n</testsuites>\n"
        );
    }
}
