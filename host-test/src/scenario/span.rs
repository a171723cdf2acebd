//! Spans of time as a scenario writes them: `250ms`, `1.5s`, `2m`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub u64);

/// The longest span, in seconds: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no span of time; write `250ms`, `1.5s` or `2m`")))
    }
}

fn read(text: &str) -> Option<Span> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let seconds = number.parse::<f64>().ok()? * unit;
    (0.0..=LONGEST).contains(&seconds).then_some(Span((seconds * 1e9).round() as u64))
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time: 250ms, 1.5s, 2m",
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_an_end() {
        assert_eq!(read("250ms"), Some(Span(250_000_000)));
        assert_eq!(read("1.5s"), Some(Span(1_500_000_000)));
        assert_eq!(read("2m"), Some(Span(120_000_000_000)));
        for wrong in ["5", "s", "-1s", "1e99h", "NaNs", "1 s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
