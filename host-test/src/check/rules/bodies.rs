//! What filters around ours do to bodies, and how much of one the proxy holds.

use crate::check::{
    document::{Node, Value},
    edge::{HttpFilter, PACKAGE},
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    lua,
    virtual_host::{Route, VirtualHost},
    wasm::{Dialect, Wasm},
};

/// Filters that change the body of a request. Several others are configured by a `FilterConfig`, so that
/// a message is known by its package.
const CHANGERS: &[&str] = &[
    "aws_lambda.v3.Config",
    "connect_grpc_bridge.v3.FilterConfig",
    "grpc_http1_bridge.v3.Config",
    "grpc_http1_reverse_bridge.v3.FilterConfig",
    "grpc_json_reverse_transcoder.v3.GrpcJsonReverseTranscoder",
    "grpc_json_transcoder.v3.GrpcJsonTranscoder",
    "grpc_web.v3.GrpcWeb",
    "proto_api_scrubber.v3.ProtoApiScrubberConfig",
    "transform.v3.TransformConfig",
];

/// Envoy's own, where a listener says nothing.
const DEFAULT_LIMIT: f64 = 1_048_576.0;

/// Fields of a policy, a provider or a key that say how many bytes of a body it holds.
const HOLDS: [&str; 5] =
    ["max_held_bytes", "max_body_bytes", "max_buffered_bytes", "max_hold_bytes", "body_limit_bytes"];

pub fn look(edge: &Looked<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    for (place, looked) in edge.filters.iter().enumerate() {
        let before = edge.filters.get(..place).unwrap_or_default();
        let behind = edge.filters.get(place + 1..).unwrap_or_default();
        match looked.role {
            Some(Role::HmacValidation) => {
                changed(edge, looked, before, findings);
                holds_back(edge, looked, envoy, findings);
            }
            Some(Role::Redaction) => behind_compressor(edge, looked, behind, findings),
            _ => {}
        }
        if looked.role.is_some() {
            limits(edge, looked, findings);
        }
    }
}

fn changed(edge: &Looked<'_>, looked: &LookedFilter<'_>, before: &[LookedFilter<'_>], findings: &mut Vec<Finding>) {
    let changes = |other: &&LookedFilter<'_>| {
        let is_ours = other.role == Some(Role::Redaction);
        let routes = edge.edge.hosts.iter().flat_map(|host| host.routes.iter().map(move |route| (host, route)));
        let mut verified = routes.filter(|(host, route)| verifies(looked, host, route)).peekable();
        if verified.peek().is_none() {
            let per_route = edge.edge.per_route(other.filter);
            return !edge.edge.has_off(other.filter) && (is_ours || changes(other.filter, &per_route));
        }
        verified.any(|(host, route)| {
            let said: Vec<&Node> = host.said_of(route, other.filter.name).into_iter().collect();
            !host.has_off(route, other.filter.node) && (is_ours || changes(other.filter, &said))
        })
    };
    for other in before.iter().filter(changes) {
        let (ours, theirs) = (looked.filter.shown(), other.filter.shown());
        findings.push(Finding::new(
            &finding::BODY_CHANGED_BEFORE_SIGNATURE,
            edge.edge.file,
            looked.filter.node,
            format!("{ours}: {theirs} changes the body before its signature is verified"),
            format!("move {theirs} behind it"),
        ));
    }
}

/// Whether signatures may be verified on a route: where its metadata says so, if that alone decides.
fn verifies(looked: &LookedFilter<'_>, host: &VirtualHost<'_>, route: &Route<'_>) -> bool {
    if host.has_off(route, looked.filter.node) {
        return false;
    }
    let configuration = looked.filter.wasm.as_ref().and_then(Wasm::fields);
    let chooses = |fields: &Node| ["default_policy", "routes"].iter().any(|name| fields.get(name).is_some());
    let by_itself = configuration.as_ref().is_none_or(|fields| chooses(fields));
    let metadata = [route.metadata, host.metadata].into_iter().flatten();
    let mut spaces = metadata.filter_map(|metadata| metadata.get("filter_metadata")).flat_map(Node::fields);
    by_itself || spaces.any(|(name, _)| name.contains("hmac"))
}

/// Whether a filter changes bodies of requests, as it is configured, or as a route configures it.
fn changes(filter: &HttpFilter<'_>, per_route: &[&Node]) -> bool {
    let Some(message) = filter.message.strip_prefix(PACKAGE) else { return false };
    let field = |path: &[&str]| filter.settings.and_then(|settings| settings.at_path(path));
    let request = |field_of: &str| field(&["request_direction_config", "common_config", "enabled", field_of]);
    match message {
        "decompressor.v3.Decompressor" => !request("default_value").is_some_and(Node::is_false),
        "compressor.v3.Compressor" => {
            field(&["request_direction_config"]).is_some() && !request("default_value").is_some_and(Node::is_false)
        }
        "ext_proc.v3.ExternalProcessor" => {
            let of_route = per_route.iter().filter_map(|node| node.at_path(&["overrides", "processing_mode"]));
            let modes = field(&["processing_mode"]).into_iter().chain(of_route);
            modes.filter_map(|mode| mode.get("request_body_mode")).any(|mode| !mode.is_value("NONE", 0))
        }
        "lua.v3.Lua" => {
            let scripts = filter.settings.into_iter().chain(per_route.iter().copied());
            scripts.flat_map(lua::scripts).any(lua::changes_request_bodies)
        }
        _ => CHANGERS.contains(&message),
    }
}

/// The minor version of Envoy 1 that brought `allow_on_headers_stop_iteration`.
const HOLDS_HEAD_ALONE: u32 = 35;

fn holds_back(edge: &Looked<'_>, looked: &LookedFilter<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    let Some(wasm) = looked.filter.wasm.as_ref().filter(|wasm| !wasm.holds_head_alone) else { return };
    let (why, remedy) = match wasm.dialect {
        Dialect::Envoy if envoy < HOLDS_HEAD_ALONE => {
            ("this Envoy has no allow_on_headers_stop_iteration", "upgrade to 1.35 at least")
        }
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
    for other in behind.iter().filter(|other| compresses(other.filter) && !edge.edge.has_off(other.filter)) {
        let (ours, theirs) = (looked.filter.shown(), other.filter.shown());
        findings.push(Finding::new(
            &finding::BEHIND_COMPRESSOR,
            edge.edge.file,
            looked.filter.node,
            format!("{ours}: {theirs} has compressed the response before it is read"),
            format!("move {theirs} before it"),
        ));
    }
}

/// Whether a filter compresses responses, as it is configured.
fn compresses(filter: &HttpFilter<'_>) -> bool {
    let enabled = ["response_direction_config", "common_config", "enabled", "default_value"];
    let is_off = filter.settings.and_then(|settings| settings.at_path(&enabled)).is_some_and(Node::is_false);
    filter.message.strip_prefix(PACKAGE) == Some("compressor.v3.Compressor") && !is_off
}

/// Envoy answers 413 at its own limit before a policy comes to its.
fn limits(edge: &Looked<'_>, looked: &LookedFilter<'_>, findings: &mut Vec<Finding>) {
    let Some(configuration) = looked.filter.wasm.as_ref().and_then(Wasm::fields) else { return };
    let Some(listener) = edge.edge.listener else { return };
    let field = listener.get("per_connection_buffer_limit_bytes");
    // A route may hold more; which one a policy is for isn't looked at.
    let hosts = edge.edge.hosts.iter();
    let of_routes = hosts.flat_map(|host| host.routes.iter().map(|route| route.node).chain([host.node]));
    let of_routes = of_routes.filter_map(|node| number(node.get("request_body_buffer_limit")?));
    let limit = of_routes.fold(field.and_then(number).unwrap_or(DEFAULT_LIMIT), f64::max);
    let mut wanted = Vec::new();
    configuration.walk(&mut |node| {
        let held = node.fields().iter().filter(|(name, _)| HOLDS.contains(&name.as_str()));
        wanted.extend(held.filter_map(|(name, node)| Some((name, node, number(node)?))));
    });
    for (name, node, bytes) in wanted.into_iter().filter(|(.., bytes)| *bytes > limit) {
        let shown = looked.filter.shown();
        let of = if field.is_some() { "the listener's" } else { "Envoy's own" };
        findings.push(Finding::new(
            &finding::BUFFER_LIMIT_LOW,
            edge.edge.file,
            node,
            format!("{shown}: {name} is {bytes}, and at {of} limit of {limit} Envoy itself answers 413"),
            format!("set per_connection_buffer_limit_bytes of the listener to {bytes} at least, or lower {name}"),
        ));
    }
}

/// A number; protobuf's JSON may write it as text.
fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        // A wrapped one.
        Value::Map(_) => number(node.get("value")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse::parse;

    #[test]
    fn a_filter_changes_bodies_by_its_package_and_by_how_it_is_configured() {
        let of = |message: &str, settings: &str| {
            let settings = parse(settings).unwrap().remove(0);
            let message = format!("{PACKAGE}{message}");
            let filter = HttpFilter {
                node: &settings,
                name: "",
                message: &message,
                settings: Some(&settings),
                wasm: None,
                is_elsewhere: false,
            };
            changes(&filter, &[])
        };
        for (message, settings) in [
            ("connect_grpc_bridge.v3.FilterConfig", "{}"),
            ("grpc_http1_reverse_bridge.v3.FilterConfig", "{}"),
            ("decompressor.v3.Decompressor", "{}"),
            ("compressor.v3.Compressor", "{request_direction_config: {}}"),
            ("ext_proc.v3.ExternalProcessor", "{processing_mode: {request_body_mode: STREAMED}}"),
            ("grpc_web.v3.GrpcWeb", "{}"),
            ("lua.v3.Lua", "{inline_code: 'function envoy_on_request(h) h:body():setBytes(1) end'}"),
        ] {
            assert!(of(message, settings), "{message}");
        }
        for (message, settings) in [
            ("grpc_stats.v3.FilterConfig", "{}"),
            (
                "decompressor.v3.Decompressor",
                "{request_direction_config: {common_config: {enabled: {default_value: false}}}}",
            ),
            ("compressor.v3.Compressor", "{}"),
            ("ext_proc.v3.ExternalProcessor", "{processing_mode: {request_body_mode: NONE}}"),
            ("router.v3.Router", "{}"),
            ("lua.v3.Lua", "{inline_code: 'function envoy_on_response(h) h:body():setBytes(1) end'}"),
        ] {
            assert!(!of(message, settings), "{message}");
        }
    }
}
