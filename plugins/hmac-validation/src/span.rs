//! A time in a configuration: `500ms`, `10s`, `5min`.

use portcullis_kit::config::{ConfigError, FromValue, Value};

const LONGEST: u64 = 3_600_000;

/// Milliseconds, one to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64);

impl FromValue for Span {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let text: String = value.typed()?;
        let units = [("ms", 1), ("min", 60_000), ("s", 1000), ("h", LONGEST)];
        let number = units.iter().find_map(|(unit, size)| {
            let digits = text.strip_suffix(unit)?.trim_ascii_end();
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*size)
        });
        match number {
            Some(millis) if (1..=LONGEST).contains(&millis) => Ok(Self(millis)),
            _ => Err(ConfigError::new(format!("`{text}` is no time up to an hour; write `500ms`, `10s` or `5min`"))),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ *(ms|s|min|h)$",
            "description": "`500ms`, `10s`, `5min`: up to an hour."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        let read = |text: &str| Span::from_value(&Value::Text(text.into())).ok().map(|Span(millis)| millis);
        assert_eq!(
            [read("500ms"), read("10 s"), read("5min"), read("1h")],
            [Some(500), Some(10_000), Some(300_000), Some(LONGEST)]
        );
        for wrong in ["", "10", "s", "0s", "-1s", "1.5s", "2h", "1d", "+1s", "99999999999999999999s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
