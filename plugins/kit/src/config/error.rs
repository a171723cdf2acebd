//! What is wrong with a configuration: where, which value, and what to do.

use std::{borrow::Cow, fmt};

use super::nearest::meant;

/// An error that an operator can act on: `policies.web.preset: …`.
///
/// One pointer, so that a result with it is hardly larger than one without: readers are mostly what hands errors on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    /// Outermost first; empty for the whole configuration.
    path: String,
    message: Cow<'static, str>,
}

impl ConfigError {
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(message.into())
    }

    #[cold]
    #[inline(never)]
    fn of(message: Cow<'static, str>) -> Self {
        Self(Box::new(Inner { path: String::new(), message }))
    }

    /// The same error, inside the field `name`.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn under(mut self, name: &str) -> Self {
        let path = &mut self.0.path;
        let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = [name, separator, path].concat();
        self
    }

    /// The same error, inside the list entry `index`, counted from 0.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn at(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }

    pub(super) fn unknown_field(name: &str, fields: &[&'static str]) -> Self {
        Self::new(format!("no such field{}", hint(name, "fields here", fields))).under(name)
    }

    pub(super) fn unknown_word(word: &str, words: &[&'static str]) -> Self {
        Self::new(format!("`{word}` is none of the choices{}", hint(word, "choices", words)))
    }

    pub(super) fn missing_field(name: &str) -> Self {
        Self::new(format!("the field `{name}` is missing"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            formatter.write_str(&self.0.path)?;
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.0.message)
    }
}

impl std::error::Error for ConfigError {}

fn hint(name: &str, what: &str, known: &[&str]) -> String {
    format!("{} ({what}: {})", meant(name, known.iter().copied()), known.join(", "))
}
