//! A new configuration for the filter under test.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Encoding;

/// What changes; what isn't named stays. Streams in flight keep what they began with. With another
/// `vm_configuration` the filter gets VMs of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Update {
    pub configuration: Option<Value>,
    /// How both travel. Default: `struct`; text always travels as `string`.
    pub configuration_as: Encoding,
    pub vm_configuration: Option<Value>,
}
