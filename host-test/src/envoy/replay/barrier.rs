//! A listener without a filter. Envoy has one worker, which serves one event after another: once it
//! has answered here, what an earlier exchange left to be done (the end of its stream) is done.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Host;
use crate::{
    envoy::client,
    scenario::{Protocol, Request},
};

const NAME: &str = "barrier";

pub fn add(bootstrap: &mut Value) {
    let listeners = bootstrap.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
    listeners.into_iter().for_each(|listeners| listeners.push(listener()));
}

fn listener() -> Value {
    json!({
        "name": NAME,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": NAME,
            "route_config": { "virtual_hosts": [{ "name": NAME, "domains": ["*"], "routes": [
                { "match": { "prefix": "/" }, "direct_response": { "status": 200 } },
            ] }] },
            "http_filters": [{ "name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            } }],
        } }] }],
    })
}

impl Host {
    /// Returns when all that the worker had to do is done.
    pub(super) async fn settled(&self) -> Result<()> {
        let port = *self.ports.get(NAME).context("Envoy has no listener to wait at")?;
        client::answer(port, Protocol::Http1, &Request::default()).await.map(drop)
    }
}
