//! The part of the configuration that is the same in every filter, as it is written.

use super::routes::RawRule;
use crate::{
    config::{ConfigError, Entries, Value, meant},
    fields,
    seen::NO_NAME,
    words,
};

fields! {
    /// The configuration of a filter.
    #[derive(Clone, Debug)]
    pub struct RawPolicies<R> {
        /// Every policy that a route can choose, by name: letters, digits, `-` and `_`, at most 64.
        pub policies: Entries<R>,
        /// The policy where neither metadata nor `routes` choose one.
        pub default_policy: Option<String> = default,
        /// Answer 503 where nothing chooses a policy, where metadata names one that doesn't exist, and
        /// where the route changes after the choice. Costs a second look at the route.
        pub require_policy: bool = default,
        /// Whether the metadata of routes and virtual hosts is read.
        pub per_route: Switch = default,
        /// Whether each decision leaves a record for the access log.
        pub record: Switch = default,
        /// Chooses where metadata can't be set; the first that matches.
        pub routes: Vec<RawRule> = default,
        /// The fields of a policy that metadata may change.
        pub overridable: Vec<String> = default,
    }
}

words! {
    /// YAML makes booleans of both words; they are read back.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Switch {
        #[default]
        On = "on",
        Off = "off",
    }
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

pub(super) fn no_policy(name: &str, known: &[(String, Value)]) -> ConfigError {
    let hint = meant(name, known.iter().map(|(known, _)| known.as_str()));
    ConfigError::new(format!("no policy is called `{name}`{hint}"))
}

pub(super) fn check_overridable(listed: &[String], possible: &[&str]) -> Result<(), ConfigError> {
    for (index, field) in listed.iter().enumerate() {
        if !possible.contains(&field.as_str()) {
            let hint = meant(field, possible.iter().copied());
            let choices = possible.join(", ");
            return Err(ConfigError::new(format!("`{field}` can't be overridable{hint} (can be: {choices})")).at(index));
        }
    }
    Ok(())
}
