//! A header map as Envoy keeps it.
//!
//! 1. Pseudo-headers stand before all others; within each block the order is that of insertion.
//! 2. Names are in lower case, and a request's `host` is its `:authority`.
//! 3. A second line of an "inline" header is joined to the first by a comma; other names repeat.
//! 4. Replacing removes every line of the name and appends one at the end of its block.

use super::exchange::Side;

/// Header lines in order. Values are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    inline: Inline,
}

/// Which names a kind of map keeps in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inline {
    Request,
    Response,
    #[default]
    RequestTrailers,
    ResponseTrailers,
}

impl Headers {
    pub fn new(inline: Inline) -> Self {
        Self { lines: Vec::new(), inline }
    }

    pub fn trailers(side: Side) -> Self {
        Self::new(match side {
            Side::Request => Inline::RequestTrailers,
            Side::Response => Inline::ResponseTrailers,
        })
    }

    pub fn lines(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.lines
    }

    /// The first value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let name = self.normalised(name);
        self.lines.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_slice())
    }

    /// All values of a name, joined by commas, as CEL sees them.
    pub fn joined(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = self.normalised(name);
        let values: Vec<&[u8]> =
            self.lines.iter().filter(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_slice()).collect();
        (!values.is_empty()).then(|| values.join(&b','))
    }

    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = self.normalised(name);
        if self.inline.names().iter().any(|inline| inline.as_bytes() == name)
            && let Some((_, present)) = self.lines.iter_mut().find(|(candidate, _)| *candidate == name)
        {
            present.push(b',');
            present.extend_from_slice(value);
            return;
        }
        let at = if name.starts_with(b":") {
            self.lines.iter().position(|(name, _)| !name.starts_with(b":")).unwrap_or(self.lines.len())
        } else {
            self.lines.len()
        };
        self.lines.insert(at, (name, value.to_vec()));
    }

    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Gives a name one value, where it stands or at the end of its block.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let name = self.normalised(name);
        match self.lines.iter_mut().find(|(candidate, _)| *candidate == name) {
            Some((_, present)) => *present = value.to_vec(),
            None => self.add(&name, value),
        }
    }

    pub fn remove(&mut self, name: &[u8]) {
        let name = self.normalised(name);
        self.lines.retain(|(candidate, _)| *candidate != name);
    }

    /// Removes every line, then adds these.
    pub fn set_all(&mut self, lines: Vec<(Vec<u8>, Vec<u8>)>) {
        self.lines.clear();
        for (name, value) in lines {
            self.add(&name, &value);
        }
    }

    fn normalised(&self, name: &[u8]) -> Vec<u8> {
        let name = name.to_ascii_lowercase();
        if name == b"host" && self.inline == Inline::Request { b":authority".to_vec() } else { name }
    }

    /// The bytes of all names and values; what Envoy calls the size of a map.
    pub fn size(&self) -> usize {
        self.lines.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl Inline {
    /// What Envoy 1.40 prints at start-up under "HTTP header map info".
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Request => REQUEST,
            Self::Response => RESPONSE,
            Self::RequestTrailers => &[],
            Self::ResponseTrailers => &["grpc-message", "grpc-status"],
        }
    }
}

#[rustfmt::skip]
const REQUEST: &[&str] = &[
    ":authority", ":method", ":path", ":protocol", ":scheme", "accept", "accept-encoding",
    "access-control-request-headers", "access-control-request-method", "access-control-request-private-network",
    "authentication", "authorization", "cache-control", "cdn-loop", "connection", "content-encoding", "content-length",
    "content-type", "expect", "grpc-accept-encoding", "grpc-timeout", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "keep-alive", "origin", "pragma", "proxy-connection", "proxy-status", "referer",
    "te", "transfer-encoding", "upgrade", "user-agent", "via", "x-client-trace-id", "x-envoy-attempt-count",
    "x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address", "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout", "x-envoy-internal", "x-envoy-ip-tags", "x-envoy-is-timeout-retry",
    "x-envoy-max-retries", "x-envoy-original-host", "x-envoy-original-path", "x-envoy-original-url",
    "x-envoy-retriable-header-names", "x-envoy-retriable-status-codes", "x-envoy-retry-grpc-on", "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms", "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-port", "x-forwarded-proto", "x-request-id",
];

#[rustfmt::skip]
const RESPONSE: &[&str] = &[
    ":status", "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
    "access-control-allow-origin", "access-control-allow-private-network", "access-control-expose-headers",
    "access-control-max-age", "age", "cache-control", "connection", "content-encoding", "content-length",
    "content-type", "date", "etag", "expires", "grpc-message", "grpc-status", "keep-alive", "last-modified", "location",
    "proxy-connection", "proxy-status", "server", "transfer-encoding", "upgrade", "vary", "via",
    "x-envoy-attempt-count", "x-envoy-decorator-operation", "x-envoy-degraded", "x-envoy-immediate-health-check-fail",
    "x-envoy-ratelimited", "x-envoy-upstream-canary", "x-envoy-upstream-healthchecked-cluster",
    "x-envoy-upstream-service-time", "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &Headers) -> Vec<String> {
        headers.lines().iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    fn request(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new(Inline::Request);
        lines.iter().for_each(|(name, value)| headers.add(name.as_bytes(), value.as_bytes()));
        headers
    }

    #[test]
    fn pseudo_headers_stand_first_and_a_replaced_one_moves_to_the_end_of_its_block() {
        let mut headers = request(&[("a", "1"), (":method", "GET"), (":path", "/")]);
        headers.replace(b":method", b"POST");
        headers.replace(b"A", b"2");
        assert_eq!(names(&headers), [":path", ":method", "a"]);
    }

    #[test]
    fn an_inline_header_is_joined_and_another_repeats() {
        let mut headers = request(&[(":path", "/a"), ("x-a", "1"), ("x-a", "2")]);
        headers.add(b":path", b"/b");
        assert_eq!(headers.get(b":path"), Some(b"/a,/b".as_slice()));
        assert_eq!(headers.get(b"X-A"), Some(b"1".as_slice()), "the first only");
        assert_eq!(headers.joined(b"x-a"), Some(b"1,2".to_vec()));
    }

    #[test]
    fn host_is_the_authority() {
        let headers = request(&[("host", "edge.example")]);
        assert_eq!(headers.get(b":authority"), Some(b"edge.example".as_slice()));
        assert_eq!(headers.get(b"Host"), headers.get(b":authority"));
    }

    #[test]
    fn replacing_and_removing_take_every_line_of_a_name() {
        let mut headers = request(&[("x-a", "1"), ("b", "2"), ("x-a", "3")]);
        headers.replace(b"x-a", b"4");
        assert_eq!(names(&headers), ["b", "x-a"]);
        headers.remove(b"x-a");
        headers.remove(b"absent");
        assert_eq!(headers.size(), 2);
    }
}
