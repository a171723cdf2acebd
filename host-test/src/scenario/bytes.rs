//! Bytes as a scenario writes them: text, hexadecimal, or text repeated.

use std::{borrow::Cow, cell::Cell};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Any sequence of bytes. Plain text stands for its UTF-8 bytes; `{hex: "80ff"}` for bytes that are
/// no text; `{repeat: "x", times: 1000}` for what is too long to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

/// What `repeat` may produce in one scenario, in bytes.
const LARGEST: usize = 64 << 20;

thread_local! {
    /// What is left of it for the scenario that this thread reads.
    static LEFT: Cell<usize> = const { Cell::new(LARGEST) };
}

/// A scenario is about to be read.
pub fn begin() {
    LEFT.set(LARGEST);
}

/// Takes a part of what is left.
fn take(length: usize) -> Option<usize> {
    LEFT.set(LEFT.get().checked_sub(length)?);
    Some(length)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(serde_json::Number),
    Hex(Hex),
    Repeat(Repeat),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    repeat: String,
    times: usize,
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)
            .map_err(|_| D::Error::custom(r#"expected text, {hex: "80ff"} or {repeat: "x", times: 1000}"#))?;
        match written {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Number(number) => Ok(Self(number.to_string().into_bytes())),
            Written::Hex(Hex { hex }) => from_hex(&hex)
                .map(Self)
                .ok_or_else(|| D::Error::custom(format!("`{hex}` is not pairs of hexadecimal digits"))),
            Written::Repeat(Repeat { repeat, times }) => match repeat.len().checked_mul(times).and_then(take) {
                Some(_) => Ok(Self(repeat.repeat(times).into_bytes())),
                None => Err(D::Error::custom(format!("all `repeat` together give more than {LARGEST} bytes"))),
            },
        }
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                Some(digit(high)? << 4 | digit(low)?)
            }
            _ => None,
        })
        .collect()
}

impl Bytes {
    /// The bytes for people: text where it is text, `\xNN` where it isn't.
    pub fn display(&self) -> Cow<'_, str> {
        display(&self.0)
    }
}

/// Bytes for people: text where it is text, `\xNN` where it isn't.
pub fn display(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => Cow::Borrowed(text),
        _ => Cow::Owned(
            bytes
                .iter()
                .map(|byte| match byte {
                    b' '..=b'~' => char::from(*byte).to_string(),
                    _ => format!("\\x{byte:02x}"),
                })
                .collect(),
        ),
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, or bytes that are no text, or text repeated",
            "oneOf": [
                { "type": ["string", "number"] },
                { "type": "object", "additionalProperties": false, "required": ["hex"],
                  "properties": { "hex": { "type": "string", "pattern": "^([0-9a-fA-F]{2} *)*$" } } },
                { "type": "object", "additionalProperties": false, "required": ["repeat", "times"],
                  "properties": { "repeat": { "type": "string" }, "times": { "type": "integer", "minimum": 0 } } },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(yaml: &str) -> Result<Vec<u8>, String> {
        serde_saphyr::from_str::<Bytes>(yaml).map(|bytes| bytes.0).map_err(|error| error.to_string())
    }

    #[test]
    fn text_hexadecimal_and_repetition_are_read() {
        assert_eq!(bytes("hello").unwrap(), b"hello");
        assert_eq!(bytes("{hex: \"80 ff\"}").unwrap(), [0x80, 0xff]);
        assert_eq!(bytes("{repeat: ab, times: 3}").unwrap(), b"ababab");
        assert_eq!(bytes("12").unwrap(), b"12");
    }

    #[test]
    fn an_odd_number_of_digits_and_an_endless_repetition_are_refused() {
        assert!(bytes("{hex: \"8\"}").unwrap_err().contains("hexadecimal"));
        assert!(bytes("{hex: \"zz\"}").unwrap_err().contains("hexadecimal"));
        assert!(bytes("{repeat: ab, times: 9999999999}").unwrap_err().contains("more than"));
    }
}
