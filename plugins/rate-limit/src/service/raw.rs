//! The service as it is written, and as it is once it can't be wrong.

use portcullis_kit::{
    config::{ConfigError, FromValue, Value},
    fields, words,
};

use super::Service;

fields! {
    /// A rate-limit service that speaks `envoy.service.ratelimit.v3`.
    #[derive(Clone, Debug)]
    pub struct RawService {
        /// The proxy's cluster where it is; over HTTP/2.
        pub cluster: String,
        /// The namespace of its limits.
        pub domain: String,
        /// How long a request waits for it at most, 1ms to 10s.
        pub timeout: Timeout = default,
        /// What becomes of a request when the service can't be asked.
        pub on_error: OnError = default,
    }
}

words! {
    /// What becomes of a request when the service fails, answers too late or nonsense.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum OnError {
        /// The limits of this gateway hold alone.
        #[default]
        Local = "local",
        /// Answer 503.
        Deny = "deny",
        /// Let it pass, and count it in none of the limits that ask the service.
        Allow = "allow",
    }
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
        let (number, unit) = match text.trim_ascii().strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (text.trim_ascii().strip_suffix('s')?, 1000),
        };
        let number = number.trim_ascii_end();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let milliseconds = number.parse::<u32>().ok()?.checked_mul(unit)?;
        (1..=LONGEST_TIMEOUT).contains(&milliseconds).then_some(Self(milliseconds))
    }
}

impl FromValue for Timeout {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let text: String = value.typed()?;
        Self::new(&text)
            .ok_or_else(|| ConfigError::new(format!("`{text}` is no time from 1ms to 10s; write `50ms` or `1s`")))
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
