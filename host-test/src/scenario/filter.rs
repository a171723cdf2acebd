//! A filter of the chain that a scenario plays on.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Encoding, Module, Scenario};

/// A plugin or a module with its configuration. It runs in a VM of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    pub plugin: String,
    /// A module instead of a plugin, as for the filter under test.
    pub module: Option<Module>,
    /// What stands under `configuration` in the filter's Envoy configuration.
    pub configuration: Value,
    /// How the configuration travels. Default: `struct`; text is no struct, and always travels as `string`.
    pub configuration_as: Encoding,
    /// What stands under `vm_config.configuration`; travels in the same way.
    pub vm_configuration: Value,
}

impl Filter {
    /// How the configuration travels.
    pub fn encoding(&self) -> Encoding {
        encoding(&self.configuration, self.configuration_as)
    }
}

/// How a configuration travels that a scenario wants to travel so.
pub fn encoding(configuration: &Value, wanted: Encoding) -> Encoding {
    if configuration.is_string() { Encoding::String } else { wanted }
}

impl Scenario {
    /// All filters, in the order in which a request meets them.
    pub fn chain(&self) -> Vec<Filter> {
        let under_test = Filter {
            plugin: self.plugin.clone(),
            module: self.module.clone(),
            configuration: self.configuration.clone(),
            configuration_as: self.configuration_as,
            vm_configuration: self.vm_configuration.clone(),
        };
        self.before.iter().cloned().chain([under_test]).chain(self.after.iter().cloned()).collect()
    }

    /// Where in the chain the filter under test stands.
    pub fn place(&self) -> usize {
        self.before.len()
    }

    /// What tells the filters of the chain apart: `before-1`, nothing for the one under test, `after-1`.
    pub fn places(&self) -> Vec<String> {
        let named = |side: &str, count: usize| (1..=count).map(|place| format!("{side}-{place}")).collect::<Vec<_>>();
        [named("before", self.before.len()), vec![String::new()], named("after", self.after.len())].concat()
    }
}
