//! The service as it is written, and as it is once it can't be wrong.

use portcullis_kit::config::ConfigError;
use serde::{Deserialize, Deserializer};

use super::Service;

/// A rate-limit service that speaks `envoy.service.ratelimit.v3`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawService {
    /// The proxy's cluster where it is; over HTTP/2.
    pub cluster: String,
    /// The namespace of its limits.
    pub domain: String,
    /// How long a request waits for it at most, 1ms to 10s.
    #[serde(default)]
    pub timeout: Timeout,
    /// What becomes of a request when the service can't be asked.
    #[serde(default)]
    pub on_error: OnError,
}

/// What becomes of a request when the service fails, answers too late or nonsense.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The limits of this gateway hold alone.
    #[default]
    Local,
    /// Answer 503.
    Deny,
    /// Let it pass, and count it in none of the limits that ask the service.
    Allow,
}

/// `50ms`, `1s`; in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub u32);

impl Default for Timeout {
    fn default() -> Self {
        Self(50)
    }
}

const LONGEST_TIMEOUT: u32 = 10_000;

impl Timeout {
    fn new(text: &str) -> Option<Self> {
        let (number, unit) = match text.trim().strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (text.trim().strip_suffix('s')?, 1000),
        };
        let number = number.trim_end();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let milliseconds = number.parse::<u32>().ok()?.checked_mul(unit)?;
        (1..=LONGEST_TIMEOUT).contains(&milliseconds).then_some(Self(milliseconds))
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no time from 1ms to 10s; write `50ms` or `1s`"))
        })
    }
}

#[cfg(not(target_family = "wasm"))]
impl schemars::JsonSchema for Timeout {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ *m?s$", "description": "`50ms`, `1s`: 1ms to 10s. Default: 50ms." })
    }
}

impl TryFrom<RawService> for Service {
    type Error = ConfigError;

    fn try_from(raw: RawService) -> Result<Self, ConfigError> {
        for (field, text) in [("cluster", &raw.cluster), ("domain", &raw.domain)] {
            if text.is_empty() || text.len() > 255 {
                return Err(ConfigError::new("has 1 to 255 bytes").under(field));
            }
        }
        let Timeout(timeout) = raw.timeout;
        Ok(Self { cluster: raw.cluster, domain: raw.domain, timeout, on_error: raw.on_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_has_a_unit_and_bounds() {
        for (text, milliseconds) in [("50ms", 50), ("1s", 1000), ("10 s", 10_000), (" 1ms ", 1)] {
            assert_eq!(Timeout::new(text), Some(Timeout(milliseconds)), "{text}");
        }
        for wrong in ["50", "0ms", "11s", "-1s", "+1s", "1.5s", "s", "ms", "", "99999999999s", "5000000s"] {
            assert_eq!(Timeout::new(wrong), None, "{wrong}");
        }
    }
}
