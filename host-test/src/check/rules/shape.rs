//! Whether a file is what it is taken for: something in it is looked at, and lists are lists.

use crate::check::{
    document::{Document, Node, Place, Value, is_named},
    finding::{self, Finding},
    search,
};

/// Lists of messages, each in the messages that hold it.
const LISTS: [(&str, &[&str]); 4] = [
    ("listeners", &["static_resources"]),
    ("filter_chains", &["listener", "listeners", "Listener"]),
    ("http_filters", &["HttpConnectionManager"]),
    ("virtual_hosts", &["route_config", "route_configuration", "RouteConfiguration"]),
];

/// One of these stands in whatever can be looked at.
const KNOWN: [&str; 17] = [
    "admin",
    "cluster_manager",
    "clusters",
    "configs",
    "config_source",
    "dynamic_resources",
    "filter_chains",
    "http_filters",
    "layered_runtime",
    "listeners",
    "node",
    "resources",
    "stats_config",
    "stats_sinks",
    "static_resources",
    "typed_config",
    "virtual_hosts",
];

pub fn look(document: &Document, findings: &mut Vec<Finding>) {
    let nowhere = |at| Node { value: Value::Null, at };
    if let Some(place) = document.template {
        findings.push(Finding::new(
            &finding::TEMPLATE,
            &document.file,
            &nowhere(place),
            "this is a template and no YAML yet, so it wasn't looked at",
            "check what is made of it",
        ));
        return;
    }
    let mut known = false;
    for root in &document.roots {
        known |= is_known(root);
        root.walk(&mut |node| known |= search::is_resource(node) || node.get("typed_config").is_some());
        lists(document, root, "", findings);
    }
    if !known {
        findings.push(Finding::new(
            &finding::NOTHING_READ,
            &document.file,
            document.roots.first().unwrap_or(&nowhere(Place { line: 1, column: 1 })),
            "no listener, route or wasm filter stands in this file",
            "name a bootstrap, a resource file, a config dump, or a resource of Istio or Envoy Gateway",
        ));
    }
}

fn is_known(root: &Node) -> bool {
    let of_envoy = |node: &Node| node.fields().iter().any(|(key, _)| KNOWN.iter().any(|name| is_named(key, name)));
    of_envoy(root) || root.is_list() && root.elements().iter().any(of_envoy)
}

/// `name` is the field that a node stands in.
fn lists(document: &Document, node: &Node, name: &str, findings: &mut Vec<Finding>) {
    for (list, holders) in LISTS {
        let holds = |holder: &&str| is_named(name, holder) || search::is_message(node, holder);
        let value = node.get(list).filter(|_| holders.iter().any(holds));
        // Envoy takes one message for a list of one.
        if let Some(value) = value.filter(|value| !matches!(value.value, Value::List(_) | Value::Map(_) | Value::Null))
        {
            let what = format!("`{list}` is no list, so Envoy refuses the file");
            let remedy = "write each element behind a `- `";
            findings.push(Finding::new(&finding::NOT_A_LIST, &document.file, value, what, remedy));
        }
    }
    node.fields().iter().for_each(|(key, node)| lists(document, node, key, findings));
    if node.is_list() {
        node.elements().iter().for_each(|node| lists(document, node, name, findings));
    }
}
