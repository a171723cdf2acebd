//! What a configuration says beside its policies, which alone differ from filter to filter. It is apart from what does,
//! so that its code stands once in a module.

use super::{
    raw::{self, RawPolicies, Switch},
    routes::Rules,
};
use crate::config::{ConfigError, Value};

#[derive(Debug)]
pub(super) struct Plan {
    /// The policies as they were written, by name, for metadata to change.
    pub(super) written: Vec<(String, Value)>,
    /// Index of the policy.
    pub(super) default: Option<usize>,
    pub(super) require: bool,
    pub(super) per_route: Switch,
    pub(super) record: Switch,
    pub(super) rules: Rules,
    pub(super) overridable: Vec<String>,
}

impl Plan {
    /// The plan, and the settings as they were written.
    ///
    /// # Errors
    /// The first thing wrong beside the policies and the settings, with its path.
    pub(super) fn read(
        configuration: Value,
        settings: &[&str],
        overridable: &[&str],
    ) -> Result<(Self, Value), ConfigError> {
        let is_setting = |(name, _): &(String, Value)| settings.contains(&name.as_str());
        let (settings, rest) = configuration.into_fields()?.into_iter().partition(is_setting);
        let raw: RawPolicies<Value> = Value::Map(rest).typed()?;
        let mut plan = Self {
            written: raw.policies.0,
            default: None,
            require: raw.require_policy,
            per_route: raw.per_route,
            record: raw.record,
            rules: Rules::default(),
            overridable: raw.overridable,
        };
        let mut routes = raw.routes;
        for (name, _) in &plan.written {
            raw::check_name(name).map_err(|error| error.under(name).under("policies"))?;
        }
        if plan.written.is_empty() {
            return Err(ConfigError::new("no policies: name at least one").under("policies"));
        }
        let index_of = |name: &str| match plan.written.iter().position(|(known, _)| known == name) {
            Some(index) => Ok(index),
            None => Err(raw::no_policy(name, &plan.written)),
        };
        if let Some(name) = &raw.default_policy {
            plan.default = Some(index_of(name).map_err(|error| error.under("default_policy"))?);
        }
        plan.rules = Rules::new(&mut routes, &index_of).map_err(|error| error.under("routes"))?;
        raw::check_overridable(&plan.overridable, overridable).map_err(|error| error.under("overridable"))?;
        if plan.per_route == Switch::Off && !plan.overridable.is_empty() {
            let why = "has no effect with `per_route: off`; remove one of the two";
            return Err(ConfigError::new(why).under("overridable"));
        }
        Ok((plan, Value::Map(settings)))
    }
}
