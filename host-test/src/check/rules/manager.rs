//! The connection manager: what it makes of paths and of the client's address.

use crate::check::{
    document::Node,
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    search,
    wasm::Wasm,
};

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    let Some(manager) = edge.edge.manager else { return };
    let ours: Vec<_> = edge.filters.iter().filter(|looked| looked.role.is_some()).collect();
    if ours.is_empty() {
        return;
    }
    let by_path = edge.edge.hosts.iter().any(|host| host.routes.len() > 1);
    if by_path {
        let mut missing: Vec<&str> = ["normalize_path", "merge_slashes"]
            .into_iter()
            .filter(|name| !manager.get(name).is_some_and(Node::is_true))
            .collect();
        // Who says that encoded slashes stay as they are has thought of them.
        let is_default = |node: &Node| node.is_value("IMPLEMENTATION_SPECIFIC_DEFAULT", 0) || node.text() == Some("");
        if manager.get(ESCAPED).is_none_or(is_default) {
            missing.push(ESCAPED);
        }
        if !missing.is_empty() {
            findings.push(Finding::new(
                &finding::PATH_NOT_NORMALIZED,
                edge.edge.file,
                manager,
                format!(
                    "routes match on paths; without {}, {} another route than `/a/b`",
                    missing.join(" and "),
                    spellings(&missing)
                ),
                "set normalize_path: true, merge_slashes: true and path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
            ));
        }
    }
    for looked in ours.iter().filter(|looked| looked.role == Some(Role::RateLimit)) {
        addresses(edge, manager, looked, findings);
    }
}

const ESCAPED: &str = "path_with_escaped_slashes_action";

/// How one path is written otherwise where this is missing.
fn spellings(missing: &[&str]) -> String {
    let of = |name: &&str| match *name {
        "normalize_path" => "`/x/../a/b`",
        "merge_slashes" => "`//a/b`",
        _ => "`/a%2Fb`",
    };
    let spellings: Vec<&str> = missing.iter().map(of).collect();
    format!("{} {}", spellings.join(" and "), if spellings.len() == 1 { "meets" } else { "meet" })
}

/// Headers that a client writes, and that nobody takes out: what counts by one counts by what the client says.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// Headers that a proxy in front may write anew; where this one is the first, it is the client that does.
const OF_A_PROXY: [&str; 3] = ["x-real-ip", "x-client-ip", "true-client-ip"];

/// A limit by the client's address, where that is what the client says it is.
fn addresses(edge: &Looked<'_>, manager: &Node, looked: &LookedFilter<'_>, findings: &mut Vec<Finding>) {
    let Some(fields) = looked.filter.wasm.as_ref().and_then(Wasm::fields) else { return };
    let shown = looked.filter.shown();
    let mut find = |node: &Node, what: String, remedy: &str| {
        findings.push(Finding::new(&finding::CLIENT_ADDRESS_TRUSTED, edge.edge.file, node, what, remedy));
    };
    let is_first = manager.get("use_remote_address").is_some_and(Node::is_true);
    let keys = Keys::of(&fields);
    for (name, node) in &keys.headers {
        if FORWARDED.contains(&name.as_str()) || is_first && OF_A_PROXY.contains(&name.as_str()) {
            let what = format!("{shown}: a limit counts by `{name}`, which a client writes as it likes");
            find(node, what, "count by remote_address, and say by xff_num_trusted_hops how many proxies are in front");
        }
    }
    if !keys.addresses {
        return;
    }
    let detection = manager.get("original_ip_detection_extensions").map(Node::elements).unwrap_or_default();
    for extension in detection {
        let header = extension.get("typed_config").filter(|any| search::is_message(any, "CustomHeaderConfig"));
        if let Some(header) = header.and_then(search::settings).and_then(|settings| settings.get("header_name")) {
            let what =
                format!("{shown}: the client's address is what `{}` says, which a client may write", header.shown());
            let remedy = "set use_remote_address and xff_num_trusted_hops instead; a header is as good as the proxy that \
                          overwrites it on every connection";
            find(header, what, remedy);
        }
    }
    if !is_first && detection.is_empty() {
        find(
            manager,
            format!("{shown}: without use_remote_address a client writes its own address into x-forwarded-for"),
            "set use_remote_address: true, and xff_num_trusted_hops to the number of proxies in front",
        );
    }
}

/// By what limits are counted, and whom they are for.
#[derive(Default)]
struct Keys {
    /// Whether the client's address matters: in a key, in a condition, in an exemption.
    addresses: bool,
    /// The headers that keys name, in small letters.
    headers: Vec<(String, Node)>,
}

impl Keys {
    const NAMES: [&str; 3] = ["client_address", "remote_address", "source_address"];

    fn of(fields: &Node) -> Self {
        let mut keys = Self::default();
        fields.walk(&mut |node| {
            for (name, value) in node.fields() {
                keys.addresses |= Self::NAMES.contains(&name.as_str());
                if name == "key" || name == "keys" {
                    value.elements().iter().for_each(|part| keys.part(part));
                }
            }
        });
        keys
    }

    /// A part of a key: a word, or a field whose name is one.
    fn part(&mut self, part: &Node) {
        let is_address = |text: &str| text == "address" || Self::NAMES.contains(&text);
        self.addresses |= part.text().is_some_and(is_address);
        for (name, value) in part.fields() {
            self.addresses |=
                is_address(name) || ["kind", "type"].contains(&name.as_str()) && value.text().is_some_and(is_address);
            if name == "header" {
                let header = value.text().unwrap_or_else(|| value.text_of("name")).to_ascii_lowercase();
                self.headers.push((header, value.clone()));
            }
        }
    }
}
