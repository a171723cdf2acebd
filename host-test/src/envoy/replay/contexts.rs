//! Contexts, numbered as where a scenario has one listener. A step that a later filter replies to has a
//! listener of its own; the VM is the same, but each listener brings another root context into it.
//! Elsewhere contexts are called as Envoy calls them, also where several VMs have one of the same id.

use std::collections::BTreeMap;

use crate::{
    scenario::Scenario,
    world::trace::{Entry, Way},
};

const ROOT: i64 = 1;

/// What each context of the worker's VM would be called.
#[derive(Default)]
pub struct Contexts {
    names: BTreeMap<i64, i64>,
    /// How many streams there were.
    streams: i64,
    /// A further root context, while it starts.
    further: Option<i64>,
}

impl Contexts {
    /// The contexts of a scenario; `None` where nothing is to be renamed, because it has one listener.
    pub fn of(scenario: &Scenario) -> Option<Self> {
        scenario.steps.iter().any(|step| step.reply.is_some()).then(Self::default)
    }

    /// Whether a scenario's contexts can be told apart: a trace names no VM, so the further listeners of
    /// one filter's VM can't be told from those of another's.
    pub fn are_known(scenario: &Scenario) -> bool {
        scenario.chain().len() == 1 || Self::of(scenario).is_none()
    }

    /// The calls without those that only further listeners bring.
    pub fn alone(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        entries.into_iter().filter_map(|entry| self.entry(entry)).collect()
    }

    fn entry(&mut self, mut entry: Entry) -> Option<Entry> {
        let first = entry.values.first().copied().flatten();
        if entry.is_creation() {
            *self = Self::default();
        }
        if entry.way == Way::Called {
            if first.is_some() && first != self.further {
                self.further = None;
            }
            if entry.name == "proxy_on_context_create" {
                self.created(first?, entry.values.get(1).copied().flatten() == Some(0));
            }
        }
        if self.further.is_some() {
            return None;
        }
        let contexts = match (entry.way, entry.name.as_str()) {
            (Way::Called, "proxy_on_context_create") => 2,
            (Way::Called, name) if name.starts_with("proxy_on_") => 1,
            (Way::Asked, "proxy_set_effective_context") => 1,
            _ => 0,
        };
        for id in entry.values.iter_mut().take(contexts).flatten() {
            *id = self.names.get(id).copied().unwrap_or(*id);
        }
        Some(entry)
    }

    fn created(&mut self, id: i64, root: bool) {
        if root {
            self.further = (!self.names.is_empty()).then_some(id);
            self.names.insert(id, ROOT);
        } else {
            self.streams += 1;
            self.names.insert(id, ROOT + self.streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_root_is_unseen_and_streams_are_counted_from_the_first() {
        let call = |name: &str, values: &[i64]| Entry::new(Way::Called, name, values.iter().copied());
        let create = |id, parent| call("proxy_on_context_create", &[id, parent]);
        let entries = vec![
            create(1, 0),
            call("proxy_on_configure", &[1, 7]),
            create(2, 0),
            call("proxy_on_configure", &[2, 7]),
            call("malloc", &[7]),
            Entry::new(Way::Asked, "proxy_done", []),
            create(3, 2),
            call("proxy_on_request_headers", &[3, 5, 1]),
        ];
        let mut contexts = Contexts::default();
        let lines: Vec<String> = contexts.alone(entries).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "[host->vm] proxy_on_context_create(1, 0)",
                "[host->vm] proxy_on_configure(1, 7)",
                "[host->vm] proxy_on_context_create(2, 1)",
                "[host->vm] proxy_on_request_headers(2, 5, 1)",
            ]
        );
        assert_eq!(contexts.alone(vec![create(4, 1)])[0].to_string(), "[host->vm] proxy_on_context_create(3, 1)");
    }
}
