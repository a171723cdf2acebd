//! The connection manager: what it makes of paths and of the client's address.

use crate::check::{
    document::{Node, Value},
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
};

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    let Some(manager) = edge.edge.manager else { return };
    let ours: Vec<_> = edge.filters.iter().filter(|looked| looked.role.is_some()).collect();
    if ours.is_empty() {
        return;
    }
    let by_path = edge.edge.hosts.iter().any(|host| host.routes.len() > 1);
    if by_path {
        let missing: Vec<&str> = ["normalize_path", "merge_slashes"]
            .into_iter()
            .filter(|name| !manager.get(name).is_some_and(Node::is_true))
            .collect();
        if !missing.is_empty() {
            findings.push(Finding::new(
                &finding::PATH_NOT_NORMALIZED,
                edge.edge.file,
                manager,
                format!(
                    "routes match on paths, without {} `/a/../b` and `//b` meet another route than `/b`",
                    missing.join(" and ")
                ),
                "set normalize_path: true, merge_slashes: true and path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
            ));
        }
    }
    let limits = ours.iter().find(|looked| looked.role == Some(Role::RateLimit) && counts_addresses(looked));
    if let Some(looked) = limits {
        let remote = manager.get("use_remote_address").is_some_and(Node::is_true);
        let detection = manager.get("original_ip_detection_extensions").is_some();
        if !remote && !detection {
            findings.push(Finding::new(
                &finding::CLIENT_ADDRESS_TRUSTED,
                edge.edge.file,
                manager,
                format!(
                    "{}: without use_remote_address a client writes its own address into x-forwarded-for",
                    looked.filter.shown()
                ),
                "set use_remote_address: true, and xff_num_trusted_hops to the number of proxies in front",
            ));
        }
    }
}

/// Whether a limit is counted by the client's address: `address` as a key's name, or as its kind.
fn counts_addresses(looked: &LookedFilter<'_>) -> bool {
    const NAMES: [&str; 4] = ["address", "client_address", "remote_address", "source_address"];
    let configuration = looked.filter.wasm.as_ref().and_then(|wasm| wasm.configuration.as_ref());
    let mut found = false;
    if let Some((_, configuration)) = configuration {
        configuration.walk(&mut |node| {
            let keys = node.fields().iter().filter(|(name, _)| ["key", "keys"].contains(&name.as_str()));
            keys.for_each(|(_, key)| {
                key.walk(&mut |node| {
                    let named = node.fields().iter().any(|(name, _)| NAMES.contains(&name.as_str()));
                    found |= named || matches!(&node.value, Value::Text(text) if NAMES.contains(&text.as_str()));
                });
            });
        });
    }
    found
}
