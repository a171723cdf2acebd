//! From the bytes that Envoy hands over to types, in three steps: bytes → [`Value`] (JSON text or a
//! serialised `google.protobuf.Struct`), value → raw types ([`FromValue`], unknown fields refused, the path
//! kept), raw → configuration that cannot be wrong (`TryFrom`, in each filter).
//!
//! serde's derive isn't used: each struct would bring a visitor for the names of its fields, one for the fields, and
//! one for each option among them, and each of these the code that drops what was read when an error comes. The rate
//! limiter's module was 318 KB with it and 230 KB without, that of the security headers 148 and 107. With
//! [`fields!`](crate::fields) a struct adds a table and a few stores, and one function reads them all.

mod entries;
mod error;
mod fields;
mod json;
mod nearest;
mod numbers;
pub(crate) mod protobuf;
mod typed;
mod value;
mod words;

pub use self::{entries::Entries, error::ConfigError, nearest::meant, typed::FromValue, value::Value};
#[doc(hidden)]
pub use self::{
    fields::{Known, Slot, plain, read_fields},
    words::{no_word, read_word},
};

/// Reads a configuration. Bytes that are a whole serialised `Struct` are one; anything else is JSON.
/// The two can't be confused: every entry of a `Struct` holds the byte 0x12, which JSON forbids.
/// No bytes at all are an empty configuration.
///
/// # Errors
/// Neither form, or a key that stands twice in one object.
pub fn read(bytes: &[u8]) -> Result<Value, ConfigError> {
    match protobuf::read_struct(bytes) {
        Some(value) => Ok(value),
        None => json::read(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fields, words};

    fields! {
        #[derive(Debug, PartialEq)]
        struct Limits {
            name: String,
            requests: u32 = default,
            ratio: f64 = default,
            kind: Option<Kind> = default,
            inner: Vec<Limits> = default,
        }
    }

    words! {
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Kind {
            On = "on",
            Off = "off",
        }
    }

    fn limits(json: &str) -> Result<Limits, String> {
        read(json.as_bytes()).and_then(|value| value.typed()).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_may_be_text_since_envoy_makes_text_of_fractions() {
        let limits = limits(r#"{"name": "a", "requests": "12", "ratio": "1.5"}"#).unwrap();
        assert_eq!((limits.requests, limits.ratio), (12, 1.5));
    }

    #[test]
    fn text_may_be_a_number_since_yaml_makes_numbers_of_digits() {
        assert_eq!(limits(r#"{"name": 0}"#).unwrap().name, "0");
    }

    #[test]
    fn on_and_off_may_be_booleans_since_yaml_makes_booleans_of_them() {
        assert_eq!(limits(r#"{"name": "a", "kind": false}"#).unwrap().kind, Some(Kind::Off));
        assert_eq!(limits(r#"{"name": "a", "kind": true}"#).unwrap().kind, Some(Kind::On));
    }

    #[test]
    fn a_boolean_where_text_belongs_is_refused_with_the_remedy() {
        assert_eq!(
            limits(r#"{"name": false}"#).unwrap_err(),
            "name: expected text, found the boolean false; YAML reads off, no and n so: put it in quotes"
        );
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_path_and_the_nearest_name() {
        assert_eq!(
            limits(r#"{"name": "a", "inner": [{"name": "b"}, {"name": "c", "request": 1}]}"#).unwrap_err(),
            "inner[1].request: no such field; did you mean `requests`? (fields here: name, requests, ratio, kind, inner)"
        );
    }

    #[test]
    fn an_unknown_variant_is_refused_with_the_choices() {
        assert_eq!(
            limits(r#"{"name": "a", "kind": "oof"}"#).unwrap_err(),
            "kind: `oof` is none of the choices; did you mean `off`? (choices: on, off)"
        );
    }

    #[test]
    fn a_missing_field_a_wrong_type_and_a_value_out_of_range_name_their_path() {
        assert_eq!(limits("{}").unwrap_err(), "the field `name` is missing");
        assert_eq!(limits(r#"{"name": []}"#).unwrap_err(), "name: expected text, found a list");
        assert_eq!(limits(r#"{"name": "a", "requests": -1}"#).unwrap_err(), "requests: expected u32, found -1");
        assert_eq!(
            limits(r#"{"name": "a", "requests": 1.5}"#).unwrap_err(),
            "requests: expected a whole number, found a fraction"
        );
    }

    #[test]
    fn a_repeated_key_is_refused_whatever_its_value() {
        assert!(limits(r#"{"name": "a", "name": "a"}"#).unwrap_err().contains("`name` stands twice"));
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_its_place() {
        assert!(limits("{\"name\": \"a\",\n oops}").unwrap_err().contains("line 2"));
        assert_eq!(limits("[]").unwrap_err(), "expected an object, found a list");
    }
}
