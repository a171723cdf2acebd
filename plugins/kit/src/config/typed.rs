//! [`Value`] → the types of which raw configurations are made.

use super::{error::ConfigError, value::Value};

/// What a [`Value`] can be read as. [`fields!`](crate::fields) and [`words!`](crate::words) implement it for structs
/// and for enums.
pub trait FromValue: Sized {
    /// # Errors
    /// What doesn't fit, with its path inside of the value.
    fn from_value(value: &Value) -> Result<Self, ConfigError>;

    /// The same into a place that holds a default.
    ///
    /// # Errors
    /// What doesn't fit, with its path inside of the value.
    #[doc(hidden)]
    fn fill(&mut self, value: &Value) -> Result<(), ConfigError> {
        // A default owns nothing; to say so saves the code that would drop it.
        std::mem::forget(std::mem::replace(self, Self::from_value(value)?));
        Ok(())
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        Ok(value.clone())
    }
}

/// Text, or the digits that YAML made a number of.
impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.text()
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            other => Err(other.unlike("true or false")),
        }
    }
}

/// A number, or text of digits, which Envoy makes of fractions.
impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.number()
    }
}

macro_rules! whole_numbers {
    ($($type:ident)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, ConfigError> {
                #[allow(clippy::cast_possible_truncation)]
                value.whole(stringify!($type), <$type>::MAX.into()).map(|number| number as $type)
            }
        }
    )*};
}

whole_numbers! { u8 u16 u32 u64 }

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let mut list = Self::new();
        list.fill(value)?;
        Ok(list)
    }

    fn fill(&mut self, value: &Value) -> Result<(), ConfigError> {
        read_entries(value, &mut |entry| {
            self.push(T::from_value(entry)?);
            Ok(())
        })
    }
}

/// What is the same in all lists, once for all of them.
fn read_entries(value: &Value, read: &mut dyn FnMut(&Value) -> Result<(), ConfigError>) -> Result<(), ConfigError> {
    for (index, entry) in value.entries()?.iter().enumerate() {
        read(entry).map_err(|error| error.at(index))?;
    }
    Ok(())
}
