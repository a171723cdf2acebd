//! What a bootstrap says around the filter under test that no scenario can write: [`crate::check`] asks
//! a filter in the bootstrap's own surroundings.

use std::collections::{BTreeMap, BTreeSet};

/// Where nothing is said, the filter is what it is in a scenario.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// `name` of the plugin's configuration.
    pub name: Option<String>,
    pub vm_id: Option<String>,
    /// `vm_config.environment_variables`.
    pub environment: BTreeMap<String, String>,
    /// `allowed_capabilities`; without, a module may do all and hears of all.
    pub capabilities: Option<BTreeSet<String>>,
}
