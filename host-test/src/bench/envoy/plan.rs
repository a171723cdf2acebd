//! Candidates → one bootstrap, a listener for each. All have the same connection manager and the same
//! route, which answers by itself, so that they differ in their filters and in nothing else.

use anyhow::{Context, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::comparison::Candidate;
use crate::build::Built;

/// What every route answers.
const BODY: &str = "hello\n";

/// The listener of the candidate at this position.
pub fn listener_name(index: usize) -> String {
    format!("candidate-{index}")
}

/// The bootstrap of candidates whose filters are found among `built`.
pub fn bootstrap(candidates: &[&Candidate], built: &[Built]) -> Result<Value> {
    let listeners = candidates.iter().enumerate().map(|(index, candidate)| {
        listener(&listener_name(index), candidate, built).with_context(|| format!("candidate `{}`", candidate.name))
    });
    Ok(json!({
        // Flushing statistics costs the process time in some batches and not in others.
        "stats_flush_interval": "299s",
        "static_resources": { "listeners": listeners.collect::<Result<Vec<_>>>()? },
    }))
}

fn listener(name: &str, candidate: &Candidate, built: &[Built]) -> Result<Value> {
    let filters = candidate.http_filters.iter().enumerate().map(|(index, written)| {
        let vm = format!("{name}-{index}");
        match (written.get("plugin"), written.get("wat")) {
            (Some(plugin), _) => {
                let built = find(plugin.as_str().context("`plugin` is a name")?, built)?;
                let allowed = built.inspection.capabilities().map(|name| (name.to_owned(), json!({})));
                let restriction = json!({ "allowed_capabilities": allowed.collect::<Map<String, Value>>() });
                wasm(&vm, "plugin", written, &json!({ "filename": built.module.path }), Some(restriction))
            }
            (None, Some(text)) => {
                let module = wat::parse_str(text.as_str().context("`wat` is a text")?)?;
                wasm(&vm, "wat", written, &json!({ "inline_bytes": BASE64_STANDARD.encode(module) }), None)
            }
            (None, None) => substituted(written, built),
        }
    });
    let mut filters = filters.collect::<Result<Vec<Value>>>()?;
    filters.push(json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    } }));
    Ok(json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "HTTP1",
            "http_filters": filters,
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [{
                "match": { "prefix": "/" },
                "metadata": { "filter_metadata": candidate.metadata },
                "direct_response": { "status": 200, "body": { "inline_string": BODY } },
            }] }] },
        } }] }],
    }))
}

/// The wasm filter around what stands under `key`, in a VM of its own.
fn wasm(vm: &str, key: &str, written: &Value, code: &Value, restriction: Option<Value>) -> Result<Value> {
    let mut fields = written.as_object().into_iter().flat_map(Map::keys);
    if let Some(unknown) = fields.find(|field| ![key, "configuration"].contains(&field.as_str())) {
        bail!("`{unknown}` stands beside `{key}`, where only `configuration` may");
    }
    let configuration = written.get("configuration").cloned().unwrap_or_else(|| json!({}));
    Ok(json!({ "name": vm, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": vm,
            "root_id": vm,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": vm,
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": code },
                "capability_restriction_config": restriction,
            },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration },
        },
    } }))
}

/// Envoy's own form, with every text that is `${module:<plugin>}` replaced by that module's path.
fn substituted(written: &Value, built: &[Built]) -> Result<Value> {
    Ok(match written {
        Value::String(text) => match text.strip_prefix("${module:").and_then(|rest| rest.strip_suffix('}')) {
            Some(plugin) => json!(find(plugin, built)?.module.path),
            None => written.clone(),
        },
        Value::Array(values) => {
            values.iter().map(|value| substituted(value, built)).collect::<Result<Vec<Value>>>()?.into()
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), substituted(value, built)?)));
            fields.collect::<Result<Map<String, Value>>>()?.into()
        }
        _ => written.clone(),
    })
}

fn find<'a>(plugin: &str, built: &'a [Built]) -> Result<&'a Built> {
    built.iter().find(|built| built.plugin == plugin).with_context(|| format!("no plugin is called `{plugin}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Artifact, inspect::Inspection};

    fn built() -> Vec<Built> {
        let artifact = |path: &str| Artifact { path: path.into(), size: 1, sha256: String::new() };
        let hostcalls = ["proxy_log".to_owned()].into();
        vec![Built {
            plugin: "p".into(),
            module: artifact("/p.wasm"),
            component: artifact("/p.component.wasm"),
            inspection: Inspection { hostcalls, ..Inspection::default() },
        }]
    }

    fn plan(yaml: &str) -> Result<Value> {
        let candidate: Candidate = serde_saphyr::from_str(yaml).unwrap();
        bootstrap(&[&candidate], &built())
    }

    const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

    #[test]
    fn a_plugin_gets_a_vm_of_its_own_and_the_smallest_capability_list() {
        let plan = plan("{name: a, http_filters: [{plugin: p, configuration: {x: 1}}]}").unwrap();
        let config = plan.pointer(&format!("{MANAGER}/http_filters/0/typed_config/config")).unwrap();
        assert_eq!(config["vm_config"]["vm_id"], "candidate-0-0");
        assert_eq!(config["vm_config"]["code"]["local"]["filename"], "/p.wasm");
        let allowed = &config["vm_config"]["capability_restriction_config"]["allowed_capabilities"];
        assert_eq!(*allowed, json!({ "proxy_log": {} }));
        assert_eq!(config["configuration"]["value"], json!({ "x": 1 }));
    }

    #[test]
    fn a_module_in_text_form_goes_to_envoy_as_bytes() {
        let plan = plan("{name: a, http_filters: [{wat: '(module)'}]}").unwrap();
        let config = plan.pointer(&format!("{MANAGER}/http_filters/0/typed_config/config")).unwrap();
        assert_eq!(config["vm_config"]["code"]["local"]["inline_bytes"], "AGFzbQEAAAA=");
    }

    #[test]
    fn envoys_own_form_stays_as_it_is_but_for_module_paths() {
        let plan =
            plan("{name: a, http_filters: [{name: own, typed_config: {code: ['${module:p}', other]}}]}").unwrap();
        let filters = plan.pointer(&format!("{MANAGER}/http_filters")).unwrap();
        assert_eq!(filters[0], json!({ "name": "own", "typed_config": { "code": ["/p.wasm", "other"] } }));
        assert_eq!(filters[1]["name"], "router");
    }

    #[test]
    fn a_plugin_that_there_isnt_and_a_misspelt_field_are_refused() {
        for (yaml, wrong) in [
            ("{name: a, http_filters: [{plugin: q}]}", "no plugin is called `q`"),
            ("{name: a, http_filters: [{x: '${module:q}'}]}", "no plugin is called `q`"),
            ("{name: a, http_filters: [{plugin: p, config: {}}]}", "`config`"),
            ("{name: a, http_filters: [{wat: '(module', configuration: {}}]}", "expected `)`"),
        ] {
            let error = format!("{:#}", plan(yaml).unwrap_err());
            assert!(error.contains(wrong) && error.contains("candidate `a`"), "{error}");
        }
    }
}
