//! What is wrong with a configuration: where, which value, and what to do.

use std::fmt;

use serde::de::{self, Unexpected};

use super::nearest::nearest;

/// An error that an operator can act on: `policies.web.preset: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Outermost first; empty for the whole configuration.
    path: String,
    message: String,
}

impl ConfigError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// The same error, inside the field `name`.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{separator}{}", self.path);
        self
    }

    /// The same error, inside the list entry `index`, counted from 0.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // Not `{found}`: it would format fractions too, at twenty thousand bytes of module.
        let found = match found {
            Unexpected::Bool(value) => format!("the boolean {value}"),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Str(text) => format!("the text `{text}`"),
            Unexpected::Seq => "a list".into(),
            Unexpected::Map => "an object".into(),
            _ => "something else".into(),
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(name: &str, fields: &'static [&'static str]) -> Self {
        Self::new(format!("no such field{}", hint(name, "fields here", fields))).under(name)
    }

    fn unknown_variant(name: &str, choices: &'static [&'static str]) -> Self {
        Self::new(format!("`{name}` is none of the choices{}", hint(name, "choices", choices)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("the field `{name}` is missing"))
    }
}

fn hint(name: &str, what: &str, known: &[&str]) -> String {
    let meant = nearest(name, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
    format!("{} ({what}: {})", meant.unwrap_or_default(), known.join(", "))
}
