//! One reading of a path and a host, the same that an upstream has; or none.
//!
//! Percent-encoded bytes are decoded (RFC 3986 §6.2.2.2), the query is left out, a trailing slash
//! means nothing. What servers read in different ways is ambiguous: empty and dot segments, `\`,
//! `;`, encoded slashes, backslashes, percent signs and control characters, and what isn't
//! percent-encoding at all.

use crate::config::ConfigError;

/// Can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The decoded segments of a path: `/a/b%41/?q` → `a`, `bA`.
///
/// # Errors
/// The path is ambiguous, or doesn't begin with a slash.
pub fn segments(path: &[u8]) -> Result<Vec<Vec<u8>>, Ambiguous> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let path = path.get(..end).and_then(|path| path.strip_prefix(b"/")).ok_or(Ambiguous)?;
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let mut segments = Vec::with_capacity(4);
    for encoded in path.split(|byte| *byte == b'/') {
        segments.push(segment(encoded)?);
    }
    Ok(segments)
}

fn segment(encoded: &[u8]) -> Result<Vec<u8>, Ambiguous> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let byte = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low).ok_or(Ambiguous)?;
                if matches!(byte, b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f) {
                    return Err(Ambiguous);
                }
                byte
            }
            (b'%' | b'\\' | b';' | 0..=0x1f | 0x7f, _) => return Err(Ambiguous),
            (byte, _) => {
                rest = after;
                *byte
            }
        };
        decoded.push(byte);
    }
    match decoded.as_slice() {
        b"" | b"." | b".." => Err(Ambiguous),
        _ => Ok(decoded),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A host in lower case, without port and trailing dot.
///
/// # Errors
/// Empty, or with bytes that no host name or address has.
pub fn host(authority: &[u8]) -> Result<Vec<u8>, Ambiguous> {
    let name = match authority {
        [b'[', ..] => authority.iter().position(|byte| *byte == b']').and_then(|end| authority.get(..=end)),
        _ => authority.split(|byte| *byte == b':').next(),
    }
    .ok_or(Ambiguous)?;
    let port = authority.get(name.len()..).unwrap_or_default();
    let port_is_one = matches!(port, [] | [b':', ..]) && port.iter().skip(1).all(u8::is_ascii_digit);
    let name = name.strip_suffix(b".").unwrap_or(name);
    // No label is empty: no dot stands at the beginning, at the end, or behind another.
    let mut before = b'.';
    for byte in name {
        let fits = match byte {
            b'.' => before != b'.',
            byte => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'[' | b']' | b':'),
        };
        if !fits {
            return Err(Ambiguous);
        }
        before = *byte;
    }
    if before == b'.' || !port_is_one {
        return Err(Ambiguous);
    }
    Ok(name.to_ascii_lowercase())
}

/// A host as a configuration may want it.
pub fn wanted_host(text: &str) -> Result<String, ConfigError> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    match host(name.as_bytes()) {
        Ok(canonical) if canonical == name.to_ascii_lowercase().as_bytes() => Ok(text.to_ascii_lowercase()),
        _ => Err(ConfigError::new(format!("`{text}` is no host name without port, nor `*.` before one"))),
    }
}

/// Whether a host is `wanted`, or below it where that begins with `*.`. Both in canonical form.
pub fn host_matches(wanted: &str, host: &[u8]) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => host.strip_suffix(suffix.as_bytes()).is_some_and(|below| !below.is_empty()),
        None => wanted.as_bytes() == host,
    }
}

/// `/api/novel/:id`, `/files/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `None` for any one segment.
    segments: Vec<Option<Vec<u8>>>,
    /// Whether more segments may follow, none included.
    open: bool,
}

impl Template {
    /// # Errors
    /// No slash at the beginning, `*` anywhere but at the end, or an ambiguous path.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let (closed, open) = match text.strip_suffix("/*") {
            Some("") => ("/", true),
            Some(before) => (before, true),
            None => (text, false),
        };
        let wrong = |why: &str| ConfigError::new(format!("`{text}` {why}"));
        if text.contains(['?', '#', '%', '{']) {
            return Err(wrong("has a `?`, `#`, `%` or `{`; write the decoded path alone, and `:name` for one segment"));
        }
        let segments =
            segments(closed.as_bytes()).map_err(|Ambiguous| wrong("isn't a plain path that begins with `/`"))?;
        let mut template = Self { segments: Vec::new(), open };
        for segment in segments {
            let is_name = matches!(segment.as_slice(), [b':', _, ..]);
            if !is_name && segment.contains(&b'*') {
                return Err(wrong("has a `*` that isn't its whole last segment"));
            }
            template.segments.push((!is_name).then_some(segment));
        }
        Ok(template)
    }

    /// The segments that the template leaves open; `None` where the path doesn't match.
    pub fn open_segments(&self, path: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
        if !self.matches(path) {
            return None;
        }
        let mut open = Vec::new();
        for (place, segment) in path.iter().enumerate() {
            if self.segments.get(place).is_none_or(Option::is_none) {
                open.push(segment.clone());
            }
        }
        Some(open)
    }

    /// Writes bytes that no other template writes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.open.into());
        for segment in &self.segments {
            // A literal segment holds no slash.
            out.push(b'/');
            match segment {
                Some(literal) => out.extend(literal),
                None => out.push(b'/'),
            }
        }
    }

    pub fn matches(&self, path: &[Vec<u8>]) -> bool {
        let long_enough = if self.open { path.len() >= self.segments.len() } else { path.len() == self.segments.len() };
        long_enough
            && self
                .segments
                .iter()
                .zip(path)
                .all(|(wanted, found)| wanted.as_ref().is_none_or(|wanted| wanted == found))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(template: &str, path: &str) -> Option<bool> {
        segments(path.as_bytes()).ok().map(|path| Template::new(template).unwrap().matches(&path))
    }

    #[test]
    fn a_template_matches_segment_by_segment() {
        for (template, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/api/novel/:id", "/api/novel/7", true),
            ("/api/novel/:id", "/api/novel/7/", true),
            ("/api/novel/:id", "/api/novel/7?x=/a/../b", true),
            ("/api/novel/:id", "/api/nov%65l/7", true),
            ("/api/novel/:id", "/api/novel", false),
            ("/api/novel/:id", "/api/novel/7/8", false),
            ("/api/novel/:id", "/API/novel/7", false),
            ("/files/*", "/files", true),
            ("/files/*", "/files/a/b", true),
            ("/files/*", "/filesystem", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
        ] {
            assert_eq!(matches(template, path), Some(expected), "{template} {path}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_ambiguous() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a;x=1/b",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%252f",
            "/a/b//",
            "http://a/b",
            "/\u{7f}",
        ] {
            assert_eq!(segments(path.as_bytes()), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_trailing_dot() {
        for (authority, expected) in [
            ("Edge.Example", Some("edge.example")),
            ("edge.example:8443", Some("edge.example")),
            ("edge.example.", Some("edge.example")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
            (":80", None),
            ("user@edge.example", None),
            ("edge.example:80:80", None),
            ("edge.example..", None),
            (".edge.example", None),
            ("edge.example/x", None),
            ("edge.example:8a", None),
        ] {
            assert_eq!(host(authority.as_bytes()).ok(), expected.map(|host| host.as_bytes().to_vec()), "{authority}");
        }
    }

    #[test]
    fn a_star_stands_for_names_below_and_for_nothing_else() {
        assert!(host_matches("*.example", b"a.example") && host_matches("*.example", b"a.b.example"));
        assert!(!host_matches("*.example", b"example") && !host_matches("*.example", b"evilexample"));
        assert!(!host_matches("*.example", b".example"));
        assert!(
            wanted_host("*.*.example").is_err() && wanted_host("a.example:80").is_err() && wanted_host("").is_err()
        );
    }

    #[test]
    fn templates_that_could_surprise_are_refused() {
        for template in ["", "api", "/a*", "/*/b", "/a//b", "/a/../b", "/a?b*", "/%3aid", "/api/{id}"] {
            assert!(Template::new(template).is_err(), "{template}");
        }
    }

    proptest! {
        #[test]
        fn an_encoded_path_has_the_segments_of_the_plain_one(parts in prop::collection::vec("[a-z]{1,8}", 1..5)) {
            let plain: String = parts.iter().map(|part| format!("/{part}")).collect();
            let encoded: String =
                parts.iter().map(|part| format!("/{}", part.bytes().map(|b| format!("%{b:02X}")).collect::<String>())).collect();
            prop_assert_eq!(segments(plain.as_bytes()), segments(encoded.as_bytes()));
        }

        #[test]
        fn no_bytes_break_the_readers(bytes: Vec<u8>) {
            let _ = segments(&bytes);
            let _ = host(&bytes);
        }
    }
}
