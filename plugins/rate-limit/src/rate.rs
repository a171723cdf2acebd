//! How much in how long: `100/min`, `10/15min`, `500 per hour`, `0`.

use std::fmt;

use portcullis_kit::config::{ConfigError, FromValue, Value};

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// The longest time that a limit may look back, or take to be whole again.
pub const LONGEST: u64 = 7 * 86_400 * SECOND;

/// So many requests (or units of cost) in a time. 0 requests: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub requests: u32,
    /// Nanoseconds; a whole number of seconds.
    pub per: u64,
}

impl Rate {
    /// # Errors
    /// Text of another shape, or a time of zero or above a day.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let wrong = || {
            ConfigError::new(format!(
                "`{text}` is no rate; write `100/min`, `10/15min` or `500 per hour` (units: s, min, h, d), or `0` for never"
            ))
        };
        let text_of_rate = text.trim_ascii();
        if text_of_rate == "0" {
            return Ok(Self { requests: 0, per: SECOND });
        }
        let digits_end = text_of_rate.bytes().position(|byte| !byte.is_ascii_digit()).ok_or_else(wrong)?;
        let (requests, rest) = text_of_rate.split_at_checked(digits_end).ok_or_else(wrong)?;
        let per = rest.trim_ascii_start();
        let is_word = per.len() < rest.len();
        let per = per.strip_prefix('/').or_else(|| per.strip_prefix("per ").filter(|_| is_word)).ok_or_else(wrong)?;
        let requests = digits(requests).ok_or_else(wrong)?;
        let per = duration(per.trim_ascii_start()).ok_or_else(wrong)?;
        if !(SECOND..=86_400 * SECOND).contains(&per) {
            return Err(ConfigError::new(format!("`{text}` is per less than a second or more than a day")));
        }
        Ok(Self { requests, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}s", self.requests, self.per / SECOND)
    }
}

/// What a time is counted in, with its seconds.
const UNITS: [(&[&str], u64); 4] = [
    (&["s", "sec", "second", "seconds"], 1),
    (&["m", "min", "minute", "minutes"], 60),
    (&["h", "hour", "hours"], 3600),
    (&["d", "day", "days"], 86_400),
];

/// `15min`, `15 min`, `hour`, `2 hours`: a whole number of seconds, in nanoseconds.
pub fn duration(text: &str) -> Option<u64> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let number = if number.is_empty() { 1 } else { digits(number)? };
    let unit = unit.trim_ascii_start();
    let (_, seconds) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
    u64::from(number).checked_mul(seconds * SECOND)
}

fn digits(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl FromValue for Rate {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        Self::new(&value.typed::<String>()?)
    }
}

/// A time in a configuration: `15min`, `1h`, up to [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64);

impl FromValue for Span {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let text: String = value.typed()?;
        match duration(text.trim_ascii()) {
            Some(span) if (SECOND..=LONGEST).contains(&span) => Ok(Self(span)),
            _ => Err(ConfigError::new(format!(
                "`{text}` is no time from one second to seven days; write `30s`, `15min`, `1h` or `1d`"
            ))),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod schema {
    use super::{Rate, Span};

    macro_rules! text_with_pattern {
        ($type:ty, $name:literal, $pattern:literal, $description:literal) => {
            impl schemars::JsonSchema for $type {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    $name.into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!({ "type": ["string", "integer"], "pattern": $pattern, "description": $description })
                }
            }
        };
    }

    text_with_pattern!(
        Rate,
        "Rate",
        r"^(0|[0-9]+ *(/|per ) *[0-9]* *(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?))$",
        "`100/min`, `10/15min`, `500 per hour`; `0` for never. Per one second to one day."
    );
    text_with_pattern!(
        Span,
        "Span",
        r"^[0-9]* *(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)$",
        "`30s`, `15min`, `1h`, `1d`: one second to seven days."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, requests, seconds) in [
            ("100/min", 100, 60),
            ("10/15min", 10, 900),
            ("10 per 15 min", 10, 900),
            ("500 per minute", 500, 60),
            ("10/hour", 10, 3600),
            ("1/s", 1, 1),
            (" 3 / 2 days", 0, 0),
            ("5/day", 5, 86_400),
            ("0", 0, 1),
            ("0/min", 0, 60),
        ] {
            match Rate::new(text) {
                Ok(rate) => assert_eq!(rate, Rate { requests, per: seconds * SECOND }, "{text}"),
                Err(error) => assert!(seconds == 0, "{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in
            ["", "100", "/min", "100/", "-1/min", "1.5/s", "10/0s", "10/15", "ten/min", "99999999999/s", "1/fortnight"]
        {
            assert!(Rate::new(text).is_err(), "{text}");
        }
    }
}
