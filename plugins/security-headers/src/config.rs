//! A policy as it is written, and as it is once it can't be wrong.

use std::cmp::Ordering;

use portcullis_kit::{
    NoSettings, Policy,
    config::{ConfigError, Entries, Value},
    fields,
    head::{is_name, lower},
    mode::Mode,
    reason::Reason,
};

use crate::{decide, presets::Preset};

fields! {
    /// A policy of security headers, as it is written.
    #[derive(Clone, Debug, Default)]
    pub struct RawSecurityHeaders {
        /// `enforce` acts, `shadow` counts and records what it would do, `off` does nothing.
        pub mode: Mode = default,
        /// What to begin with. Default: nothing.
        pub preset: Option<Preset> = default,
        /// Response headers by name: exactly one line with this value leaves. `null` takes a header out of
        /// the preset and leaves it to the upstream.
        pub headers: Entries<Option<String>> = default,
        /// Names of response headers that never leave, beside those of the preset.
        pub remove: Vec<String> = default,
        /// Names that the preset removes and that may leave all the same.
        pub keep: Vec<String> = default,
    }
}

/// A policy of security headers. Names are in lower case, and none is both set and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeaders {
    pub mode: Mode,
    /// Name and value, in the order of `shorter_first`, each name once.
    pub set: Vec<(String, String)>,
    /// In the order of `shorter_first`, each name once.
    pub removed: Vec<String>,
}

/// Bytes of one value. Browsers and proxies cut or refuse far longer heads.
const LONGEST_VALUE: usize = 8192;

/// Headers that say how the message is framed, or that a response may hold many of.
const NOT_OURS: [(&str, &str); 14] = [
    ("connection", "belongs to the connection"),
    ("content-encoding", "says how the body is encoded"),
    ("content-length", "says how long the body is"),
    ("content-range", "says which part of the body this is"),
    ("grpc-message", "is the answer of a gRPC call"),
    ("grpc-status", "is the answer of a gRPC call"),
    ("host", "belongs to requests"),
    ("keep-alive", "belongs to the connection"),
    ("proxy-connection", "belongs to the connection"),
    ("set-cookie", "stands once for each cookie; one line for all would lose the others"),
    ("te", "belongs to the connection"),
    ("trailer", "announces the trailers"),
    ("transfer-encoding", "says how the body is framed"),
    ("upgrade", "belongs to the connection"),
];

impl Policy for SecurityHeaders {
    type Settings = NoSettings;

    const FILTER: &'static str = "security_headers";
    const REASONS: &'static [Reason] = &[decide::HEADERS_APPLIED];
    const OVERRIDABLE: &'static [&'static str] = &["mode", "preset", "headers", "remove", "keep"];

    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.typed::<RawSecurityHeaders>()?.try_into()
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}

impl TryFrom<RawSecurityHeaders> for SecurityHeaders {
    type Error = ConfigError;

    fn try_from(raw: RawSecurityHeaders) -> Result<Self, ConfigError> {
        let mut policy = Self { mode: raw.mode, set: Vec::new(), removed: Vec::new() };
        policy.read(&raw)?;
        Ok(policy)
    }
}

impl SecurityHeaders {
    fn read(&mut self, raw: &RawSecurityHeaders) -> Result<(), ConfigError> {
        if let Some(preset) = raw.preset {
            preset.set().iter().for_each(|(name, value)| self.set((*name).into(), value));
            preset.removed().iter().for_each(|name| self.remove((*name).into()));
        }
        for (index, name) in raw.keep.iter().enumerate() {
            let wrong = |error: ConfigError| error.at(index).under("keep");
            let lower = check_name(name).map_err(wrong)?;
            let known = self.removed.len();
            self.removed.retain(|removed| *removed != lower);
            if self.removed.len() == known {
                let why = format!("the preset doesn't remove `{name}`, so there is nothing to keep");
                return Err(wrong(ConfigError::new(why)));
            }
        }
        for (index, name) in raw.remove.iter().enumerate() {
            let lower = check_name(name).map_err(|error| error.at(index).under("remove"))?;
            self.set.retain(|(known, _)| *known != lower);
            self.remove(lower);
        }
        let mut names = Vec::new();
        for (name, value) in &raw.headers.0 {
            self.read_header(raw, &mut names, name, value.as_deref())
                .map_err(|error| error.under(name).under("headers"))?;
        }
        if self.set.is_empty() && self.removed.is_empty() && self.mode != Mode::Off {
            return Err(ConfigError::new("does nothing: give it a `preset`, `headers` or `remove`, or `mode: off`"));
        }
        Ok(())
    }

    /// Reads one of `headers`; `names` are those before it.
    fn read_header(
        &mut self,
        raw: &RawSecurityHeaders,
        names: &mut Vec<String>,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ConfigError> {
        let lower = check_name(name)?;
        if names.contains(&lower) {
            return Err(ConfigError::new("stands twice, in different case"));
        }
        if raw.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) {
            return Err(ConfigError::new("is both set and removed; take it out of one of the two"));
        }
        names.push(lower.clone());
        if let Some(value) = value {
            check_value(value)?;
            self.removed.retain(|known| *known != lower);
            self.set(lower, value);
            return Ok(());
        }
        let known = self.set.len();
        self.set.retain(|(set, _)| *set != lower);
        if self.set.len() == known {
            return Err(ConfigError::new("the preset doesn't set it, so `null` has nothing to take out"));
        }
        Ok(())
    }

    /// Sets a header in its place, where another value of it gives way.
    fn set(&mut self, name: String, value: &str) {
        match self.set.binary_search_by(|(known, _)| shorter_first(known.as_bytes(), name.as_bytes())) {
            Ok(place) => self.set.get_mut(place).into_iter().for_each(|(_, known)| *known = value.into()),
            Err(place) => self.set.insert(place, (name, value.into())),
        }
    }

    fn remove(&mut self, name: String) {
        let found = self.removed.binary_search_by(|known| shorter_first(known.as_bytes(), name.as_bytes()));
        if let Err(place) = found {
            self.removed.insert(place, name);
        }
    }
}

/// The order in which names are searched: most comparisons are decided by the length alone.
pub(crate) fn shorter_first(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The name in lower case (RFC 9110 §5.1: a token).
pub(crate) fn check_name(name: &str) -> Result<String, ConfigError> {
    if name.len() > 256 || !is_name(name) {
        return Err(ConfigError::new(format!("`{name}` is no header name (RFC 9110 section 5.1)")));
    }
    let lower = lower(name);
    match NOT_OURS.iter().find(|(not_ours, _)| *not_ours == lower) {
        Some((_, why)) => Err(ConfigError::new(format!("`{name}` isn't for this filter: it {why}"))),
        None => Ok(lower),
    }
}

/// One line of visible ASCII, spaces and tabs (RFC 9110 §5.5), with nothing to trim.
pub(crate) fn check_value(value: &str) -> Result<(), ConfigError> {
    let wrong = if value.is_empty() {
        "is empty; `null` leaves the header to the upstream, `remove` takes it away"
    } else if value.len() > LONGEST_VALUE {
        "is longer than 8192 bytes"
    } else if value.bytes().any(|byte| byte != b'\t' && !(b' '..=b'~').contains(&byte)) {
        "holds a line break, a control character or a character beyond ASCII"
    } else if value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']) {
        "begins or ends with a blank"
    } else {
        return Ok(());
    };
    Err(ConfigError::new(format!("the value {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<SecurityHeaders, String> {
        portcullis_kit::config::read(json.as_bytes())
            .and_then(|value| SecurityHeaders::from_value(&value))
            .map_err(|error| error.to_string())
    }

    fn value<'a>(policy: &'a SecurityHeaders, name: &str) -> Option<&'a str> {
        policy.set.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_preset_is_changed_header_by_header() {
        let policy = policy(
            r#"{"preset": "owasp", "headers": {"X-Frame-Options": "SAMEORIGIN", "Cache-Control": null, "Server": "edge"},
                "remove": ["Via", "X-DNS-Prefetch-Control"], "keep": ["X-B3-TraceId"]}"#,
        )
        .unwrap();
        assert_eq!(value(&policy, "x-frame-options"), Some("SAMEORIGIN"));
        assert_eq!(value(&policy, "cache-control"), None);
        assert_eq!(value(&policy, "server"), Some("edge"));
        assert_eq!(value(&policy, "x-dns-prefetch-control"), None);
        let removed = |name: &str| policy.removed.iter().any(|removed| removed == name);
        assert!(removed("via") && removed("x-powered-by") && removed("x-dns-prefetch-control"));
        assert!(!removed("server") && !removed("x-b3-traceid") && !removed("cache-control"));
    }

    #[test]
    fn helmet_and_owasp_are_what_their_makers_publish() {
        let helmet = policy(r#"{"preset": "helmet"}"#).unwrap();
        assert_eq!((helmet.set.len(), helmet.removed.as_slice()), (12, &["x-powered-by".to_owned()][..]));
        assert_eq!(value(&helmet, "strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
        let owasp = policy(r#"{"preset": "owasp"}"#).unwrap();
        assert_eq!(value(&owasp, "clear-site-data"), None);
        assert!(owasp.removed.len() > 80);
    }

    #[test]
    fn numbers_are_values_since_yaml_makes_numbers_of_them() {
        assert_eq!(value(&policy(r#"{"headers": {"X-XSS-Protection": 0}}"#).unwrap(), "x-xss-protection"), Some("0"));
    }

    #[test]
    fn nonsense_is_refused_with_its_place_and_the_remedy() {
        for (json, error) in [
            ("{}", "does nothing"),
            (r#"{"preset": "helmt"}"#, "preset: `helmt` is none of the choices; did you mean `helmet`?"),
            (r#"{"headers": {"X Frame": "a"}}"#, "headers.X Frame: `X Frame` is no header name"),
            (r#"{"headers": {":status": "200"}}"#, "is no header name"),
            (r#"{"headers": {"": "a"}}"#, "is no header name"),
            (r#"{"headers": {"A": "a\r\nSet-Cookie: b"}}"#, "headers.A: the value holds a line break"),
            (r#"{"headers": {"A": "ü"}}"#, "beyond ASCII"),
            (r#"{"headers": {"A": ""}}"#, "the value is empty"),
            (r#"{"headers": {"A": " a"}}"#, "begins or ends with a blank"),
            (r#"{"headers": {"A": "a", "a": "b"}}"#, "stands twice, in different case"),
            (r#"{"headers": {"A": "a"}, "remove": ["a"]}"#, "headers.A: is both set and removed"),
            (r#"{"headers": {"A": null}}"#, "nothing to take out"),
            (r#"{"headers": {"Content-Length": "0"}}"#, "isn't for this filter"),
            (r#"{"headers": {"Set-Cookie": "a=b"}}"#, "stands once for each cookie"),
            (r#"{"headers": {"X-DNS-Prefetch-Control": false}}"#, "put it in quotes"),
            (r#"{"remove": ["transfer-encoding"]}"#, "remove[0]: `transfer-encoding` isn't for this filter"),
            (r#"{"preset": "helmet", "keep": ["server"]}"#, "keep[0]: the preset doesn't remove `server`"),
            (r#"{"preset": "helmet", "hedaers": {}}"#, "hedaers: no such field; did you mean `headers`?"),
        ] {
            let found = policy(json).unwrap_err();
            assert!(found.contains(error), "{json}\n  gives    {found}\n  expected {error}");
        }
        let long = format!(r#"{{"headers": {{"A": "{}"}}}}"#, "x".repeat(8193));
        assert!(policy(&long).unwrap_err().contains("longer than 8192"));
    }
}
