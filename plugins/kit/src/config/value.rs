//! A configuration before it has types.

use super::{error::ConfigError, numbers, typed::FromValue};

/// Deeper nesting than any policy has; a bound for the stack.
pub(super) const DEEPEST: usize = 32;

/// What JSON and `google.protobuf.Struct` have in common. Names within a map are unlike.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Gives the value types.
    ///
    /// # Errors
    /// The first that doesn't fit, with its path.
    pub fn typed<T: FromValue>(&self) -> Result<T, ConfigError> {
        T::from_value(self)
    }

    /// The fields of a map.
    ///
    /// # Errors
    /// Any other value.
    pub fn into_fields(self) -> Result<Vec<(String, Value)>, ConfigError> {
        match self {
            Self::Map(fields) => Ok(fields),
            other => Err(other.unlike("an object")),
        }
    }

    pub(super) fn fields(&self) -> Result<&[(String, Value)], ConfigError> {
        match self {
            Self::Map(fields) => Ok(fields),
            other => Err(other.unlike("an object")),
        }
    }

    pub(super) fn entries(&self) -> Result<&[Value], ConfigError> {
        match self {
            Self::List(entries) => Ok(entries),
            other => Err(other.unlike("a list")),
        }
    }

    pub(super) fn number(&self) -> Result<f64, ConfigError> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => numbers::from_text(text),
            _ => None,
        }
        .ok_or_else(|| self.unlike("a number"))
    }

    /// A whole number up to `most`; `expected` names it.
    #[inline(never)]
    pub(super) fn whole(&self, expected: &str, most: u64) -> Result<u64, ConfigError> {
        let number = self.number()?;
        let Some(integer) = numbers::whole(number) else { return Err(Self::Number(number).unlike("a whole number")) };
        let fits = u64::try_from(integer).ok().filter(|integer| *integer <= most);
        fits.ok_or_else(|| ConfigError::new(format!("expected {expected}, found {integer}")))
    }

    #[inline(never)]
    pub(super) fn text(&self) -> Result<String, ConfigError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Number(number) if let Some(text) = numbers::to_text(*number) => Ok(text),
            other => Err(other.unlike("text")),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn unlike(&self, expected: &str) -> ConfigError {
        let found = match self {
            Self::Null => "nothing".into(),
            Self::Bool(true) => "the boolean true".into(),
            Self::Bool(false) => "the boolean false".into(),
            Self::Number(number) => numbers::to_text(*number).unwrap_or_else(|| "a fraction".into()),
            Self::Text(text) => format!("the text `{text}`"),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "an object".into(),
        };
        let remedy = match self {
            Self::Bool(false) if expected == "text" => "; YAML reads off, no and n so: put it in quotes",
            Self::Bool(true) if expected == "text" => "; YAML reads on, yes and y so: put it in quotes",
            Self::Number(_) if expected == "text" => "; put it in quotes",
            _ => "",
        };
        ConfigError::new(format!("expected {expected}, found {found}{remedy}"))
    }
}
