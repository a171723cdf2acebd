//! Serialised `google.protobuf.Struct` → [`Value`], and the entry of one namespace in Envoy's
//! `Metadata`. Only what these two messages need of protobuf's wire format.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>, `google/protobuf/struct.proto`,
//! `envoy/config/core/v3/base.proto`.

use super::value::{DEEPEST, Value};

/// A whole `Struct`, or `None` where the bytes are anything else. No bytes are none: they are what
/// JSON text without a character is, too.
pub(super) fn read_struct(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() { None } else { map(bytes, DEEPEST) }
}

/// The serialised `Struct` that a serialised `Metadata` holds under `filter_metadata[namespace]`.
/// `Ok(None)` where it holds none; `Err` where the bytes are no `Metadata`, and where the namespace is
/// meant and missed: with `-` for `_`, in another case, or under `typed_filter_metadata`.
pub(crate) fn namespace<'a>(metadata: &'a [u8], namespace: &str) -> Result<Option<&'a [u8]>, Malformed> {
    let mut found = None;
    for field in fields(metadata) {
        if let (kind @ (1 | 2), Payload::Bytes(entry)) = field.ok_or(Malformed)? {
            let (mut key, mut value) = (&[][..], &[][..]);
            for part in fields(entry) {
                match part.ok_or(Malformed)? {
                    (1, Payload::Bytes(bytes)) => key = bytes,
                    (2, Payload::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
            }
            if kind == 1 && key == namespace.as_bytes() {
                found = Some(value);
            } else if is_meant(key, namespace.as_bytes()) {
                return Err(Malformed);
            }
        }
    }
    Ok(found)
}

fn is_meant(key: &[u8], namespace: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    key.len() == namespace.len() && key.iter().map(plain).eq(namespace.iter().copied())
}

/// Bytes that aren't the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The `Struct` of a namespace as a value; an empty one is an empty map.
pub(crate) fn read_namespace(bytes: &[u8]) -> Option<Value> {
    map(bytes, DEEPEST)
}

fn map(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for field in fields(bytes) {
        let (1, Payload::Bytes(entry)) = field? else { return None };
        let mut parts = fields(entry);
        let (1, Payload::Bytes(key)) = parts.next()?? else { return None };
        let (2, Payload::Bytes(value)) = parts.next()?? else { return None };
        let name = std::str::from_utf8(key).ok()?;
        if parts.next().is_some() || entries.iter().any(|(known, _)| known == name) {
            return None;
        }
        entries.push((name.to_owned(), self::value(value, depth)?));
    }
    Some(Value::Map(entries))
}

fn value(bytes: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut parts = fields(bytes);
    // A `Value` without a kind is what an unset one serialises to.
    let Some(field) = parts.next() else { return Some(Value::Null) };
    let value = match field? {
        (1, Payload::Varint(_)) => Value::Null,
        (2, Payload::Fixed64(bits)) => Value::Number(f64::from_bits(bits)),
        (3, Payload::Bytes(text)) => Value::Text(std::str::from_utf8(text).ok()?.to_owned()),
        (4, Payload::Varint(flag)) => Value::Bool(flag != 0),
        (5, Payload::Bytes(fields)) => map(fields, depth)?,
        (6, Payload::Bytes(entries)) => list(entries, depth)?,
        _ => return None,
    };
    parts.next().is_none().then_some(value)
}

fn list(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut entries = Vec::new();
    for field in fields(bytes) {
        let (1, Payload::Bytes(entry)) = field? else { return None };
        entries.push(value(entry, depth)?);
    }
    Some(Value::List(entries))
}

enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in order; `None` for the first that isn't one, and no more behind it.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u64, Payload<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let read = field(bytes);
        bytes = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(field, _)| field))
    })
}

fn field(bytes: &[u8]) -> Option<((u64, Payload<'_>), &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (payload, rest) = match tag & 7 {
        0 => varint(rest).map(|(number, rest)| (Payload::Varint(number), rest))?,
        1 => {
            let (head, rest) = rest.split_first_chunk()?;
            (Payload::Fixed64(u64::from_le_bytes(*head)), rest)
        }
        2 => {
            let (length, rest) = varint(rest)?;
            let (head, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Payload::Bytes(head), rest)
        }
        _ => return None,
    };
    Some(((tag >> 3, payload), rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delimited(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend(bytes);
        out
    }

    /// What a protobuf library writes, so that the reader meets an independent writer.
    pub(crate) fn write_struct(fields: &[(String, Value)]) -> Vec<u8> {
        fields
            .iter()
            .flat_map(|(name, value)| {
                delimited(1, &[delimited(1, name.as_bytes()), delimited(2, &write_value(value))].concat())
            })
            .collect()
    }

    fn write_value(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![8, 0],
            Value::Number(number) => [&[0x11][..], &number.to_le_bytes()].concat(),
            Value::Text(text) => delimited(3, text.as_bytes()),
            Value::Bool(flag) => vec![0x20, u8::from(*flag)],
            Value::Map(fields) => delimited(5, &write_struct(fields)),
            Value::List(entries) => {
                delimited(6, &entries.iter().flat_map(|entry| delimited(1, &write_value(entry))).collect::<Vec<_>>())
            }
        }
    }

    pub(crate) fn write_metadata(namespaces: &[(&str, Value)]) -> Vec<u8> {
        namespaces
            .iter()
            .flat_map(|(name, value)| {
                let Value::Map(fields) = value else { panic!("a namespace is a map") };
                delimited(1, &[delimited(1, name.as_bytes()), delimited(2, &write_struct(fields))].concat())
            })
            .collect()
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-1e9..1e9f64).prop_map(Value::Number),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|fields| Value::Map(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_struct_that_a_library_writes_is_read_back(
            fields in prop::collection::btree_map(any::<String>(), any_value(), 1..6),
        ) {
            let fields: Vec<(String, Value)> = fields.into_iter().collect();
            prop_assert_eq!(read_struct(&write_struct(&fields)), Some(Value::Map(fields)));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = read_struct(&bytes);
            let _ = namespace(&bytes, "portcullis.x");
        }

        #[test]
        fn json_text_is_never_taken_for_a_struct(value in any_value()) {
            let text = format!("\n{}", to_json(&value));
            prop_assert_eq!(read_struct(text.as_bytes()), None);
        }
    }

    fn to_json(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.clone().into(),
            Value::List(entries) => entries.iter().map(to_json).collect(),
            Value::Map(fields) => {
                serde_json::Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
            }
        }
    }

    #[test]
    fn a_namespace_is_found_among_others_and_told_from_its_neighbours() {
        let ours = Value::Map(vec![("policy".into(), Value::Text("login".into()))]);
        let other = Value::Map(vec![("policy".into(), Value::Text("other".into()))]);
        let metadata =
            write_metadata(&[("envoy.lb", other.clone()), ("portcullis.x", ours.clone()), ("portcullis.xy", other)]);
        let found = namespace(&metadata, "portcullis.x").unwrap().unwrap();
        assert_eq!(read_namespace(found), Some(ours));
        assert_eq!(namespace(&metadata, "portcullis"), Ok(None));
        assert_eq!(namespace(&[], "portcullis.x"), Ok(None));
        assert_eq!(namespace(&[0xff], "portcullis.x"), Err(Malformed));
        assert_eq!(namespace(&metadata, "portcullis.X"), Ok(None));
        for missed in ["portcullis.a-b", "Portcullis.a_b"] {
            let metadata = write_metadata(&[(missed, Value::Map(vec![]))]);
            assert_eq!(namespace(&metadata, "portcullis.a_b"), Err(Malformed), "{missed}");
        }
        let typed = delimited(2, &delimited(1, b"portcullis.x"));
        assert_eq!(namespace(&typed, "portcullis.x"), Err(Malformed));
    }

    #[test]
    fn nesting_beyond_the_bound_is_refused_and_the_stack_holds() {
        let mut value = Value::Null;
        for _ in 0..DEEPEST {
            value = Value::List(vec![value]);
        }
        assert_eq!(read_struct(&write_struct(&[("deep".into(), value)])), None);
    }
}
