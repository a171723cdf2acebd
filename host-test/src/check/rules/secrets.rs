//! Secrets that stand in a wasm filter's configuration, where every config dump shows them.

use crate::check::{
    document::{Node, Value},
    finding::{self, Finding},
    looked::Looked,
    parse::parse,
    wasm::{Dialect, Handed},
};

/// Words in the name of a field that holds a secret.
const NAMES: &[&str] = &[
    "access_token",
    "aes_key",
    "api_key",
    "apikey",
    "client_secret",
    "encryption_key",
    "passwd",
    "password",
    "private_key",
    "secret",
    "signing_key",
];

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = &looked.filter.wasm else { continue };
        let vm = wasm.vm();
        let environment = vm.and_then(|vm| vm.at_path(&["environment_variables", "key_values"]));
        let configurations = wasm.configuration.as_ref().map(|(_, node)| *node);
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for node in configurations.into_iter().chain(vm.and_then(|vm| vm.get("configuration"))).chain(environment) {
            node.walk(&mut |node| found.extend(node.fields().iter().filter(|(name, node)| holds_secret(name, node))));
        }
        // JSON or YAML that stands as text.
        let texts = [&wasm.configuration, &wasm.vm_configuration].into_iter().flatten();
        let texts = texts.filter(|_| wasm.dialect == Dialect::Envoy);
        let within: Vec<_> = texts.filter_map(|(handed, node)| Some((text(handed)?, node.get("value")?))).collect();
        for (text, node) in &within {
            text.walk(&mut |inner| {
                let fields = inner.fields().iter().filter(|(name, node)| holds_secret(name, node));
                names.extend(fields.map(|(name, _)| (name.clone(), *node)));
            });
        }
        for (name, node) in found.into_iter().map(|(name, node)| (name.clone(), node)).chain(names) {
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

fn text(handed: &Handed) -> Option<Node> {
    match handed {
        Handed::Text(text) => parse(text).ok()?.into_iter().next(),
        _ => None,
    }
}

/// A name that says so and a value that is no reference to one.
fn holds_secret(name: &str, node: &Node) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let named =
        NAMES.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")) || name == format!("{word}s"));
    let literal = match &node.value {
        Value::Text(text) => {
            text.len() >= 8 && !text.contains("${") && !text.starts_with("env:") && !text.contains("redacted")
        }
        _ => false,
    };
    named && literal
}
