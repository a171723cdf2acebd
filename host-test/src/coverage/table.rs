//! Calls and their scenarios → a table.

use std::fmt::Write as _;

use super::Covering;
use crate::{envoy::versions, world::trace};

/// Scenarios that are named at most.
const NAMED: usize = 3;

/// What Envoy calls of an HTTP filter and of its root context. `(allocate)` is either allocator.
const CALLBACKS: &[&str] = &[
    "(allocate)",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_grpc_close",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_queue_ready",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

pub fn table(covering: &[Covering]) -> String {
    let mut text = String::from("| call | covered by | confirmed on Envoy |\n|---|---|---|\n");
    let hostcalls = trace::hostcalls();
    let covered = |name: &&str| covering.iter().any(|scenario| scenario.calls.contains(*name));
    let all = CALLBACKS.len() + hostcalls.clone().count();
    let reached = CALLBACKS.iter().copied().chain(hostcalls.clone()).filter(covered).count();
    for name in CALLBACKS.iter().copied().chain(hostcalls) {
        row(&mut text, name, covering);
    }
    format!("{reached} of {all} calls are covered.\n\n{text}")
}

fn row(text: &mut String, name: &str, covering: &[Covering]) {
    let mut of: Vec<&Covering> = covering.iter().filter(|scenario| scenario.calls.contains(name)).collect();
    // First what is confirmed on most, then what makes fewest other calls: it is about this one.
    of.sort_by_key(|scenario| (usize::MAX - scenario.versions.len(), scenario.calls.len(), &scenario.link));
    let mut names: Vec<String> = of
        .iter()
        .take(NAMED)
        .map(|scenario| {
            let stem = scenario.link.file_stem().unwrap_or_default().to_string_lossy();
            format!("[{stem}]({})", scenario.link.display())
        })
        .collect();
    if of.len() > NAMED {
        names.push(format!("+{}", of.len() - NAMED));
    }
    let on = |minor: &&str| of.iter().any(|one| one.versions.iter().any(|version| versions::is_of(version, minor)));
    let versions: Vec<&str> = versions::SUPPORTED.into_iter().filter(on).collect();
    let cell = |parts: &str| if parts.is_empty() { "none".to_owned() } else { parts.to_owned() };
    let name = name.trim_matches(['(', ')']);
    // Writing to a String can't fail.
    let _ = writeln!(text, "| `{name}` | {} | {} |", cell(&names.join(", ")), cell(&versions.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covering(link: &str, calls: &[&str], versions: &[&str]) -> Covering {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Covering { link: link.into(), calls: strings(calls).into_iter().collect(), versions: strings(versions) }
    }

    #[test]
    fn a_row_names_three_scenarios_and_counts_the_rest() {
        let all = ["a", "b", "c", "d"].map(|name| covering(&format!("x/{name}.yaml"), &["proxy_done"], &[]));
        let mut text = String::new();
        row(&mut text, "proxy_done", &all);
        row(&mut text, "proxy_log", &all);
        assert_eq!(
            text,
            "| `proxy_done` | [a](x/a.yaml), [b](x/b.yaml), [c](x/c.yaml), +1 | none |\n| `proxy_log` | none | none |\n"
        );
    }

    #[test]
    fn versions_are_those_of_any_scenario_by_minor() {
        let all = [
            covering("b.yaml", &["proxy_done", "proxy_log"], &["1.40.0"]),
            covering("a.yaml", &["proxy_done"], &["1.36.4", "1.40.0"]),
        ];
        let mut text = String::new();
        row(&mut text, "proxy_done", &all);
        assert_eq!(text, "| `proxy_done` | [a](a.yaml), [b](b.yaml) | 1.36, 1.40 |\n");
    }
}
