//! What is one filter's own in a chain: everything else of the world is shared by all.

use std::{collections::BTreeSet, rc::Rc};

use serde_json::Value;

use super::protobuf;
use crate::scenario::{Around, Encoding, Filter, Scenario, Update, filter};

#[derive(Clone, Debug, Default)]
pub struct Plugin {
    /// Its name in the configuration; none in a scenario.
    pub name: String,
    pub root_id: String,
    pub vm_id: String,
    /// Whether it is the filter that the scenario is about.
    pub under_test: bool,
    /// The bytes of `configuration` as they reach the filter.
    pub configuration: Vec<u8>,
    /// The bytes of `vm_config.configuration`.
    pub vm_configuration: Vec<u8>,
    /// The calls and callbacks that it is limited to, if it is.
    pub capabilities: Option<BTreeSet<String>>,
}

/// The `vm_id` of the filter at a place of the chain.
pub fn vm_id(place: &str) -> String {
    if place.is_empty() { "scenario".into() } else { format!("scenario-{place}") }
}

impl Plugin {
    /// The filters of a scenario, in the order in which a request meets them.
    pub fn chain(scenario: &Scenario) -> Vec<Rc<Self>> {
        let filters = scenario.chain().into_iter().zip(scenario.places());
        let of = |filter: &Filter, place: &str| {
            let plugin = Self::of(filter, place);
            if plugin.under_test { plugin.within(&scenario.around) } else { plugin }
        };
        filters.map(|(filter, place)| Rc::new(of(&filter, &place))).collect()
    }

    /// The same in a bootstrap's own surroundings.
    fn within(self, around: &Around) -> Self {
        Self {
            name: around.name.clone().unwrap_or(self.name),
            vm_id: around.vm_id.clone().unwrap_or(self.vm_id),
            capabilities: around.capabilities.clone(),
            ..self
        }
    }

    /// Whether a call may be made, or a callback is made.
    pub fn allows(&self, name: &str) -> bool {
        self.capabilities.as_ref().is_none_or(|allowed| allowed.contains(name))
    }

    fn of(filter: &Filter, place: &str) -> Self {
        let bytes = |value| bytes(value, filter.configuration_as);
        Self {
            root_id: filter.plugin.clone(),
            vm_id: vm_id(place),
            under_test: place.is_empty(),
            configuration: bytes(&filter.configuration),
            vm_configuration: bytes(&filter.vm_configuration),
            ..Self::default()
        }
    }

    /// The same filter with a new configuration.
    pub fn updated(&self, update: &Update) -> Self {
        let bytes = |value: &Value| bytes(value, update.configuration_as);
        let mut updated = self.clone();
        if let Some(configuration) = &update.configuration {
            updated.configuration = bytes(configuration);
        }
        if let Some(configuration) = &update.vm_configuration {
            updated.vm_configuration = bytes(configuration);
        }
        updated
    }
}

/// A configuration as it travels.
fn bytes(value: &Value, written_as: Encoding) -> Vec<u8> {
    match (value, filter::encoding(value, written_as)) {
        (Value::Null, _) => Vec::new(),
        (value, Encoding::Struct) => protobuf::structure(value),
        // Text stands as it is, so that a scenario can write what is no JSON.
        (Value::String(text), Encoding::String) => text.clone().into_bytes(),
        (value, Encoding::String) => value.to_string().into_bytes(),
    }
}
