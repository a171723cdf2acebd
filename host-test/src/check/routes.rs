//! Which policy each filter has in force on each route, as the filters themselves say.
//!
//! 1. A row for each route, and one more for each kind of request to it that gets another answer: a filter may
//!    choose by host, method and path itself.
//!    At most [`MOST`] of those are asked; a note tells that there are more.
//! 2. What is wrong with an answer is a finding at the metadata that it hangs on.

use super::{
    ask::{Answer, Asked},
    document::Node,
    finding::{self, Finding},
    looked::{Looked, LookedFilter},
    questions::{Asking, Kind, Question, Work},
    virtual_host::{Route, VirtualHost},
};

/// One route of one edge, with an answer for each wasm filter; `None` where the filter couldn't be asked.
pub struct Row<'a> {
    pub host: &'a str,
    pub route: String,
    pub question: Question,
    pub answers: Vec<Option<Answer>>,
}

/// Refusals that hang on the configuration alone, so that every request meets them.
const CONFIGURED_WRONG: [&str; 3] = ["policy_unknown", "override_invalid", "policy_required"];

/// Questions of an edge besides the plain ones.
const MOST: usize = 5000;

/// Every route of an edge. What is wrong with one is added to the findings.
pub fn ask<'a>(looked: &Looked<'a>, findings: &mut Vec<Finding>) -> Vec<Row<'a>> {
    let wasm: Vec<_> = looked.filters.iter().filter(|looked| looked.asked.is_some()).collect();
    if wasm.is_empty() {
        return Vec::new();
    }
    let configurations: Vec<_> = wasm.iter().map(|filter| filter.filter.wasm.as_ref()?.fields()).collect();
    let (mut rows, mut left, mut work) = (Vec::new(), MOST, Work::default());
    let hosts = &looked.edge.hosts;
    for host in hosts {
        let authority = host.authority(hosts);
        for (number, route) in host.routes.iter().enumerate() {
            let asking = Asking { hosts, host, place: number, route };
            let plain = Question::plain(&authority, route);
            let mut all: Vec<(Question, Vec<Option<Answer>>)> = Vec::new();
            let answers: Vec<_> = wasm.iter().map(|filter| answer(filter, host, route, &plain)).collect();
            for (place, filter) in wasm.iter().enumerate() {
                let configuration = configurations.get(place).and_then(Option::as_deref);
                let Some(configuration) = configuration.filter(|_| left > 0) else { continue };
                let Some(as_plain) = answers.get(place).and_then(Option::as_ref).filter(|plain| !plain.off) else {
                    continue;
                };
                let mut told = Told::default();
                let questions = asking.of_rules(configuration, &plain, &mut work);
                let mut is_more = work.is_spent();
                for (kind, question) in questions {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        is_more = true;
                        break;
                    }
                    let Some(answered) = answer(filter, host, route, &question) else { break };
                    if !told.is_new(kind, &answered) || answered.is_like(as_plain) {
                        continue;
                    }
                    let at = all.iter().position(|(known, _)| *known == question).unwrap_or_else(|| {
                        // The others choose as they did, unless they have an entry for it too.
                        all.push((question, answers.clone()));
                        all.len() - 1
                    });
                    if let Some(cell) = all.get_mut(at).and_then(|(_, answers)| answers.get_mut(place)) {
                        *cell = Some(answered);
                    }
                }
                if is_more {
                    left = 0;
                    let what = format!(
                        "{}: from here on only a plain request to each route is asked about, and none for each entry \
                         of `routes`; there are more than {MOST}, or more routes than can be compared with them",
                        filter.filter.shown()
                    );
                    let remedy = "check a part of the routes alone to see theirs";
                    findings.push(Finding::new(&finding::ROUTES_MANY, host.file, route.node, what, remedy));
                }
            }
            all.insert(0, (plain, answers));
            for (number, (question, answers)) in all.into_iter().enumerate() {
                let shown = match number {
                    0 => route.shown.clone(),
                    // No expression is evaluated here.
                    _ if route.is_by_expression() => format!("{} as {}, if it matches", route.shown, question.shown()),
                    _ => format!("{} as {}", route.shown, question.shown()),
                };
                for (filter, answer) in wasm.iter().zip(&answers) {
                    if let (Some(Ok(asked)), Some(answer)) = (&filter.asked, answer) {
                        wrong(filter, asked, answer, (host, route, &shown, &question), findings);
                    }
                }
                rows.push(Row { host: host.name, route: shown, question, answers });
            }
        }
    }
    if let Some(last) = wasm.iter().rev().find(|filter| matches!(&filter.asked, Some(Ok(asked)) if asked.is_spent())) {
        let what = "the modules take so much time and memory that not all routes could be asked about";
        let remedy = "check a part of the routes, or of the filters, alone";
        findings.push(Finding::new(&finding::ROUTES_MANY, looked.edge.file, last.filter.node, what, remedy));
    }
    rows
}

fn answer(filter: &LookedFilter<'_>, host: &VirtualHost<'_>, route: &Route<'_>, question: &Question) -> Option<Answer> {
    let Some(Ok(asked)) = &filter.asked else { return None };
    if host.has_off(route, filter.filter.node) {
        return Some(Answer { off: true, ..Answer::default() });
    }
    asked.route(host, route, question)
}

/// What is wrong with an answer to a question on a route.
fn wrong(
    filter: &LookedFilter<'_>,
    asked: &Asked,
    answer: &Answer,
    (host, route, shown, question): (&VirtualHost<'_>, &Route<'_>, &str, &Question),
    findings: &mut Vec<Finding>,
) {
    if answer.off {
        return;
    }
    let name = filter.filter.shown();
    let node: &Node = route.metadata.or(host.metadata).unwrap_or(route.node);
    let told = answer.log.iter().find_map(|line| line.get(line.find("metadata ")?..)).unwrap_or_default();
    let wrong =
        CONFIGURED_WRONG.iter().find(|code| answer.reason == **code || answer.notes.iter().any(|note| note == **code));
    let finding = |rule, what: String, remedy: &str| Finding::new(rule, host.file, node, what.trim_end(), remedy);
    findings.extend(if let Some(trap) = &answer.trap {
        let first = trap.lines().next().unwrap_or_default();
        let what = format!("{name}: traps on {} {}: {first}", question.method, question.path);
        Some(finding(&finding::MODULE_TRAPS, what, "mend the module; run it with --invariant no-trap"))
    } else if let (Some(status), Some(code)) = (&answer.refused_with, wrong) {
        let what = format!("{name}: every request to {shown} is answered with {status} ({code}) {told}");
        Some(finding(&finding::ROUTE_REFUSES, what, "mend the metadata"))
    } else if let Some(code) = wrong {
        let policy = &answer.policy;
        let what = format!("{name}: `{policy}` is in force on {shown} in the place of what is named ({code}) {told}");
        Some(finding(&finding::ROUTE_FALLS_BACK, what, "name a policy that there is"))
    } else if asked.filter.is_some() && answer.reason == "no_policy" {
        let what = format!("{name}: no policy is in force on {shown}");
        let remedy = "name one in the route's metadata, or set default_policy";
        Some(finding(&finding::ROUTE_UNPROTECTED, what, remedy))
    } else {
        None
    });
}

/// What is told beside an answer: that of the stranger, and that of the entry which it is near to.
#[derive(Default)]
struct Told {
    stranger: Option<Answer>,
    entry: Option<Answer>,
}

impl Told {
    /// Whether an answer says more than those.
    fn is_new(&mut self, kind: Kind, answer: &Answer) -> bool {
        match kind {
            Kind::Stranger => self.stranger = Some(answer.clone()),
            Kind::Entry => self.entry = Some(answer.clone()),
            Kind::Near => return ![&self.stranger, &self.entry].into_iter().flatten().any(|told| answer.is_like(told)),
        }
        true
    }
}

impl Answer {
    /// Whether the filter does the same, as far as a table shows it.
    fn is_like(&self, other: &Self) -> bool {
        let shown = |answer: &Self| (answer.shown(), answer.reason.clone(), answer.notes.clone());
        shown(self) == shown(other)
    }

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
