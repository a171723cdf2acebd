//! Header lines as a scenario writes them: a map where names are unlike, a list where they repeat.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::bytes::Bytes;

/// Header lines in order, duplicates kept. Written as a map (`{accept: text/html}`) or as a list of
/// maps of one line each (`[{set-cookie: a=1}, {set-cookie: b=2}]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderLines(pub Vec<(String, Bytes)>);

struct Lines;

impl<'de> Visitor<'de> for Lines {
    type Value = HeaderLines;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("header lines: a map, or a list of maps")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderLines, A::Error> {
        let mut lines = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Bytes>()? {
            lines.push((name.to_ascii_lowercase(), value));
        }
        Ok(HeaderLines(lines))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HeaderLines, A::Error> {
        let mut lines = Vec::new();
        while let Some(HeaderLines(line)) = list.next_element()? {
            lines.extend(line);
        }
        Ok(HeaderLines(lines))
    }
}

impl<'de> Deserialize<'de> for HeaderLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lines)
    }
}

impl JsonSchema for HeaderLines {
    fn schema_name() -> Cow<'static, str> {
        "HeaderLines".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<Bytes>();
        let line = json_schema!({ "type": "object", "additionalProperties": value });
        json_schema!({
            "description": "Header lines: a map of unlike names, or a list of maps of one line each where names repeat",
            "oneOf": [line, { "type": "array", "items": line }],
        })
    }
}
