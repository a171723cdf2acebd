//! What Envoy makes of a head that filters have changed.
//!
//! 1. Without `:path`, or with no or an empty `x-forwarded-proto`, no route is found. `:scheme` and `:authority` may be missing.
//! 2. Behind the route, a request without `:method`, or with the method `CONNECT` and no `:protocol`, or with a name or a value that HTTP has no place for,
//!    is answered with 503. So is, over HTTP/2, an empty name, a pseudo-header that isn't HTTP's, a method that is no token,
//!    a path or an authority beyond ASCII.
//! 3. Over HTTP/2 the upstream resets a request with a line that belongs to a connection, or with a path or an authority that
//!    isn't one, and Envoy answers with 502. It hears of that, and of what it can't write over HTTP/2, a moment later.
//! 4. A request over HTTP/1 that asks for an upgrade ends with the head of its answer, unless that is an error.
//! 5. A response goes on with any `:status` that reads as a number, however it is written.

use super::{headers::Headers, reply::Reply};

/// Whether a route is found for a request.
pub fn has_route(headers: &Headers) -> bool {
    headers.get(b":path").is_some() && headers.get(b"x-forwarded-proto").is_some_and(|proto| !proto.is_empty())
}

/// Why a request goes no further than the router, as the answer to it.
pub fn refusal(headers: &Headers) -> Option<Reply> {
    if !has_route(headers) {
        return Some(Reply::plain(404, "", "route_not_found"));
    }
    if headers.get(b":method").is_none() {
        return Some(invalid(b"missing required header: :method"));
    }
    if headers.get(b":method") == Some(b"CONNECT") && headers.get(b":protocol").is_none() {
        return Some(invalid(b"missing required header: :protocol"));
    }
    for (name, value) in headers.lines() {
        if !name_is_valid(name) {
            return Some(invalid(&[b"invalid header name: ", name.as_slice()].concat()));
        }
        if !value_is_valid(value) {
            return Some(invalid(&[b"invalid header value for: ", name.as_slice()].concat()));
        }
    }
    None
}

/// How the stream to an upstream of HTTP/2 ends that gets a request with this head, as Envoy's answer. It hears of it behind
/// what came with the head.
pub fn reset_over_http2(headers: &Headers) -> Option<Reply> {
    let mut lines = headers.lines().iter();
    let foreign =
        lines.any(|(name, _)| name.is_empty() || name.starts_with(b":") && !PSEUDO.contains(&name.as_slice()));
    let method = headers.get(b":method").unwrap_or_default();
    let sound = !method.is_empty() && !method.starts_with(b":") && name_is_valid(method);
    let of_text = |name: &[u8]| headers.get(name).is_none_or(<[u8]>::is_ascii);
    if foreign || !sound || !of_text(b":path") || !of_text(b":authority") {
        return Some(reset(503, "remote refused stream reset"));
    }
    is_refused_by_peer(headers).then(|| reset(502, "protocol error"))
}

/// Whether a request over HTTP/1 asks its peer to speak something else behind the answer.
pub fn is_upgrade(headers: &Headers) -> bool {
    let mut names = headers.get(b"connection").unwrap_or_default().split(|byte| *byte == b',');
    headers.get(b"upgrade").is_some() && names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the receiver of a request over HTTP/1 waits for what never comes: the body of an upgrade that is announced, or
/// chunks, where a filter's own `transfer-encoding` makes none of a body with a length, or of no body.
pub fn is_misframed(headers: &Headers, bodiless: bool) -> bool {
    let encoding = headers.get(b"transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let announced = headers.get(b"content-length").is_some();
    is_upgrade(headers) && !bodiless && announced || encoding.ends_with(b"chunked") && (bodiless || announced)
}

/// Whether Envoy takes an answer to such a request for the change, so that no body belongs to it.
pub fn is_changed(request: &Headers, status: u64) -> bool {
    is_upgrade(request)
        && status < 400
        && !request.get(b"upgrade").is_some_and(|wanted| wanted.eq_ignore_ascii_case(b"h2c"))
}

/// Whether a peer of HTTP/2 resets a request with this head, which Envoy writes.
fn is_refused_by_peer(headers: &Headers) -> bool {
    let of_a_connection =
        |name: &[u8], value: &[u8]| OF_A_CONNECTION.contains(&name) || name == b"te" && value != b"trailers";
    let path = headers.get(b":path").unwrap_or_default();
    let begins = matches!(path.first(), Some(b'/' | b'*' | b'?' | b'#'));
    let host = headers.get(b":authority");
    headers.lines().iter().any(|(name, value)| of_a_connection(name, value))
        || headers.get(b":protocol").is_some() && headers.get(b":method") != Some(b"CONNECT")
        || !begins
        || path.iter().any(|byte| b" \t<>`".contains(byte))
        || host.is_some_and(|host| !is_authority(host))
}

/// RFC 3986 §3.2, a name or an address in brackets with what may stand around it.
fn is_authority(host: &[u8]) -> bool {
    let address = host.first() == Some(&b'[') && host.contains(&b']');
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"!$&'()*+,-.:;=@_~".contains(byte) || address && b"[]".contains(byte)
    };
    !host.is_empty() && host.iter().all(allowed)
}

/// Lines that no message over HTTP/2 holds (RFC 9113 §8.2.2).
const OF_A_CONNECTION: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

fn reset(status: u32, reason: &str) -> Reply {
    reset_in(status, reason, 1)
}

/// What Envoy answers when the upstream broke off before it answered, in an attempt counted from 1.
pub fn reset_in(status: u32, reason: &str, attempt: u32) -> Reply {
    let retried = if attempt > 1 { "retried and the latest " } else { "" };
    let body = format!("upstream connect error or disconnect/reset before headers. {retried}reset reason: {reason}");
    let details = format!("upstream_reset_before_response_started{{{}}}", reason.replace(' ', "_"));
    Reply::plain(status, &body, &details)
}

/// RFC 9113 §8.3.1, RFC 8441 §4.
const PSEUDO: [&[u8]; 5] = [b":method", b":scheme", b":authority", b":path", b":protocol"];

fn invalid(why: &[u8]) -> Reply {
    let details = format!("filter_removed_required_request_headers{{{}}}", String::from_utf8_lossy(why));
    Reply { body: why.to_vec(), ..Reply::plain(503, "", &details) }
}

/// Whether a refusal is because Envoy's codec can't write the request.
pub fn is_unwritable(refusal: &Reply) -> bool {
    refusal.details.starts_with("filter_removed_required_request_headers")
}

/// A token of RFC 9110 §5.6.2, or a pseudo-header's.
pub fn name_is_valid(name: &[u8]) -> bool {
    let token = name.strip_prefix(b":").unwrap_or(name);
    token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// RFC 9110 §5.5: no control characters but the tab; bytes above 0x7F pass.
pub fn value_is_valid(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// The status that the client reads; `None` where there is none to send.
pub fn status(headers: &Headers) -> Option<u64> {
    let status = std::str::from_utf8(headers.get(b":status")?).ok()?.trim_ascii();
    status.parse().ok()
}

/// Envoy's `ResponseFlag`s that tell why a request went no further, as bits.
pub fn flags(details: &str) -> u64 {
    match details {
        "route_not_found" => 1 << 8,
        "low_version" | "http.invalid_authority" => 1 << 18,
        details if details.starts_with("http1.") => 1 << 18,
        details if details.starts_with("filter_removed_required_request_headers") => 1 << 18,
        "upstream_reset_before_response_started{protocol_error}" => 1 << 23,
        details if details.starts_with("upstream_reset_before_response_started") => 1 << 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::headers::Inline;

    fn request(change: impl FnOnce(&mut Headers)) -> Option<String> {
        let mut headers = Headers::new(Inline::Request);
        for (name, value) in [(":method", "GET"), (":path", "/"), ("x-forwarded-proto", "http"), ("x-a", "\t\u{ff}")] {
            headers.add(name.as_bytes(), value.as_bytes());
        }
        change(&mut headers);
        refusal(&headers).map(|reply| format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)))
    }

    #[test]
    fn a_request_needs_what_its_route_and_its_method_are_found_by() {
        assert_eq!(request(|_| {}), None);
        assert_eq!(request(|headers| headers.remove(b":path")).unwrap(), "404 ");
        assert_eq!(request(|headers| headers.remove(b"x-forwarded-proto")).unwrap(), "404 ");
        assert_eq!(request(|headers| headers.remove(b":method")).unwrap(), "503 missing required header: :method");
        let connect = request(|headers| headers.replace(b":method", b"CONNECT"));
        assert_eq!(connect.unwrap(), "503 missing required header: :protocol");
    }

    #[test]
    fn names_and_values_are_http() {
        let add = |name: &'static [u8], value: &'static [u8]| request(|headers| headers.add(name, value));
        assert_eq!(add(b"bad name", b"v").unwrap(), "503 invalid header name: bad name");
        assert_eq!(add(b"x-line", b"a\nb").unwrap(), "503 invalid header value for: x-line");
        assert_eq!(add(b"x!#$%&'*+-.^_`|~y", b"\xff"), None);
        assert_eq!(add(b":custom", b"v"), None);
    }

    #[test]
    fn over_http2_the_upstream_refuses_what_http2_has_no_place_for() {
        let refused = |name: &str, value: &str| {
            let mut headers = Headers::new(Inline::Request);
            for (name, value) in [(":method", "GET"), (":path", "/"), ("x-forwarded-proto", "http"), ("te", "trailers")]
            {
                headers.add(name.as_bytes(), value.as_bytes());
            }
            assert!(reset_over_http2(&headers).is_none());
            headers.replace(name.as_bytes(), value.as_bytes());
            assert!(refusal(&headers).is_none());
            reset_over_http2(&headers).map(|reply| reply.status)
        };
        for (name, value) in [(":custom", "v"), ("", "v"), (":method", "A B")] {
            assert_eq!(refused(name, value), Some(503), "{name}");
        }
        for (name, value) in
            [("te", "gzip"), ("connection", "x"), (":path", "/a b"), (":path", "abc"), (":authority", "a/b")]
        {
            assert_eq!(refused(name, value), Some(502), "{name}");
        }
        assert_eq!(refused(":authority", "[::1]:80"), None);
    }

    #[test]
    fn a_status_is_a_number_however_it_is_written() {
        for (written, read) in [("201", Some(201)), (" 200", Some(200)), ("+200", Some(200)), ("abc", None)] {
            let mut headers = Headers::new(Inline::Response);
            headers.add(b":status", written.as_bytes());
            assert_eq!(status(&headers), read, "{written}");
        }
    }
}
