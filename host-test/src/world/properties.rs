//! What a filter asks by path, and when it is there.
//!
//! 1. `request.*` that comes from headers is there while the request's headers are held, and again
//!    when the access log is written; time, protocol and size are always there.
//! 2. `response.*` is there once the response began.
//! 3. `xds.*` is the route of this moment: a later filter may change it.
//! 4. What a filter set is found by its one-part name. A path of several parts can be set and is
//!    never found again; a name of the proxy's own can be set and keeps its meaning.

use super::{
    Plugin, World,
    exchange::{Exchange, Phase, Side},
    head,
    headers::Headers,
    protobuf,
    reply::grpc_of,
    status::Status,
    value::Value,
};
use crate::scenario::Place;

impl World {
    /// The property at a path whose parts are joined by NUL.
    pub fn property(&self, plugin: &Plugin, exchange: Option<&Exchange>, path: &[u8]) -> Result<Vec<u8>, Status> {
        // A NUL at the end ends the last part, and no part at all is null.
        let path = path.strip_suffix(&[0]).unwrap_or(path);
        if path.is_empty() {
            return Err(Status::SerializationFailure);
        }
        let mut parts = path.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        let mut value = self.attribute(plugin, exchange, first).ok_or(Status::NotFound)?;
        for part in parts {
            value = value.field(part).ok_or(Status::NotFound)?;
        }
        value.encode()
    }

    /// The route that the request takes at this moment.
    pub fn route(&self, exchange: &Exchange) -> &Place {
        match &self.given.reroute {
            Some(later) if exchange.rerouted => later,
            _ => {
                let chosen = exchange.by_path.and_then(|place| self.given.routes.get(place));
                chosen.map_or(&self.given.route, |route| &route.to)
            }
        }
    }

    /// What the first part of a path stands for.
    pub fn attribute(&self, plugin: &Plugin, exchange: Option<&Exchange>, name: &[u8]) -> Option<Value> {
        match name {
            b"plugin_name" if plugin.name.is_empty() => return Some(Value::text("portcullis")),
            b"plugin_name" => return Some(Value::text(&*plugin.name)),
            b"plugin_root_id" => return Some(Value::text(&*plugin.root_id)),
            b"plugin_vm_id" => return Some(Value::text(&*plugin.vm_id)),
            _ => {}
        }
        if name == b"xds" {
            return Some(self.xds(exchange));
        }
        let exchange = exchange?;
        Some(match name {
            b"request" => Value::Opaque(request(exchange, self.clock.now())),
            b"response" => Value::Opaque(response(exchange)),
            b"source" => address("127.0.0.1:40000", 40000),
            b"destination" => address("127.0.0.1:10000", 10000),
            b"upstream" => Value::Opaque(upstream(exchange)),
            b"connection_id" => Value::Integer(exchange.connection),
            b"connection" => Value::Opaque(vec![
                (b"id".to_vec(), Value::Integer(exchange.connection)),
                (b"mtls".to_vec(), Value::Bool(false)),
                (b"requested_server_name".to_vec(), Value::text("")),
            ]),
            b"metadata" => metadata(&Place::default()),
            b"filter_state" => Value::Opaque(exchange.filter_state_fields()),
            _ => Value::Bytes(exchange.filter_state.get(name)?.clone()),
        })
    }

    /// Without a stream, only the node is known.
    fn xds(&self, exchange: Option<&Exchange>) -> Value {
        let Some(exchange) = exchange else { return Value::Opaque(vec![(b"node".to_vec(), node())]) };
        let route = self.route(exchange);
        let host = &self.given.virtual_host;
        // A virtual host can't be without a name.
        let host_name = if host.name.is_empty() { "default" } else { &host.name };
        let chosen = || {
            [
                (b"route_name".to_vec(), Value::text(&*route.name)),
                (b"route_metadata".to_vec(), metadata(route)),
                (b"cluster_name".to_vec(), Value::text("upstream")),
                (b"cluster_metadata".to_vec(), metadata(&Place::default())),
            ]
        };
        let mut fields = vec![
            (b"listener_metadata".to_vec(), metadata(&Place::default())),
            (b"listener_direction".to_vec(), Value::Integer(0)),
            (b"filter_chain_name".to_vec(), Value::text("")),
            (b"node".to_vec(), node()),
        ];
        // Once found it stays, even where no route is found behind the filters.
        if exchange.hosted {
            fields.push((b"virtual_host_name".to_vec(), Value::text(host_name)));
            fields.push((b"virtual_host_metadata".to_vec(), metadata(host)));
        }
        if exchange.routed {
            fields.extend(chosen());
        }
        // There once the router began, before a connection is.
        if exchange.attempt > 0 {
            for name in ["upstream_host_metadata", "upstream_host_locality_metadata"] {
                fields.push((name.as_bytes().to_vec(), Value::Null));
            }
        }
        Value::Opaque(fields)
    }
}

impl Exchange {
    pub fn set_property(&mut self, path: &[u8], value: &[u8]) {
        self.filter_state.insert(path.to_vec(), value.to_vec());
    }
}

/// The upstream is known once the router has chosen it, its connection later.
fn upstream(exchange: &Exchange) -> Vec<(Vec<u8>, Value)> {
    let mut fields = vec![("request_attempt_count", Value::Integer(exchange.attempt.into()))];
    if exchange.attempt > 0 {
        fields.push(("address", Value::text("127.0.0.1:20000")));
        fields.push(("port", Value::Integer(20000)));
        fields.push(("transport_failure_reason", Value::text("")));
    }
    if exchange.attempt > 0 && exchange.connected {
        fields.push(("local_address", Value::text("127.0.0.1:30000")));
        fields.push(("cx_pool_ready_duration", Value::Integer(0)));
    }
    fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect()
}

/// Envoy's `Node`: what scenarios say of it is nothing.
fn node() -> Value {
    let fields = ["id", "cluster", "user_agent_name"].into_iter();
    let fields = fields
        .map(|name| (name.as_bytes().to_vec(), Value::text(if name == "user_agent_name" { "envoy" } else { "" })));
    // Field 6 is `user_agent_name`.
    Value::Message(b"2\x05envoy".to_vec(), fields.collect())
}

fn metadata(place: &Place) -> Value {
    let namespaces =
        place.metadata.iter().map(|(name, fields)| (name.clone().into_bytes(), Value::object(fields))).collect();
    let fields = vec![
        (b"filter_metadata".to_vec(), Value::Map(namespaces)),
        (b"typed_filter_metadata".to_vec(), Value::Map(Vec::new())),
    ];
    Value::Message(protobuf::metadata(&place.metadata, &place.typed), fields)
}

fn address(address: &str, port: u64) -> Value {
    Value::Opaque(vec![(b"address".to_vec(), Value::text(address)), (b"port".to_vec(), Value::Integer(port))])
}

fn request(exchange: &Exchange, now: u64) -> Vec<(Vec<u8>, Value)> {
    let half = exchange.half(Side::Request);
    let log = exchange.phase == Phase::Log;
    let mut fields = vec![
        (b"time".to_vec(), Value::Integer(exchange.began_of_day)),
        (b"protocol".to_vec(), Value::text(if exchange.http2 { "HTTP/2" } else { "HTTP/1.1" })),
    ];
    if log || exchange.phase == Phase::Done {
        fields.push((b"duration".to_vec(), Value::Integer(now.saturating_sub(exchange.began))));
    }
    let headers = half.headers.as_ref().filter(|_| half.headers_open || log);
    fields.push((b"size".to_vec(), Value::Integer(announced(headers).unwrap_or(exchange.received))));
    fields.push((b"headers".to_vec(), map(headers)));
    let bytes = headers.map_or(0, Headers::size) as u64 + exchange.received;
    fields.push((b"total_size".to_vec(), Value::Integer(bytes)));
    let Some(headers) = headers else { return fields };
    for (field, header) in [
        ("path", ":path"),
        ("host", ":authority"),
        ("scheme", ":scheme"),
        ("method", ":method"),
        ("referer", "referer"),
        ("useragent", "user-agent"),
        ("id", "x-request-id"),
    ] {
        if let Some(value) = headers.get(header.as_bytes()) {
            fields.push((field.as_bytes().to_vec(), Value::Bytes(value.to_vec())));
        }
    }
    if let Some(path) = headers.get(b":path") {
        let mut parts = path.splitn(2, |byte| *byte == b'?');
        for field in ["url_path", "query"] {
            let part = parts.next().unwrap_or_default();
            fields.push((field.as_bytes().to_vec(), Value::Bytes(part.to_vec())));
        }
    }
    fields
}

fn response(exchange: &Exchange) -> Vec<(Vec<u8>, Value)> {
    let half = exchange.half(Side::Response);
    let log = exchange.phase == Phase::Log;
    let headers = half.headers.as_ref().filter(|_| half.headers_open || log);
    // What the filter holds goes before what the client gets.
    let held = half.replaced.as_ref().filter(|_| half.headers_open).or(headers);
    let trailers = half.trailers.as_ref().filter(|_| half.trailers_open || log);
    let bytes = held.map_or(0, Headers::size) + trailers.map_or(0, Headers::size);
    let flags = match exchange.flags {
        0 => head::flags(exchange.details.as_deref().unwrap_or_default()),
        left => left,
    };
    let mut fields = vec![
        (b"size".to_vec(), Value::Integer(exchange.sent)),
        (b"total_size".to_vec(), Value::Integer(exchange.sent + bytes as u64)),
        (b"flags".to_vec(), Value::Integer(flags)),
        (b"headers".to_vec(), map(held)),
        (b"trailers".to_vec(), map(trailers)),
    ];
    if let Some(code) = exchange.code {
        fields.push((b"code".to_vec(), Value::Integer(code)));
        let status = |lines: Option<&Headers>| std::str::from_utf8(lines?.get(b"grpc-status")?).ok()?.parse().ok();
        let told = status(trailers).or_else(|| status(headers));
        let told = told.unwrap_or_else(|| grpc_of(u32::try_from(code).unwrap_or(u32::MAX)).into());
        fields.push((b"grpc_status".to_vec(), Value::Integer(told)));
    }
    if exchange.upstream_ended {
        fields.push((b"backend_latency".to_vec(), Value::Integer(0)));
    }
    if let Some(details) = &exchange.details {
        fields.push((b"code_details".to_vec(), Value::text(&**details)));
    }
    fields
}

/// The announced length of a message's body.
fn announced(headers: Option<&Headers>) -> Option<u64> {
    std::str::from_utf8(headers?.get(b"content-length")?).ok()?.parse().ok()
}

fn map(headers: Option<&Headers>) -> Value {
    let mut fields: Vec<(Vec<u8>, Value)> = Vec::new();
    for (name, _) in headers.map(Headers::lines).unwrap_or_default() {
        if fields.iter().all(|(known, _)| known != name)
            && let Some(joined) = headers.and_then(|headers| headers.joined(name))
        {
            fields.push((name.clone(), Value::Bytes(joined)));
        }
    }
    Value::Headers(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{scenario::Given, world::headers::Inline};

    fn place(yaml: &str) -> Place {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn world() -> World {
        let given = Given {
            route: place("{name: login, metadata: {ours: {policy: strict, n: 5, f: 1.5, b: true, l: [a]}}}"),
            reroute: Some(place("{name: other}")),
            ..Given::default()
        };
        World { given, plugin: "rate-limit".into(), ..World::default() }
    }

    fn exchange() -> Exchange {
        let mut exchange = Exchange::new(7, false, 1);
        let mut headers = Headers::new(Inline::Request);
        for (name, value) in [(":path", "/a?b=c"), ("x-a", "1"), ("x-a", "2")] {
            headers.add(name.as_bytes(), value.as_bytes());
        }
        exchange.request.headers = Some(headers);
        exchange.request.headers_open = true;
        exchange
    }

    fn get(world: &World, exchange: &Exchange, path: &str) -> Result<Vec<u8>, Status> {
        world.property(&Plugin::default(), Some(exchange), path.replace('.', "\0").as_bytes())
    }

    #[test]
    fn metadata_is_read_by_namespace_and_key() {
        let (world, exchange) = (world(), exchange());
        let get = |key: &str| get(&world, &exchange, &format!("xds.route_metadata.filter_metadata.{key}"));
        assert_eq!(get("ours.policy").unwrap(), b"strict");
        assert_eq!(get("ours.n").unwrap(), 5f64.to_le_bytes());
        assert_eq!(get("ours.f").unwrap(), b"1.5", "text, as Envoy's YAML makes of it");
        assert_eq!(get("ours.b").unwrap(), [1]);
        assert_eq!(get("ours.absent"), Err(Status::NotFound));
        assert_eq!(get("ours.policy.deeper"), Err(Status::NotFound));
        assert_eq!(get("theirs"), Err(Status::NotFound));
    }

    #[test]
    fn metadata_is_read_whole() {
        let (world, exchange) = (world(), exchange());
        let whole = get(&world, &exchange, "xds.route_metadata").unwrap();
        assert!(whole.starts_with(b"\x0a") && whole.windows(6).any(|part| part == b"strict"));
        assert_eq!(get(&world, &exchange, "xds.virtual_host_metadata").unwrap(), b"");
    }

    #[test]
    fn a_request_is_out_of_reach_once_it_went_on_and_back_for_the_access_log() {
        let (world, mut exchange) = (world(), exchange());
        assert_eq!(get(&world, &exchange, "request.url_path").unwrap(), b"/a");
        assert_eq!(get(&world, &exchange, "request.query").unwrap(), b"b=c");
        assert_eq!(get(&world, &exchange, "request.headers.x-a").unwrap(), b"1,2");
        exchange.request.headers_open = false;
        assert_eq!(get(&world, &exchange, "request.path"), Err(Status::NotFound));
        assert_eq!(get(&world, &exchange, "request.headers").unwrap(), [0; 4]);
        assert_eq!(get(&world, &exchange, "request.time").unwrap(), 7u64.to_le_bytes());
        exchange.phase = Phase::Log;
        assert_eq!(get(&world, &exchange, "request.path").unwrap(), b"/a?b=c");
    }

    #[test]
    fn a_later_filter_changes_what_the_route_is() {
        let (world, mut exchange) = (world(), exchange());
        assert_eq!(get(&world, &exchange, "xds.route_name").unwrap(), b"login");
        exchange.rerouted = true;
        assert_eq!(get(&world, &exchange, "xds.route_name").unwrap(), b"other");
        assert_eq!(get(&world, &exchange, "route_name"), Err(Status::NotFound), "gone since 1.40");
    }

    #[test]
    fn filter_state_is_found_by_a_single_name_and_shadows_nothing() {
        let (world, mut exchange) = (world(), exchange());
        exchange.set_property(b"mine", b"1");
        exchange.set_property(b"a\0b", b"2");
        exchange.set_property(b"request\0path", b"3");
        assert_eq!(get(&world, &exchange, "mine").unwrap(), b"1");
        assert_eq!(get(&world, &exchange, "a.b"), Err(Status::NotFound));
        assert_eq!(get(&world, &exchange, "request.path").unwrap(), b"/a?b=c");
        assert_eq!(get(&world, &exchange, "request"), Err(Status::SerializationFailure));
    }
}
