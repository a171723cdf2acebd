//! What is one filter's own in a chain: everything else of the world is shared by all.

use std::rc::Rc;

use super::protobuf;
use crate::scenario::{Encoding, Filter, Scenario};

#[derive(Clone, Debug, Default)]
pub struct Plugin {
    pub root_id: String,
    pub vm_id: String,
    /// Whether it is the filter that the scenario is about.
    pub under_test: bool,
    /// The bytes of `configuration` as they reach the filter.
    pub configuration: Vec<u8>,
}

/// The `vm_id` of the filter at a place of the chain.
pub fn vm_id(place: &str) -> String {
    if place.is_empty() { "scenario".into() } else { format!("scenario-{place}") }
}

impl Plugin {
    /// The filters of a scenario, in the order in which a request meets them.
    pub fn chain(scenario: &Scenario) -> Vec<Rc<Self>> {
        let filters = scenario.chain().into_iter().zip(scenario.places());
        filters.map(|(filter, place)| Rc::new(Self::of(&filter, &place))).collect()
    }

    fn of(filter: &Filter, place: &str) -> Self {
        let configuration = match (&filter.configuration, filter.encoding()) {
            (serde_json::Value::Null, _) => Vec::new(),
            (value, Encoding::Struct) => protobuf::structure(value),
            // Text stands as it is, so that a scenario can write what is no JSON.
            (serde_json::Value::String(text), Encoding::String) => text.clone().into_bytes(),
            (value, Encoding::String) => value.to_string().into_bytes(),
        };
        let vm_id = vm_id(place);
        Self { root_id: filter.plugin.clone(), vm_id, under_test: place.is_empty(), configuration }
    }
}
