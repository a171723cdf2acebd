//! The value of a property, and the bytes in which Envoy hands it over.
//!
//! Text and bytes are raw; numbers 8 bytes little-endian; a boolean one byte; a map is pairs, a list
//! pairs with empty values; a message is its protobuf. What has no bytes (null, a whole `request`)
//! fails to serialise, and so does a map that holds one.

use serde_json::Value as Json;

use super::{pairs, protobuf, status::Status};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bytes(Vec<u8>),
    Integer(u64),
    Double(f64),
    Bool(bool),
    Map(Vec<(Vec<u8>, Value)>),
    /// A map whose names are found in any case.
    Headers(Vec<(Vec<u8>, Value)>),
    List(Vec<Value>),
    /// A message with the fields that can be asked for by name.
    Message(Vec<u8>, Vec<(Vec<u8>, Value)>),
    /// What can be descended into, but has no bytes of its own.
    Opaque(Vec<(Vec<u8>, Value)>),
    Null,
}

impl Value {
    /// Metadata as CEL sees it.
    pub fn of(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => {
                protobuf::integer(number).map_or_else(|| Self::Bytes(number.to_string().into_bytes()), Self::Double)
            }
            Json::String(text) => Self::Bytes(text.clone().into_bytes()),
            Json::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            Json::Object(fields) => Self::object(fields),
        }
    }

    pub fn object(fields: &serde_json::Map<String, Json>) -> Self {
        Self::Map(fields.iter().map(|(name, value)| (name.clone().into_bytes(), Self::of(value))).collect())
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Bytes(text.into().into_bytes())
    }

    /// The value one step further down a path.
    pub fn field(self, name: &[u8]) -> Option<Self> {
        match self {
            Self::Headers(fields) => {
                fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }
            Self::Map(fields) | Self::Message(_, fields) | Self::Opaque(fields) => {
                fields.into_iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, Status> {
        Ok(match self {
            Self::Bytes(bytes) | Self::Message(bytes, _) => bytes.clone(),
            Self::Integer(number) => number.to_le_bytes().to_vec(),
            Self::Double(number) => number.to_le_bytes().to_vec(),
            Self::Bool(flag) => vec![u8::from(*flag)],
            Self::Map(fields) | Self::Headers(fields) => {
                let encoded: Vec<_> =
                    fields.iter().map(|(name, value)| Ok((name, value.encode()?))).collect::<Result<_, Status>>()?;
                pairs::serialise(encoded.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
            }
            Self::List(list) => {
                let encoded: Vec<_> = list.iter().map(Self::encode).collect::<Result<_, _>>()?;
                pairs::serialise(encoded.iter().map(|value| (value.as_slice(), [].as_slice())))
            }
            Self::Opaque(_) | Self::Null => return Err(Status::SerializationFailure),
        })
    }
}
