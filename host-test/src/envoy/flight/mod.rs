//! Streams that stay open from step to step: their two ends, and when a step of theirs is over.
//!
//! 1. A stream has a connection of its own to Envoy, and from Envoy to the upstream: Envoy writes the
//!    client's port before what it sends (the PROXY protocol), which tells whose stream it is and which no
//!    filter sees.
//! 2. Nothing is said on a stream but what a step says, piece by piece; Envoy has worked off a piece
//!    before the next one follows.
//! 3. What is heard is recorded as it comes.

mod backend;
mod client;
mod end;
mod quiet;
mod upstream;

pub use self::{
    backend::Backend,
    client::open,
    end::{End, Events},
    quiet::Quiet,
    upstream::Upstream,
};

use serde_json::{Value, json};

/// The listener that answers pings.
pub const PING: &str = "ping";

pub fn ping() -> Value {
    json!({
        "name": PING,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": PING,
            "codec_type": "HTTP1",
            "route_config": { "virtual_hosts": [{ "name": PING, "domains": ["*"], "routes": [
                { "match": { "prefix": "" }, "direct_response": { "status": 200 } },
            ] }] },
            "http_filters": [{ "name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            } }],
        } }] }],
    })
}

/// A cluster's transport that tells the client's port before all else.
pub fn named_by_client() -> Value {
    json!({ "name": "proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": { "version": "V1" },
        "transport_socket": { "name": "raw_buffer", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        } },
    } })
}
