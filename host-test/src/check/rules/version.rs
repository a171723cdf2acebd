//! Fields of Envoy's wasm messages that a version doesn't know. Envoy refuses a bootstrap that holds one.
//!
//! Source: `api/envoy/extensions/wasm/v3/wasm.proto` of each version.

use crate::check::{
    document::{Node, is_named},
    finding::{self, Finding},
    looked::Looked,
    wasm::Dialect,
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

pub fn look(edge: &Looked<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = looked.filter.wasm.as_ref().filter(|wasm| wasm.dialect == Dialect::Envoy) else { continue };
        let open = wasm.node.get("fail_open").filter(|open| open.is_true());
        if let Some(open) = open.filter(|_| wasm.node.get("failure_policy").is_some()) {
            let what = "`fail_open` stands beside `failure_policy`, so Envoy refuses the file";
            let remedy = "remove fail_open";
            findings.push(Finding::new(&finding::FIELDS_EXCLUDE, edge.edge.file, open, what, remedy));
        }
        for (message, node, fields) in [("PluginConfig", Some(wasm.node), PLUGIN), ("VmConfig", wasm.vm(), VM)] {
            for (name, value) in node.map(Node::fields).unwrap_or_default() {
                let known = fields.iter().find(|(field, _)| is_named(name, field));
                let (what, remedy) = match known {
                    Some((_, since)) if *since <= envoy => continue,
                    Some((_, since)) => (
                        format!("`{name}` of {message} is there from Envoy 1.{since} on"),
                        "remove it, or upgrade".to_owned(),
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
