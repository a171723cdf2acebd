//! A configuration before it has types, and serde's way from there to types.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
        value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{error::ConfigError, numbers};

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
    pub fn into_typed<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        T::deserialize(self)
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

    fn unlike(&self, expected: &str) -> ConfigError {
        let found = match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => format!("the boolean {value}"),
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

    fn number(&self) -> Result<f64, ConfigError> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => numbers::from_text(text),
            _ => None,
        }
        .ok_or_else(|| self.unlike("a number"))
    }

    fn text(self) -> Result<String, ConfigError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Number(number) if let Some(text) = numbers::to_text(number) => Ok(text),
            other => Err(other.unlike("text")),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            let number = self.number()?;
            match numbers::whole(number) {
                Some(integer) => match u64::try_from(integer) {
                    Ok(unsigned) => visitor.visit_u64(unsigned),
                    Err(_) => visitor.visit_i64(integer),
                },
                None => Err(Value::Number(number).unlike("a whole number")),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            visitor.visit_string(self.text()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => visitor.visit_f64(number),
            Self::Text(text) => visitor.visit_string(text),
            Self::List(entries) => visitor.visit_seq(Entries(entries.into_iter(), 0)),
            Self::Map(fields) => visitor.visit_map(Fields { rest: fields.into_iter(), value: None }),
        }
    }

    whole_numbers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self {
            Self::Bool(value) => visitor.visit_bool(value),
            other => Err(other.unlike("true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self {
            Self::Null => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self {
            Self::List(_) => self.deserialize_any(visitor),
            other => Err(other.unlike("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self {
            Self::Map(_) => self.deserialize_any(visitor),
            other => Err(other.unlike("an object")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    /// YAML makes booleans of `on` and `off`; where they are choices, they are read back.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let choice = match &self {
            Self::Text(text) => text.as_str(),
            Self::Bool(true) if choices.contains(&"on") => "on",
            Self::Bool(false) if choices.contains(&"off") => "off",
            other => return Err(other.unlike(&format!("one of {}", choices.join(", ")))),
        };
        visitor.visit_enum(Choice(choice))
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct ignored_any }
}

struct Entries(std::vec::IntoIter<Value>, usize);

impl<'de> SeqAccess<'de> for Entries {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ConfigError> {
        let index = self.1;
        self.1 += 1;
        self.0.next().map(|entry| seed.deserialize(entry)).transpose().map_err(|error| error.at(index))
    }
}

struct Fields {
    rest: std::vec::IntoIter<(String, Value)>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        self.value = self.rest.next();
        match &self.value {
            Some((name, _)) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ConfigError> {
        let (name, value) = self.value.take().unwrap_or_else(|| (String::new(), Value::Null));
        seed.deserialize(value).map_err(|error| error.under(&name))
    }
}

struct Choice<'a>(&'a str);

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = ConfigError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ConfigError> {
        Ok((seed.deserialize(StrDeserializer::<ConfigError>::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = ConfigError;

    fn unit_variant(self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ConfigError> {
        Err(ConfigError::new(format!("`{}` stands alone here", self.0)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ConfigError> {
        Err(ConfigError::new(format!("`{}` stands alone here", self.0)))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ConfigError> {
        Err(ConfigError::new(format!("`{}` stands alone here", self.0)))
    }
}
