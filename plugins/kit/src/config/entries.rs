//! An object whose names are the operator's own: policies by name, headers by name.

use super::{error::ConfigError, typed::FromValue, value::Value};

/// Names and values in the order in which they were written. A list and no tree: it is read once, and
/// each tree is some ten thousand bytes more of module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromValue> FromValue for Entries<T> {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut entries = Self::default();
        entries.fill(value)?;
        Ok(entries)
    }

    fn fill(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (name, value) in value.fields()? {
            let value = T::from_value(value).map_err(|error| error.under(name))?;
            self.0.push((name.clone(), value));
        }
        Ok(())
    }
}

#[cfg(not(target_family = "wasm"))]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Entries<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("EntriesOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <std::collections::BTreeMap<String, T>>::json_schema(generator)
    }
}
