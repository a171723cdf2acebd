//! The part of the configuration that is the same in every filter, as it is written.

use serde::Deserialize;

use super::routes::RawRule;
use crate::{
    config::{ConfigError, Entries, nearest},
    seen::NO_NAME,
};

/// The configuration of a filter.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawPolicies<R> {
    /// Every policy that a route can choose, by name: letters, digits, `-` and `_`, at most 64.
    pub policies: Entries<R>,
    /// The policy where neither metadata nor `routes` choose one.
    #[serde(default)]
    pub default_policy: Option<String>,
    /// Answer 503 where nothing chooses a policy, where metadata names one that doesn't exist, and
    /// where the route changes after the choice. Costs a second look at the route.
    #[serde(default)]
    pub require_policy: bool,
    /// Whether the metadata of routes and virtual hosts is read.
    #[serde(default)]
    pub per_route: Switch,
    /// Whether each decision leaves a record for the access log.
    #[serde(default)]
    pub record: Switch,
    /// Chooses where metadata can't be set; the first that matches.
    #[serde(default)]
    pub routes: Vec<RawRule>,
    /// The fields of a policy that metadata may change.
    #[serde(default)]
    pub overridable: Vec<String>,
}

/// YAML makes booleans of both words; they are read back.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    #[default]
    On,
    Off,
}

/// Names of policies stand in metrics and records: a fixed alphabet, and no name that means none.
pub(super) fn check_name(name: &str) -> Result<(), ConfigError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && (1..=64).contains(&name.len()) && name != NO_NAME {
        Ok(())
    } else {
        Err(ConfigError::new(format!("a policy's name is 1 to 64 letters, digits, `-` and `_`, and not `{NO_NAME}`")))
    }
}

pub(super) fn check_overridable(listed: &[String], possible: &[&str]) -> Result<(), ConfigError> {
    for (index, field) in listed.iter().enumerate() {
        if !possible.contains(&field.as_str()) {
            let near = nearest(field, possible.iter().copied());
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let choices = possible.join(", ");
            return Err(ConfigError::new(format!("`{field}` can't be overridable{hint} (can be: {choices})")).at(index));
        }
    }
    Ok(())
}
