//! The order of filters, and what those around ours do to what ours read.

use crate::check::{
    document::Node,
    edge::HttpFilter,
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    wasm::Dialect,
};

/// Filters that answer in the upstream's place in an ordinary configuration; what they answer passes
/// the filters before them and no others.
const REPLIERS: &[&str] = &[
    "Wasm",
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

/// Filters that change bodies.
const BODY_CHANGERS: &[&str] = &[
    "Decompressor",
    "GrpcJsonTranscoder",
    "GrpcJsonReverseTranscoder",
    "ConnectGrpcBridge",
    "FilterConfig",
    "ProtoApiScrubber",
];

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for (place, looked) in edge.filters.iter().enumerate() {
        let before = edge.filters.get(..place).unwrap_or_default();
        let behind = edge.filters.get(place + 1..).unwrap_or_default();
        match looked.role {
            Some(Role::SecurityHeaders) => not_first(edge, looked, before, findings),
            Some(Role::HmacValidation) => {
                body_changed(edge, looked, before, findings);
                holds_back(edge, looked, findings);
            }
            Some(Role::Redaction) => behind_compressor(edge, looked, behind, findings),
            _ => {}
        }
        if looked.role.is_some() {
            route_cache(edge, looked, behind, findings);
        }
    }
}

fn not_first(edge: &Looked<'_>, looked: &LookedFilter<'_>, before: &[LookedFilter<'_>], findings: &mut Vec<Finding>) {
    let others = before.iter().filter(|other| other.role != looked.role);
    let repliers = others.filter(|other| REPLIERS.contains(&other.filter.kind.as_str()));
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

fn body_changed(
    edge: &Looked<'_>,
    looked: &LookedFilter<'_>,
    before: &[LookedFilter<'_>],
    findings: &mut Vec<Finding>,
) {
    for other in before {
        let changes = BODY_CHANGERS.contains(&other.filter.kind.as_str()) || other.role == Some(Role::Redaction);
        if changes {
            findings.push(Finding::new(
                &finding::BODY_CHANGED_BEFORE_SIGNATURE,
                edge.edge.file,
                looked.filter.node,
                format!(
                    "{}: {} changes the body before its signature is verified",
                    looked.filter.shown(),
                    other.filter.shown()
                ),
                format!("move {} behind it", other.filter.shown()),
            ));
        }
    }
}

fn holds_back(edge: &Looked<'_>, looked: &LookedFilter<'_>, findings: &mut Vec<Finding>) {
    let Some(wasm) = looked.filter.wasm.as_ref().filter(|wasm| !wasm.holds_head_alone) else { return };
    let (why, remedy) = match wasm.dialect {
        Dialect::Envoy => ("without allow_on_headers_stop_iteration", "set allow_on_headers_stop_iteration: true"),
        Dialect::Istio => ("a WasmPlugin can't set allow_on_headers_stop_iteration", "use an EnvoyFilter"),
        Dialect::EnvoyGateway => {
            ("an EnvoyExtensionPolicy can't set allow_on_headers_stop_iteration", "use an EnvoyPatchPolicy")
        }
    };
    findings.push(Finding::new(
        &finding::HOLDS_BODY_BACK,
        edge.edge.file,
        wasm.node,
        format!("{}: {why}, a request whose body is verified hangs until it times out", looked.filter.shown()),
        remedy,
    ));
}

fn behind_compressor(
    edge: &Looked<'_>,
    looked: &LookedFilter<'_>,
    behind: &[LookedFilter<'_>],
    findings: &mut Vec<Finding>,
) {
    // A response meets the filters from the last to the first.
    for other in behind.iter().filter(|other| other.filter.kind == "Compressor") {
        findings.push(Finding::new(
            &finding::BEHIND_COMPRESSOR,
            edge.edge.file,
            looked.filter.node,
            format!(
                "{}: {} has compressed the response before it is read",
                looked.filter.shown(),
                other.filter.shown()
            ),
            format!("move {} before it", other.filter.shown()),
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
    let mut found = None;
    settings.walk(&mut |node| {
        let clears = ["clear_route_cache", "route_cache_action"].iter().find_map(|name| node.get(name));
        if let Some(clears) = clears.filter(|value| value.is_true() || value.text() == Some("CLEAR")) {
            found.get_or_insert(clears);
        }
    });
    found
}
