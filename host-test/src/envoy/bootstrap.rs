//! Scenarios → one bootstrap. Each scenario has a listener, a route table, VMs and a cluster of its
//! own, so that none can touch another; a step that a later filter replies to has a further
//! listener, because nothing in its request may tell that filter apart from the one under test.
//!
//! Whatever Envoy would add by itself is switched off; `added` takes away what can't be.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::{behind, flight};
use crate::scenario::{
    Encoding, FailurePolicy, Filter, Given, Place, Protocol, Redirects, Retries, Scenario, Step, filter,
};

/// A scenario with all that its part of a bootstrap needs.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    /// Names the scenario in Envoy: its VM, cluster and listeners. Unlike all others.
    pub name: String,
    /// The filters, in the order in which a request meets them.
    pub chain: Vec<Actor>,
    /// The port of its upstream on 127.0.0.1.
    pub upstream: u16,
    /// The clusters that its filters call.
    pub clusters: Vec<Value>,
}

/// A filter with all that its part of a bootstrap needs.
#[derive(Clone, Debug)]
pub struct Actor {
    pub filter: Filter,
    /// Unlike all others.
    pub vm_id: String,
    pub module: PathBuf,
    /// The capability list, or `None` for all capabilities.
    pub capabilities: Option<Vec<String>>,
}

impl Actor {
    /// The chain of the scenario that Envoy knows under a name: so is the VM of its filter under test called.
    pub fn chain(
        scenario: &Scenario,
        name: &str,
        module: &dyn Fn(&Filter) -> Result<PathBuf>,
        capabilities: &dyn Fn(&Filter) -> Option<Vec<String>>,
    ) -> Result<Vec<Self>> {
        let actor = |(filter, place): (Filter, String)| {
            let vm_id = if place.is_empty() { name.to_owned() } else { format!("{name}-{place}") };
            Ok(Self { vm_id, module: module(&filter)?, capabilities: capabilities(&filter), filter })
        };
        scenario.chain().into_iter().zip(scenario.places()).map(actor).collect()
    }
}

impl Stage<'_> {
    /// Whether a VM is one of this scenario's.
    pub fn is_own(&self, vm_id: &str) -> bool {
        self.chain.iter().any(|actor| actor.vm_id == vm_id)
    }

    /// The listener that a step's request goes to; also the prefix of its statistics.
    pub fn listener(&self, step: usize) -> String {
        match self.scenario.steps.get(step) {
            Some(Step { reply: Some(_), .. }) => format!("{}-{step}", self.name),
            _ => self.name.clone(),
        }
    }

    /// All listeners, each with a step that goes there.
    fn listeners(&self) -> Vec<(String, Option<&Step>)> {
        let replied = self.scenario.steps.iter().enumerate().filter(|(_, step)| step.reply.is_some());
        let replied = replied.map(|(index, step)| (self.listener(index), Some(step)));
        std::iter::once((self.name.clone(), None)).chain(replied).collect()
    }

    /// Where the listener's access log lies.
    pub fn access_log(&self, logs: &Path, step: usize) -> PathBuf {
        logs.join(self.listener(step))
    }
}

/// The bootstrap of all stages, with access logs in the folder `logs`. Every listener takes a free port.
pub fn bootstrap(stages: &[Stage<'_>], logs: &Path) -> Value {
    let listeners = stages.iter().filter(|stage| !stage.scenario.updates()).flat_map(|stage| listeners(stage, logs));
    json!({
        // Only what is read: the admin interface is asked at every step.
        "stats_config": { "stats_matcher": { "inclusion_list": { "patterns": [
            { "prefix": "wasmcustom." }, { "prefix": "wasm." }, { "suffix": "_cx_rx_bytes_total" },
            { "prefix": "listener_manager.lds.update_" }, { "suffix": "downstream_rq_total" }, { "suffix": "downstream_rq_active" },
            { "suffix": "upstream_rq_active" }, { "suffix": "upstream_rq_pending_active" },
        ] } } },
        "static_resources": {
            "listeners": listeners.chain([flight::ping()]).collect::<Vec<_>>(),
            "clusters": stages.iter().flat_map(|stage| stage.clusters.iter().cloned().chain([cluster(stage)]))
                .collect::<Vec<_>>(),
        },
    })
}

/// The listeners of a stage, all with the same filters.
pub fn listeners(stage: &Stage<'_>, logs: &Path) -> Vec<Value> {
    stage.listeners().into_iter().map(|(name, step)| listener(stage, &name, step, &logs.join(&name))).collect()
}

fn listener(stage: &Stage<'_>, name: &str, step: Option<&Step>, log: &Path) -> Value {
    let scenario = stage.scenario;
    let wasm = |actor| json!({ "name": "portcullis", "typed_config": wasm(actor, &scenario.given) });
    let mut filters: Vec<Value> = stage.chain.iter().map(wasm).collect();
    let reply = step.and_then(|step| step.reply.as_ref());
    filters.extend(behind::filter(scenario.given.reroute.is_some(), reply));
    filters.push(json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "suppress_envoy_headers": true,
    } }));
    let record = format!("%FILTER_STATE({}:PLAIN)%", record_state(&scenario.plugin));
    json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "per_connection_buffer_limit_bytes": scenario.given.buffer_limit,
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": match scenario.given.protocol {
                Protocol::Http1 => "HTTP1",
                Protocol::Http2 => "HTTP2",
            },
            "http_protocol_options": { "enable_trailers": true },
            "server_header_transformation": "PASS_THROUGH",
            "generate_request_id": false,
            "use_remote_address": false,
            "skip_xff_append": true,
            "normalize_path": false,
            "route_config": routes(stage),
            "http_filters": filters,
            "access_log": [{ "name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": log,
                "log_format": { "json_format": { "record": record, "port": "%DOWNSTREAM_REMOTE_PORT%", "details": "%RESPONSE_CODE_DETAILS%" } },
            } }],
        } }] }],
    })
}

/// Where a filter leaves its record: `rate-limit` → `wasm.portcullis_rate_limit`.
pub fn record_state(plugin: &str) -> String {
    format!("wasm.portcullis_{}", plugin.replace('-', "_"))
}

fn wasm(actor: &Actor, given: &Given) -> Value {
    let mut vm = json!({
        "vm_id": actor.vm_id,
        "runtime": "envoy.wasm.runtime.v8",
        "code": { "local": { "filename": actor.module } },
    });
    if let (false, Some(vm)) = (given.environment.is_empty(), vm.as_object_mut()) {
        vm.insert("environment_variables".into(), json!({ "key_values": given.environment }));
    }
    if let (Some(capabilities), Some(vm)) = (&actor.capabilities, vm.as_object_mut()) {
        let allowed: Map<String, Value> = capabilities.iter().map(|name| (name.clone(), json!({}))).collect();
        vm.insert("capability_restriction_config".into(), json!({ "allowed_capabilities": allowed }));
    }
    let mut config = json!({
        "name": "portcullis",
        "root_id": actor.filter.plugin,
        "vm_config": vm,
        "failure_policy": match given.failure_policy {
            FailurePolicy::FailReload => "FAIL_RELOAD",
            FailurePolicy::FailClosed => "FAIL_CLOSED",
            FailurePolicy::FailOpen => "FAIL_OPEN",
        },
        "allow_on_headers_stop_iteration": given.allow_on_headers_stop_iteration,
    });
    let Filter { configuration, vm_configuration, configuration_as, .. } = &actor.filter;
    for (place, value) in [("", configuration), ("/vm_config", vm_configuration)] {
        let members = config.pointer_mut(place).and_then(Value::as_object_mut);
        if let (Some(value), Some(members)) = (self::configuration(value, *configuration_as), members) {
            members.insert("configuration".into(), value);
        }
    }
    if let (FailurePolicy::FailReload, Some(config)) = (given.failure_policy, config.as_object_mut()) {
        let base = format!("{}s", given.reload_backoff.0 as f64 / 1e9);
        config.insert("reload_config".into(), json!({ "backoff": { "base_interval": base } }));
    }
    json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config })
}

/// `None` for a filter without configuration: then the filter gets none, of length 0.
fn configuration(configuration: &Value, wanted: Encoding) -> Option<Value> {
    match filter::encoding(configuration, wanted) {
        _ if configuration.is_null() => None,
        Encoding::Struct => {
            Some(json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration }))
        }
        Encoding::String => {
            // Text stands as it is, so that a scenario can write what is no JSON.
            let text = configuration.as_str().map_or_else(|| configuration.to_string(), String::from);
            Some(json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text }))
        }
    }
}

fn routes(stage: &Stage<'_>) -> Value {
    let given = &stage.scenario.given;
    let mut routes = Vec::new();
    if let Some(reroute) = &given.reroute {
        routes.push(route(stage, reroute, json!({ "prefix": "", "dynamic_metadata": [behind::reroute_matcher()] })));
    }
    routes.extend(given.routes.iter().map(|by| route(stage, &by.to, json!({ "prefix": by.prefix }))));
    routes.push(route(stage, &given.route, json!({ "prefix": "" })));
    // A virtual host can't be without a name.
    let name = if given.virtual_host.name.is_empty() { "default" } else { &given.virtual_host.name };
    json!({ "virtual_hosts": [{
        "name": name,
        "domains": ["*"],
        "metadata": { "filter_metadata": given.virtual_host.metadata },
        "include_request_attempt_count": given.retries.as_ref().is_some_and(|retries| retries.counted),
        "routes": routes,
    }] })
}

fn route(stage: &Stage<'_>, place: &Place, matcher: Value) -> Value {
    let given = &stage.scenario.given;
    let mut action = Map::new();
    action.insert("cluster".into(), json!(stage.name));
    action.extend(given.retries.as_ref().map(|retries| ("retry_policy".into(), retry_policy(retries))));
    action.extend(
        given.redirects.as_ref().map(|redirects| ("internal_redirect_policy".into(), redirect_policy(redirects))),
    );
    json!({
        "name": place.name,
        "match": matcher,
        "metadata": { "filter_metadata": place.metadata },
        "route": action,
    })
}

fn retry_policy(retries: &Retries) -> Value {
    json!({
        "retry_on": retries.on.iter().map(|on| on.name()).collect::<Vec<_>>().join(","),
        "num_retries": retries.times,
        "retriable_status_codes": retries.codes,
        "retry_back_off": { "base_interval": "0.001s", "max_interval": "0.001s" },
    })
}

fn redirect_policy(redirects: &Redirects) -> Value {
    const PREVIOUS_ROUTES: &str = "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig";
    let predicates = redirects.new_routes_only.then(|| {
        json!({
            "name": "envoy.internal_redirect_predicates.previous_routes",
            "typed_config": { "@type": format!("type.googleapis.com/{PREVIOUS_ROUTES}") },
        })
    });
    json!({
        "max_internal_redirects": redirects.most,
        "redirect_response_codes": redirects.codes,
        "allow_cross_scheme_redirect": redirects.cross_scheme,
        "predicates": predicates.into_iter().collect::<Vec<_>>(),
    })
}

fn cluster(stage: &Stage<'_>) -> Value {
    let protocol = match stage.scenario.given.protocol {
        Protocol::Http1 => json!({ "http_protocol_options": { "enable_trailers": true } }),
        Protocol::Http2 => json!({ "http2_protocol_options": {} }),
    };
    let mut cluster = json!({
        "name": stage.name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "per_connection_buffer_limit_bytes": stage.scenario.given.buffer_limit,
        "load_assignment": { "cluster_name": stage.name, "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": stage.upstream } },
        } }] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
        } },
    });
    if let (true, Some(cluster)) = (stage.scenario.needs_connections(), cluster.as_object_mut()) {
        cluster.insert("transport_socket".into(), flight::named_by_client());
    }
    cluster
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(scenario: &Scenario) -> Stage<'_> {
        let chain = Actor::chain(scenario, "s0", &|_| Ok("m.wasm".into()), &|_| None).unwrap();
        Stage { scenario, name: "s0".into(), chain, upstream: 1, clusters: Vec::new() }
    }

    fn scenario(yaml: &str) -> Scenario {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_step_with_a_reply_has_a_listener_of_its_own() {
        let scenario = scenario("{scenario: s, plugin: a-b, steps: [{}, {reply: {status: 418}}]}");
        let stage = stage(&scenario);
        assert_eq!([stage.listener(0), stage.listener(1)], ["s0", "s0-1"]);
        assert_eq!(stage.listeners().len(), 2);
        assert!(bootstrap(&[stage], Path::new("/logs")).to_string().contains("wasm.portcullis_a_b"));
    }

    #[test]
    fn a_configuration_travels_as_the_scenario_says_and_none_stays_none() {
        let of = |yaml: &str| {
            let filter = &scenario(yaml).chain()[0];
            configuration(&filter.configuration, filter.configuration_as)
        };
        assert_eq!(of("{scenario: s}"), None);
        assert_eq!(of("{scenario: s, configuration: {a: 1}}").unwrap()["value"], json!({ "a": 1 }));
        let text = of("{scenario: s, configuration: {a: 1}, configuration_as: string}").unwrap();
        assert_eq!(text["value"], "{\"a\":1}");
        let text = of("{scenario: s, configuration: '{', configuration_as: string}").unwrap();
        assert_eq!(text["value"], "{");
    }
}
