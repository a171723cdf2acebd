//! Which policy each filter has in force on each route, as the filters themselves say.

use super::{
    ask::Answer,
    finding::{self, Finding},
    looked::Looked,
};

/// One route of one edge, with an answer for each wasm filter; `None` where the filter couldn't be asked.
pub struct Row<'a> {
    pub host: &'a str,
    pub route: String,
    pub answers: Vec<Option<Answer>>,
}

/// Refusals that hang on the configuration alone, so that every request meets them.
const CONFIGURED_WRONG: [&str; 3] = ["policy_unknown", "override_invalid", "policy_required"];

/// Every route of an edge. What is wrong with one is added to the findings.
pub fn ask<'a>(looked: &Looked<'a>, findings: &mut Vec<Finding>) -> Vec<Row<'a>> {
    let wasm: Vec<_> = looked.filters.iter().filter(|looked| looked.asked.is_some()).collect();
    if wasm.is_empty() {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for host in &looked.edge.hosts {
        for route in &host.routes {
            let mut answers = Vec::new();
            for filter in &wasm {
                let Some(Ok(asked)) = &filter.asked else {
                    answers.push(None);
                    continue;
                };
                if host.has_off(route, filter.filter.node) {
                    answers.push(Some(Answer { off: true, ..Answer::default() }));
                    continue;
                }
                let Some(answer) = asked.route(host, route) else {
                    answers.push(None);
                    continue;
                };
                let name = filter.filter.shown();
                let node = route.metadata.or(host.metadata).unwrap_or(route.node);
                let told = answer.log.iter().find_map(|line| line.get(line.find("metadata ")?..)).unwrap_or_default();
                let wrong = CONFIGURED_WRONG
                    .iter()
                    .find(|code| answer.reason == **code || answer.notes.iter().any(|note| note == **code));
                let finding = |rule, what: String, remedy: &str| Finding::new(rule, host.file, node, what, remedy);
                if let Some(trap) = &answer.trap {
                    let what = format!(
                        "{name}: traps on {} {}: {}",
                        route.method,
                        route.path,
                        trap.lines().next().unwrap_or_default()
                    );
                    findings.push(finding(
                        &finding::MODULE_TRAPS,
                        what,
                        "mend the module; run it with --invariant no-trap",
                    ));
                } else if let (Some(status), Some(code)) = (&answer.refused_with, wrong) {
                    let what =
                        format!("{name}: every request to {} is answered with {status} ({code}) {told}", route.shown);
                    findings.push(finding(&finding::ROUTE_REFUSES, what.trim_end().to_owned(), "mend the metadata"));
                } else if let Some(code) = wrong {
                    let what = format!(
                        "{name}: `{}` is in force on {} in the place of what is named ({code}) {told}",
                        answer.policy, route.shown
                    );
                    findings.push(finding(
                        &finding::ROUTE_FALLS_BACK,
                        what.trim_end().to_owned(),
                        "name a policy that there is",
                    ));
                } else if asked.filter.is_some() && ["", "no_policy"].contains(&answer.reason.as_str()) {
                    let what = format!("{name}: no policy is in force on {}", route.shown);
                    findings.push(finding(
                        &finding::ROUTE_UNPROTECTED,
                        what,
                        "name one in the route's metadata, or set default_policy",
                    ));
                }
                answers.push(Some(answer));
            }
            rows.push(Row { host: host.name, route: route.shown.clone(), answers });
        }
    }
    rows
}

impl Answer {
    /// In a cell of a table.
    pub fn shown(&self) -> String {
        let policy = match (self.policy.as_str(), self.mode.as_str()) {
            ("", _) => "-".to_owned(),
            (policy, "" | "enforce") => policy.to_owned(),
            (policy, mode) => format!("{policy} ({mode})"),
        };
        match (&self.trap, &self.refused_with) {
            _ if self.off => "off".into(),
            (Some(_), _) => "traps".into(),
            (None, Some(status)) => format!("{policy}, answers {status}"),
            (None, None) => policy,
        }
    }
}
