//! What is looked for, by where it is looked for.

mod bodies;
mod chain;
mod fields;
mod manager;
mod metadata;
mod module;
mod secrets;
mod shape;
mod upgrades;
mod version;
mod vm;

use super::{document::Document, finding::Finding, looked::Looked};

/// Everything that is wrong with these files and the edges in them, on a minor version of Envoy 1.
pub fn findings(documents: &[Document], edges: &[Looked<'_>], envoy: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in documents {
        shape::look(document, &mut findings);
        fields::look(document, envoy, &mut findings);
    }
    for edge in edges {
        module::look(edge, &mut findings);
        vm::look(edge, envoy, &mut findings);
        chain::look(edge, &mut findings);
        bodies::look(edge, envoy, &mut findings);
        manager::look(edge, &mut findings);
        metadata::look(edge, &mut findings);
        secrets::look(edge, &mut findings);
        version::look(edge, envoy, &mut findings);
    }
    vm::compare(edges, &mut findings);
    upgrades::look(edges, &mut findings);
    findings
}
