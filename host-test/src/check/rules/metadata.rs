//! Routes and virtual hosts: where their routes are, and metadata that stands under nearly the right name.

use crate::check::{
    document::Node,
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
};

const PREFIX: &str = "portcullis.";

/// Fields of metadata that a filter reads, and its sibling that none does.
const TYPED: &str = "typed_filter_metadata";

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    if let Some(rds) = edge.edge.routes_elsewhere.filter(|_| edge.filters.iter().any(|looked| looked.asked.is_some())) {
        findings.push(Finding::new(
            &finding::ROUTES_ELSEWHERE,
            edge.edge.file,
            rds,
            match rds.text_of("route_config_name") {
                "" => "the routes, or some of them, stand in no file that was given".to_owned(),
                name => format!("the routes `{name}` stand in no file that was given"),
            },
            "name that file too, or a config dump of the running proxy",
        ));
    }
    for looked in edge.filters.iter().filter(|looked| looked.filter.is_elsewhere) {
        findings.push(Finding::new(
            &finding::FILTER_ELSEWHERE,
            edge.edge.file,
            looked.filter.node,
            format!("{}: its configuration stands in no file that was given", looked.filter.shown()),
            "name that file too, or a whole config dump of the running proxy",
        ));
    }
    // A patch says something of filters that may stand in another file.
    if edge.edge.manager.is_some() && !edge.filters.iter().any(|looked| looked.role.is_some()) {
        return;
    }
    edge.filters.iter().for_each(|looked| unknown(edge, looked, findings));
    for host in &edge.edge.hosts {
        let metadata = host.metadata.into_iter().chain(host.routes.iter().filter_map(|route| route.metadata));
        for metadata in metadata {
            for (name, node) in metadata.get("filter_metadata").map(Node::fields).unwrap_or_default() {
                if let Some(meant) = meant(name) {
                    findings.push(Finding::new(
                        &finding::NAMESPACE_NEAR,
                        host.file,
                        node,
                        format!("no filter reads metadata under `{name}`"),
                        format!("call it `{PREFIX}{}`", meant.name()),
                    ));
                }
            }
            for (name, node) in metadata.get(TYPED).map(Node::fields).unwrap_or_default() {
                if name.starts_with(PREFIX) || meant(name).is_some() {
                    findings.push(Finding::new(
                        &finding::NAMESPACE_NEAR,
                        host.file,
                        node,
                        format!("no filter reads `{name}` under {TYPED}"),
                        "put it under filter_metadata",
                    ));
                }
            }
        }
    }
}

/// Policies that no module can be asked for, because it isn't here: their names stand in its configuration.
fn unknown(edge: &Looked<'_>, looked: &LookedFilter<'_>, findings: &mut Vec<Finding>) {
    let (Some(role), Some(Err(_)), Some(wasm)) = (looked.role, &looked.asked, &looked.filter.wasm) else { return };
    let fields = wasm.fields();
    let policies = fields.as_ref().and_then(|fields| fields.get("policies"));
    let Some(policies) = policies.map(Node::fields).filter(|policies| !policies.is_empty()) else { return };
    let namespace = format!("{PREFIX}{}", role.name());
    for host in &edge.edge.hosts {
        for metadata in host.metadata.into_iter().chain(host.routes.iter().filter_map(|route| route.metadata)) {
            let ours = metadata.get("filter_metadata").map(Node::fields).unwrap_or_default();
            let ours = ours.iter().find(|(name, _)| *name == namespace);
            let Some((node, named)) =
                ours.and_then(|(_, node)| node.get("policy")).and_then(|node| Some((node, node.text()?)))
            else {
                continue;
            };
            if !policies.iter().any(|(name, _)| name == named) {
                let known = policies.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                findings.push(Finding::new(
                    &finding::POLICY_UNKNOWN,
                    host.file,
                    node,
                    format!("{}: no policy is called `{named}`", looked.filter.shown()),
                    format!("name one of {known}"),
                ));
            }
        }
    }
}

/// The filter that a misspelt namespace is meant for.
fn meant(name: &str) -> Option<Role> {
    let written = name.to_ascii_lowercase().replace(['-', ' '], "_");
    let right = |role: &Role| format!("{PREFIX}{}", role.name());
    let near = |role: &Role| {
        let right = right(role);
        written == right || written == role.name() || strsim::damerau_levenshtein(&written, &right) <= 3
    };
    (!Role::ALL.iter().any(|role| right(role) == name)).then(|| Role::ALL.into_iter().find(near)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_nearly_a_filters_is_told_and_a_strangers_is_not() {
        for name in [
            "portcullis.security-headers",
            "Portcullis.security_headers",
            "security_headers",
            "portculis.securty_headers",
        ] {
            assert_eq!(meant(name), Some(Role::SecurityHeaders), "{name}");
        }
        for name in ["portcullis.security_headers", "envoy.lb", "com.example.headers", "portcullis.greeting"] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
