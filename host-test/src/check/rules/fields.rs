//! Fields that Envoy's own messages don't have, or not in the version that will read them: a bootstrap with one is
//! refused, and a resource loses what it says.
//!
//! 1. A bootstrap is known by its `static_resources`, every other message by its `@type`, a patch of Istio's by what
//!    it applies to.
//! 2. Messages about wasm are `version`'s.

use crate::check::{
    document::{Document, Node, is_named},
    fields,
    finding::{self, Finding},
    search,
};

const BOOTSTRAP: &str = "config.bootstrap.v3.Bootstrap";

/// What a patch of an EnvoyFilter holds.
const PATCHES: [(&str, &str); 9] = [
    ("BOOTSTRAP", BOOTSTRAP),
    ("CLUSTER", "config.cluster.v3.Cluster"),
    ("FILTER_CHAIN", "config.listener.v3.FilterChain"),
    ("HTTP_FILTER", "extensions.filters.network.http_connection_manager.v3.HttpFilter"),
    ("HTTP_ROUTE", "config.route.v3.Route"),
    ("LISTENER", "config.listener.v3.Listener"),
    ("NETWORK_FILTER", "config.listener.v3.Filter"),
    ("ROUTE_CONFIGURATION", "config.route.v3.RouteConfiguration"),
    ("VIRTUAL_HOST", "config.route.v3.VirtualHost"),
];

pub fn look(document: &Document, envoy: u32, findings: &mut Vec<Finding>) {
    let mut seen = Seen { document, envoy, findings };
    for root in &document.roots {
        if root.get("static_resources").is_some() {
            seen.message(root, BOOTSTRAP);
        }
        root.walk(&mut |node| {
            if let Some(settings) = search::settings(node) {
                seen.message(settings, search::message(node));
            }
            let applies = node.get("apply_to").and_then(Node::text);
            let patch = PATCHES.iter().find(|(name, _)| Some(*name) == applies);
            if let Some(((_, message), value)) = patch.zip(node.at_path(&["patch", "value"])) {
                seen.message(value, message);
            }
        });
    }
}

struct Seen<'a, 'b> {
    document: &'a Document,
    envoy: u32,
    findings: &'b mut Vec<Finding>,
}

impl Seen<'_, '_> {
    /// Looks at a value that is a message of this name, and at the messages in it.
    fn message(&mut self, node: &Node, message: &str) {
        let Some(fields) = fields::of(message) else { return };
        for (name, value) in node.fields() {
            if name == "@type" {
                continue;
            }
            match fields.iter().find(|field| is_named(name, field.name)) {
                None => self.unknown(name, value, message, fields),
                Some(field) if field.since > self.envoy => {
                    let what = format!("`{name}` of {} is there from Envoy 1.{} on", last(message), field.since);
                    let (file, rule) = (&self.document.file, &finding::FIELD_UNKNOWN);
                    self.findings.push(Finding::new(rule, file, value, what, "remove it, or upgrade"));
                }
                Some(field) => match field.holds {
                    Some((held, true)) => value.fields().iter().for_each(|(_, value)| self.message(value, held)),
                    Some((held, false)) => value.elements().iter().for_each(|value| self.message(value, held)),
                    None => {}
                },
            }
        }
    }

    fn unknown(&mut self, name: &str, value: &Node, message: &str, fields: &[fields::Field]) {
        // A later version may have it.
        if self.envoy > fields::LAST {
            return;
        }
        let rated = fields.iter().map(|field| (strsim::jaro_winkler(name, field.name), field.name));
        let near = rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(rating, _)| *rating > 0.8);
        let remedy = match near {
            // A merge in other readers of YAML.
            _ if name == "<<" => "write out the fields; Envoy's YAML merges nothing".to_owned(),
            Some((_, near)) => format!("did you mean `{near}`?"),
            None => "remove it".to_owned(),
        };
        let what = format!("{} has no field `{name}`", last(message));
        self.findings.push(Finding::new(&finding::FIELD_UNKNOWN, &self.document.file, value, what, remedy));
    }
}

/// A message's own name.
fn last(message: &str) -> &str {
    message.rsplit('.').next().unwrap_or_default()
}
