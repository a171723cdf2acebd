//! The order of filters: whose replies pass ours, and who changes the route behind them.

use crate::check::{
    document::Node,
    edge::{HttpFilter, PACKAGE},
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    lua,
    wasm::Kind,
};

/// Filters that answer in the upstream's place in an ordinary configuration; what they answer passes
/// the filters before them and no others. Those that answer a client which shows no page are left out: preflights
/// (`cors`), health checks. So are those whose answers came from the upstream once (`cache`).
const REPLIERS: &[&str] = &[
    "admission_control.v3.AdmissionControl",
    "api_key_auth.v3.ApiKeyAuth",
    "basic_auth.v3.BasicAuth",
    "buffer.v3.Buffer",
    "csrf.v3.CsrfPolicy",
    "dynamic_modules.v3.DynamicModuleFilter",
    "ext_authz.v3.ExtAuthz",
    "ext_proc.v3.ExternalProcessor",
    "fault.v3.HTTPFault",
    "gcp_authn.v3.GcpAuthnFilterConfig",
    "golang.v3alpha.Config",
    "jwt_authn.v3.JwtAuthentication",
    "local_ratelimit.v3.LocalRateLimit",
    "oauth2.v3.OAuth2",
    "rate_limit_quota.v3.RateLimitQuotaFilterConfig",
    "ratelimit.v3.RateLimit",
    "rbac.v3.RBAC",
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
    match (&filter.wasm, filter.message.strip_prefix(PACKAGE)) {
        (Some(wasm), _) => wasm.kind == Kind::Http,
        // A script that stands in a file may.
        (None, Some("lua.v3.Lua")) => {
            let mut scripts = filter.settings.map(lua::scripts).unwrap_or_default();
            let is_elsewhere = scripts.is_empty();
            is_elsewhere || scripts.iter_mut().any(|script| lua::replies(script))
        }
        (None, message) => message.is_some_and(|message| REPLIERS.contains(&message)),
    }
}

fn not_first(edge: &Looked<'_>, looked: &LookedFilter<'_>, before: &[LookedFilter<'_>], findings: &mut Vec<Finding>) {
    let others = before.iter().filter(|other| other.role != looked.role);
    let repliers = others.filter(|other| replies(other.filter) && !edge.edge.has_off(other.filter));
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
    for other in behind.iter().filter(|other| !edge.edge.has_off(other.filter)) {
        if let Some(node) = clears_route_cache(other.filter, &edge.edge.per_route(other.filter)) {
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

/// Where a filter says that it clears the route cache, or a route says so of it.
fn clears_route_cache<'a>(filter: &HttpFilter<'a>, per_route: &[&'a Node]) -> Option<&'a Node> {
    let settings = filter.settings?;
    if filter.message.strip_prefix(PACKAGE) == Some("lua.v3.Lua") {
        let by_itself = !settings.get("clear_route_cache").is_some_and(Node::is_false);
        let clears =
            |node: &&Node| lua::scripts(node).into_iter().any(|script| lua::clears_route_cache(script, by_itself));
        return std::iter::once(settings).chain(per_route.iter().copied()).find(clears);
    }
    if filter.kind() == "GrpcJsonTranscoder" && !settings.get("match_incoming_request_route").is_some_and(Node::is_true)
    {
        return Some(settings);
    }
    let mut found = None;
    settings.walk(&mut |node| {
        let clears = ["clear_route_cache", "route_cache_action"].iter().find_map(|name| node.get(name));
        if let Some(clears) = clears.filter(|value| value.is_true() || value.is_value("CLEAR", 1)) {
            found.get_or_insert(clears);
        }
    });
    found
}
