//! Secrets that stand in a wasm filter's configuration, where every config dump shows them.

use crate::check::{
    document::{Node, Value},
    finding::{self, Finding},
    looked::Looked,
};

/// Words in the name of a field that holds a secret.
const NAMES: &[&str] =
    &["secret", "password", "passwd", "private_key", "api_key", "apikey", "access_token", "client_secret"];

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = &looked.filter.wasm else { continue };
        let vm = wasm.vm();
        let environment = vm.and_then(|vm| vm.at_path(&["environment_variables", "key_values"]));
        let configurations = wasm.configuration.as_ref().map(|(_, node)| *node);
        let mut found = Vec::new();
        for node in configurations.into_iter().chain(vm.and_then(|vm| vm.get("configuration"))).chain(environment) {
            node.walk(&mut |node| found.extend(node.fields().iter().filter(|(name, node)| holds_secret(name, node))));
        }
        for (name, node) in found {
            findings.push(Finding::new(
                &finding::SECRET_INLINE,
                edge.edge.file,
                node,
                format!("{}: `{name}` holds its value in plain text", looked.filter.shown()),
                "take it from the environment: vm_config.environment_variables.host_env_keys",
            ));
        }
    }
}

/// A name that says so and a value that is no reference to one.
fn holds_secret(name: &str, node: &Node) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let named =
        NAMES.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")) || name == format!("{word}s"));
    let literal = match &node.value {
        Value::Text(text) => text.len() >= 8 && !text.contains("${") && !text.starts_with("env:"),
        _ => false,
    };
    named && literal
}
