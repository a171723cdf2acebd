//! JSON → `google.protobuf.Struct` and `envoy.config.core.v3.Metadata`, in their wire format.
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

/// A serialised `Metadata` with these `filter_metadata`.
pub fn metadata(namespaces: &BTreeMap<String, Map<String, Value>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, fields) in namespaces {
        entry(&mut out, name, &members(fields));
    }
    out
}

fn members(fields: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        entry(&mut out, name, &encoded(value));
    }
    out
}

/// An entry of a map that is field 1.
fn entry(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let mut entry = Vec::new();
    bytes(&mut entry, 1, key.as_bytes());
    bytes(&mut entry, 2, value);
    bytes(out, 1, &entry);
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

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
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
}
