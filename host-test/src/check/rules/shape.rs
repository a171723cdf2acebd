//! Whether a file is what it is taken for: something in it is looked at, and lists are lists.

use crate::check::{
    document::{Document, Node, Place, Value, is_named},
    finding::{self, Finding},
};

/// Fields that are lists wherever they stand.
const LISTS: [&str; 3] = ["filter_chains", "http_filters", "virtual_hosts"];

/// One of these stands in whatever can be looked at.
const KNOWN: [&str; 8] = [
    "static_resources",
    "dynamic_resources",
    "filter_chains",
    "http_filters",
    "virtual_hosts",
    "configs",
    "resources",
    "typed_config",
];

/// Kinds of resources that hold filters.
const KINDS: [&str; 3] = ["WasmPlugin", "EnvoyFilter", "EnvoyExtensionPolicy"];

pub fn look(document: &Document, findings: &mut Vec<Finding>) {
    let mut known = false;
    for root in &document.roots {
        known |= KINDS.contains(&root.text_of("kind"));
        root.walk(&mut |node| {
            for (name, value) in node.fields() {
                known |= KNOWN.iter().any(|field| is_named(name, field));
                let listeners = is_named(name, "static_resources").then(|| value.get("listeners")).flatten();
                let list = LISTS.iter().any(|field| is_named(name, field)).then_some(value);
                findings.extend(list.into_iter().chain(listeners).filter_map(|value| no_list(document, name, value)));
            }
        });
    }
    if !known {
        let nowhere = Node { value: Value::Null, at: Place { line: 1, column: 1 } };
        findings.push(Finding::new(
            &finding::NOTHING_READ,
            &document.file,
            document.roots.first().unwrap_or(&nowhere),
            "no listener, route or wasm filter stands in this file",
            "name a bootstrap, a resource file, a config dump, or a resource of Istio or Envoy Gateway",
        ));
    }
}

fn no_list(document: &Document, name: &str, value: &Node) -> Option<Finding> {
    let is_list = matches!(value.value, Value::List(_) | Value::Null);
    (!is_list).then(|| {
        let what = format!("`{name}` is no list, so Envoy refuses the file");
        Finding::new(&finding::NOT_A_LIST, &document.file, value, what, "write each element behind a `- `")
    })
}
