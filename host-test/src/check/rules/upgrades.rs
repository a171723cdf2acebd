//! Upgrades with a list of filters of their own: what stands in the manager's list and not in theirs is left out.

use crate::check::{
    finding::{self, Finding},
    looked::{Looked, LookedFilter},
    wasm::Kind,
};

pub fn look(edges: &[Looked<'_>], findings: &mut Vec<Finding>) {
    for upgraded in edges {
        let (Some(upgrade), Some(manager)) = (upgraded.edge.upgrade, upgraded.edge.manager) else { continue };
        let is_plain = |edge: &&Looked<'_>| edge.edge.upgrade.is_none();
        let of_manager = |edge: &&Looked<'_>| edge.edge.manager.is_some_and(|other| std::ptr::eq(other, manager));
        let plain = edges.iter().find(|edge| is_plain(edge) && of_manager(edge));
        for lacking in plain.into_iter().flat_map(|plain| plain.filters.iter().map(move |looked| (plain, looked))) {
            let (plain, looked) = lacking;
            let is_http = looked.filter.wasm.as_ref().is_some_and(|wasm| wasm.kind == Kind::Http && !wasm.native);
            let runs = |other: &&LookedFilter<'_>| !upgraded.edge.has_off(other.filter);
            let is_there = upgraded.filters.iter().filter(runs).any(|other| is_same(looked, other));
            if !is_http || is_there || plain.edge.has_off(looked.filter) {
                continue;
            }
            let (shown, kind) = (looked.filter.shown(), upgrade.text_of("upgrade_type"));
            findings.push(Finding::new(
                if looked.guards() { &finding::UPGRADE_UNFILTERED } else { &finding::UPGRADE_UNFILTERED_OTHER },
                upgraded.edge.file,
                upgrade.get("filters").unwrap_or(upgrade),
                format!(
                    "{kind} upgrades have filters of their own, and {shown} isn't among them: they pass without it"
                ),
                format!("add {shown} to the upgrade's filters, or remove these, so that http_filters run"),
            ));
        }
    }
}

/// Whether two filters are the same one, under its name or by what it is for.
fn is_same(one: &LookedFilter<'_>, other: &LookedFilter<'_>) -> bool {
    let by_role = one.role.is_some() && one.role == other.role;
    by_role || other.filter.wasm.is_some() && one.filter.shown() == other.filter.shown()
}
