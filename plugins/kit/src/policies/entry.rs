//! What a route or virtual host says in its metadata: a policy's name, and fields to change in it.

use crate::config::{ConfigError, Value, meant, protobuf};

/// More bytes than this in one namespace are refused; what a route adds is small.
pub(super) const LARGEST: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) policy: Option<String>,
    /// Each is listed as overridable.
    pub(super) fields: Vec<(String, Value)>,
}

impl Entry {
    pub(super) fn read(bytes: &[u8], overridable: &[String], possible: &[&str]) -> Result<Self, ConfigError> {
        if bytes.len() > LARGEST {
            return Err(ConfigError::new(format!("{} bytes; at most {LARGEST} are read", bytes.len())));
        }
        let value = protobuf::read_namespace(bytes).ok_or_else(|| ConfigError::new("no google.protobuf.Struct"))?;
        let mut entry = Self::default();
        for (name, value) in value.into_fields()? {
            if name == "policy" {
                entry.policy = Some(value.typed().map_err(|error| error.under("policy"))?);
                continue;
            }
            if !overridable.contains(&name) {
                return Err(refusal(&name, overridable, possible).under(&name));
            }
            // Who may set a route's metadata may not switch a policy off; a policy that is off can be named.
            let off = value == Value::Bool(false) || value == Value::Text("off".into());
            if name == "mode" && off {
                return Err(ConfigError::new("metadata can't switch a policy off; name one that is").under("mode"));
            }
            entry.fields.push((name, value));
        }
        Ok(entry)
    }

    /// The policy at `index` as written, with this entry's fields in place of its own.
    pub(super) fn applied_to(self, written: &[(String, Value)], index: usize) -> Result<Value, ConfigError> {
        let written = written.get(index).map_or(Value::Null, |(_, written)| written.clone());
        let mut fields = written.into_fields()?;
        for (name, value) in self.fields {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => fields.push((name, value)),
            }
        }
        Ok(Value::Map(fields))
    }
}

fn refusal(name: &str, overridable: &[String], possible: &[&str]) -> ConfigError {
    if possible.contains(&name) {
        return ConfigError::new("isn't overridable; list it under `overridable`, or make it a policy of its own");
    }
    let known = overridable.iter().map(String::as_str).chain(["policy"]);
    ConfigError::new(format!("no such field{}", meant(name, known)))
}
