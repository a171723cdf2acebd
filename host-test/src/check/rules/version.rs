//! Fields of Envoy's wasm messages that a version doesn't know, of which Envoy refuses a bootstrap, and those
//! that it is about to remove.
//!
//! Source: `api/envoy/extensions/wasm/v3/wasm.proto` of each version; those of 1.36 to 1.40 were read in the
//! descriptors that the binaries hold.

use crate::check::{
    document::{Node, is_named},
    finding::{self, Finding},
    looked::{Looked, LookedFilter},
    wasm::{Dialect, Wasm},
};

/// The fields of a message, each with the minor version of Envoy 1 that brought it; 0 for older ones.
type Fields = &'static [(&'static str, u32)];

const PLUGIN: Fields = &[
    ("name", 0),
    ("root_id", 0),
    ("vm_config", 0),
    ("configuration", 0),
    ("fail_open", 0),
    ("failure_policy", 33),
    ("reload_config", 33),
    ("capability_restriction_config", 0),
    ("allow_on_headers_stop_iteration", 35),
];

const VM: Fields = &[
    ("vm_id", 0),
    ("runtime", 0),
    ("code", 0),
    ("configuration", 0),
    ("allow_precompiled", 0),
    ("nack_on_code_cache_miss", 0),
    ("environment_variables", 0),
    ("capability_restriction_config", 40),
];

/// Fields of `PluginConfig` that are marked as deprecated, since which version, and what takes their place.
const DEPRECATED: &[(&str, u32, &str)] = &[
    ("fail_open", 33, "say failure_policy: FAIL_OPEN or FAIL_RELOAD instead"),
    ("capability_restriction_config", 40, "put it into vm_config"),
];

const ENVIRONMENT: Fields = &[("host_env_keys", 0), ("key_values", 0)];
const CAPABILITIES: Fields = &[("allowed_capabilities", 0)];
const RELOAD: Fields = &[("backoff", 0)];
const FILTER: Fields = &[("config", 0)];
const SERVICE: Fields = &[("config", 0), ("singleton", 0)];

/// Every message of a filter's that is looked at.
fn messages<'a>(looked: &LookedFilter<'a>, wasm: &Wasm<'a>) -> Vec<(&'static str, Option<&'a Node>, Fields)> {
    let of_vm = |name| wasm.vm().and_then(|vm| vm.get(name));
    let outer = match looked.filter.kind() {
        "WasmService" => ("WasmService", looked.filter.settings, SERVICE),
        "WasmAccessLog" => ("WasmAccessLog", looked.filter.settings, FILTER),
        _ => ("Wasm", looked.filter.settings, FILTER),
    };
    const LIMITS: &str = "capability_restriction_config";
    vec![
        outer,
        ("PluginConfig", Some(wasm.node), PLUGIN),
        ("VmConfig", wasm.vm(), VM),
        ("EnvironmentVariables", of_vm("environment_variables"), ENVIRONMENT),
        ("CapabilityRestrictionConfig", of_vm(LIMITS).or_else(|| wasm.node.get(LIMITS)), CAPABILITIES),
        ("ReloadConfig", wasm.node.get("reload_config"), RELOAD),
    ]
}

pub fn look(edge: &Looked<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = looked.filter.wasm.as_ref().filter(|wasm| wasm.dialect == Dialect::Envoy) else { continue };
        let open = wasm.node.get("fail_open").filter(|open| open.is_true());
        if let Some(open) = open.filter(|_| wasm.node.get("failure_policy").is_some()) {
            let what = "`fail_open` stands beside `failure_policy`, so Envoy refuses the file";
            let remedy = "remove fail_open";
            findings.push(Finding::new(&finding::FIELDS_EXCLUDE, edge.edge.file, open, what, remedy));
        }
        for (name, since, remedy) in DEPRECATED.iter().filter(|(_, since, _)| *since <= envoy) {
            if let Some(node) = wasm.node.get(name) {
                let what = format!("`{name}` is deprecated since Envoy 1.{since}");
                findings.push(Finding::new(&finding::FIELD_DEPRECATED, edge.edge.file, node, what, *remedy));
            }
        }
        for (message, node, fields) in messages(looked, wasm) {
            let named = node.map(Node::fields).unwrap_or_default().iter().filter(|(name, _)| name != "@type");
            for (name, value) in named {
                let known = fields.iter().find(|(field, _)| is_named(name, field));
                let (what, remedy) = match known {
                    Some((_, since)) if *since <= envoy => continue,
                    Some((field, since)) => (
                        format!("`{name}` of {message} is there from Envoy 1.{since} on"),
                        // What a version has elsewhere.
                        match (message, *field) {
                            ("VmConfig", "capability_restriction_config") => "put it beside vm_config, or upgrade",
                            ("PluginConfig", "failure_policy") => "set fail_open, or upgrade",
                            _ => "remove it, or upgrade",
                        }
                        .to_owned(),
                    ),
                    None => {
                        let near = fields
                            .iter()
                            .map(|(field, _)| *field)
                            .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
                        (
                            format!("{message} has no field `{name}`"),
                            format!("did you mean `{}`?", near.unwrap_or_default()),
                        )
                    }
                };
                findings.push(Finding::new(&finding::FIELD_UNKNOWN, edge.edge.file, value, what, remedy));
            }
        }
    }
}
