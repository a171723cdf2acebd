//! JSON → `google.protobuf.Struct` and `envoy.config.core.v3.Metadata`, in their wire format; and the
//! fields of messages that a filter wrote.
//!
//! 1. Numbers are doubles.
//! 2. Envoy's YAML loader turns a number that is no integer into a *string*: `1.5` arrives as `"1.5"`.
//! 3. Fields come in the order of their numbers, members in the order in which they are written.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Wire types of protobuf.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// A serialised `Struct`; empty where the value is no object.
pub fn structure(value: &Value) -> Vec<u8> {
    value.as_object().map(members).unwrap_or_default()
}

/// A serialised `Metadata` with these `filter_metadata`, and with empty messages of these names under
/// `typed_filter_metadata`.
pub fn metadata(namespaces: &BTreeMap<String, Map<String, Value>>, typed: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, fields) in namespaces {
        entry(&mut out, 1, name, &members(fields));
    }
    for name in typed {
        entry(&mut out, 2, name, b"");
    }
    out
}

fn members(fields: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        entry(&mut out, 1, name, &encoded(value));
    }
    out
}

/// An entry of a map that is this field.
fn entry(out: &mut Vec<u8>, field: u64, key: &str, value: &[u8]) {
    let mut entry = Vec::new();
    bytes(&mut entry, 1, key.as_bytes());
    bytes(&mut entry, 2, value);
    bytes(out, field, &entry);
}

/// A serialised `google.protobuf.Value`.
fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Null => {
            tag(&mut out, 1, VARINT);
            varint(&mut out, 0);
        }
        Value::Number(number) => match integer(number) {
            Some(number) => {
                tag(&mut out, 2, FIXED64);
                out.extend(number.to_le_bytes());
            }
            None => bytes(&mut out, 3, number.to_string().as_bytes()),
        },
        Value::String(text) => bytes(&mut out, 3, text.as_bytes()),
        Value::Bool(flag) => {
            tag(&mut out, 4, VARINT);
            varint(&mut out, u64::from(*flag));
        }
        Value::Object(fields) => bytes(&mut out, 5, &members(fields)),
        Value::Array(list) => {
            let mut values = Vec::new();
            list.iter().for_each(|value| bytes(&mut values, 1, &encoded(value)));
            bytes(&mut out, 6, &values);
        }
    }
    out
}

/// The double of a number that Envoy's YAML loader keeps a number.
pub fn integer(number: &serde_json::Number) -> Option<f64> {
    (number.is_i64() || number.is_u64()).then(|| number.as_f64()).flatten()
}

/// Adds a field of bytes.
pub fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn tag(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field of a message that others wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message by their numbers; `None` where it can't be read.
pub fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let (tag, rest) = read_varint(message)?;
        let (field, rest) = match tag & 7 {
            VARINT => read_varint(rest).map(|(number, rest)| (Field::Number(number), rest))?,
            FIXED64 => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Field::Number(u64::from_le_bytes(*bytes)), rest)
            }
            LENGTH => {
                let (length, rest) = read_varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Bytes(bytes), rest)
            }
            5 => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Field::Number(u32::from_le_bytes(*bytes).into()), rest)
            }
            _ => return None,
        };
        if tag >> 3 == 0 {
            return None;
        }
        fields.push((tag >> 3, field));
        message = rest;
    }
    Some(fields)
}

/// The last value of a field of bytes; nothing where it is missing.
pub fn text<'a>(fields: &[(u64, Field<'a>)], number: u64) -> &'a [u8] {
    let found = fields.iter().rev().find_map(|(field, value)| match value {
        Field::Bytes(bytes) if *field == number => Some(*bytes),
        _ => None,
    });
    found.unwrap_or_default()
}

/// The last value of a field of numbers; 0 where it is missing.
pub fn number(fields: &[(u64, Field<'_>)], number: u64) -> u64 {
    let found = fields.iter().rev().find_map(|(field, value)| match value {
        Field::Number(value) if *field == number => Some(*value),
        _ => None,
    });
    found.unwrap_or_default()
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_a_map_of_values() {
        let bytes = structure(&serde_json::json!({"a": "b", "n": 5}));
        assert_eq!(
            bytes,
            b"\x0a\x08\x0a\x01a\x12\x03\x1a\x01b\x0a\x0e\x0a\x01n\x12\x09\x11\x00\x00\x00\x00\x00\x00\x14\x40"
        );
    }

    #[test]
    fn a_fractional_number_becomes_text() {
        assert_eq!(encoded(&serde_json::json!(1.5)), b"\x1a\x031.5");
        assert_eq!(encoded(&serde_json::json!(true)), b"\x20\x01");
        assert_eq!(encoded(&serde_json::json!(null)), b"\x08\x00");
        assert_eq!(encoded(&serde_json::json!([true])), b"\x32\x04\x0a\x02\x20\x01");
        assert_eq!(encoded(&serde_json::json!({})), b"\x2a\x00");
    }

    #[test]
    fn lengths_above_127_take_two_bytes() {
        let bytes = encoded(&serde_json::json!("x".repeat(200)));
        assert_eq!(&bytes[..3], b"\x1a\xc8\x01");
    }

    #[test]
    fn fields_are_read_by_number_and_garbage_is_refused() {
        let read = fields(b"\x0a\x01a\x10\x01\x0a\x01b").unwrap();
        assert_eq!((text(&read, 1), number(&read, 2), number(&read, 3)), (b"b".as_slice(), 1, 0));
        for garbage in [b"garbage".as_slice(), b"\x0a\x05a", b"\x00\x01", b"\x80"] {
            assert_eq!(fields(garbage), None, "{garbage:?}");
        }
    }
}
