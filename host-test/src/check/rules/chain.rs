//! The order of filters: whose replies pass ours, and who changes the route behind them.

use crate::check::{
    document::Node,
    edge::HttpFilter,
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    wasm::Kind,
};

/// Filters that answer in the upstream's place in an ordinary configuration; what they answer passes
/// the filters before them and no others.
const REPLIERS: &[&str] = &[
    "JwtAuthentication",
    "ExtAuthz",
    "ExternalProcessor",
    "LocalRateLimit",
    "RateLimit",
    "RBAC",
    "BasicAuth",
    "OAuth2",
    "CsrfPolicy",
    "Lua",
    "LuaConfig",
    "FaultFilter",
    "HTTPFault",
    "AdmissionControl",
    "HealthCheck",
    "Buffer",
    "ApiKeyAuth",
    "GcpAuthnFilterConfig",
    "BandwidthLimit",
    "CacheConfig",
];

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for (place, looked) in edge.filters.iter().enumerate() {
        let before = edge.filters.get(..place).unwrap_or_default();
        let behind = edge.filters.get(place + 1..).unwrap_or_default();
        if looked.role == Some(Role::SecurityHeaders) {
            not_first(edge, looked, before, findings);
        }
        if looked.role.is_some() {
            route_cache(edge, looked, behind, findings);
        }
    }
}

fn replies(filter: &HttpFilter<'_>) -> bool {
    match &filter.wasm {
        Some(wasm) => wasm.kind == Kind::Http,
        None => REPLIERS.contains(&filter.kind()),
    }
}

fn not_first(edge: &Looked<'_>, looked: &LookedFilter<'_>, before: &[LookedFilter<'_>], findings: &mut Vec<Finding>) {
    let others = before.iter().filter(|other| other.role != looked.role);
    let repliers = others.filter(|other| replies(other.filter));
    let repliers: Vec<&str> = repliers.map(|other| other.filter.shown()).collect();
    if !repliers.is_empty() {
        findings.push(Finding::new(
            &finding::NOT_FIRST,
            edge.edge.file,
            looked.filter.node,
            format!("{}: replies of {} go out without its headers", looked.filter.shown(), repliers.join(" and ")),
            "move it to the front of http_filters",
        ));
    }
}

fn route_cache(edge: &Looked<'_>, looked: &LookedFilter<'_>, behind: &[LookedFilter<'_>], findings: &mut Vec<Finding>) {
    for other in behind {
        if let Some(node) = clears_route_cache(other.filter) {
            findings.push(Finding::new(
                &finding::ROUTE_CACHE_CLEARED,
                edge.edge.file,
                node,
                format!(
                    "{} clears the route cache: the route may change after {} has chosen its policy",
                    other.filter.shown(),
                    looked.filter.shown()
                ),
                format!("move {} before it, or set require_policy", other.filter.shown()),
            ));
            // One of them is enough to say it; the next would say the same of the same filter.
            break;
        }
    }
}

/// Where a filter says that it clears the route cache.
fn clears_route_cache<'a>(filter: &HttpFilter<'a>) -> Option<&'a Node> {
    let settings = filter.settings?;
    if filter.kind() == "GrpcJsonTranscoder" && !settings.get("match_incoming_request_route").is_some_and(Node::is_true)
    {
        return Some(settings);
    }
    let mut found = None;
    settings.walk(&mut |node| {
        let clears = ["clear_route_cache", "route_cache_action"].iter().find_map(|name| node.get(name));
        if let Some(clears) = clears.filter(|value| value.is_true() || value.text() == Some("CLEAR")) {
            found.get_or_insert(clears);
        }
    });
    found
}
