//! The JSON Schema of a filter's configuration, from its types. Native only: a module carries none.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use crate::policies::RawPolicies;

/// The schema of `RawPolicies<R>` with the fields of the settings `S` beside it, as text that ends with a line break.
pub fn of<R: JsonSchema, S: JsonSchema>(filter: &str) -> String {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let settings = S::json_schema(&mut generator);
    let mut schema = generator.into_root_schema_for::<RawPolicies<R>>();
    let fields = settings.get("properties").and_then(Value::as_object);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(fields.into_iter().flatten().map(|(name, field)| (name.clone(), field.clone())));
    }
    schema.insert("title".into(), format!("Configuration of portcullis.{filter}").into());
    format!("{:#}\n", schema.as_value())
}
