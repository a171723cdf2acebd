//! The JSON Schema of a filter's configuration, from its types. Native only: a module carries none.

use schemars::{JsonSchema, generate::SchemaSettings};

use crate::policies::RawPolicies;

/// The schema of `RawPolicies<R>`, as text that ends with a line break.
pub fn of<R: JsonSchema>(filter: &str) -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawPolicies<R>>();
    schema.insert("title".into(), format!("Configuration of portcullis.{filter}").into());
    format!("{:#}\n", schema.as_value())
}
