//! What travels: a scenario's messages → header maps as Envoy hands them to the first filter, and
//! what passed the last filter → a message as the other side receives it.
//!
//! The listener is the one that scenarios get in Envoy: `server_header_transformation: PASS_THROUGH`,
//! `generate_request_id: false`, `suppress_envoy_headers`, `skip_xff_append`.

use super::{
    date,
    headers::{Headers, Inline},
};
use crate::{
    outcome::Message,
    scenario::{Body, HeaderLines, Reply as Later, Request, Response},
};

/// The head of a request behind Envoy's codec and connection manager.
pub fn request(request: &Request, http2: bool) -> Headers {
    let mut headers = Headers::new(Inline::Request);
    let (method, authority, path) = (&*request.method, &*request.authority, &*request.path);
    let pseudo = if http2 {
        [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
    } else {
        [(":authority", authority), (":path", path), (":method", method), (":scheme", "http")]
    };
    // Over HTTP/2 `host` may stand for it.
    let stands = |name: &str, value: &str| !http2 || name != ":authority" || !value.is_empty();
    for (name, value) in pseudo.into_iter().filter(|(name, value)| stands(name, value)) {
        headers.add(name.as_bytes(), value.as_bytes());
    }
    // Over HTTP/2 a cookie may come in crumbs, which the codec joins behind all lines (RFC 9113 §8.2.3).
    let crumb = |name: &str| http2 && name == "cookie";
    for (name, value) in request.headers.0.iter().filter(|(name, _)| !crumb(name)) {
        headers.add(name.as_bytes(), &value.0);
    }
    frame(&mut headers, request.body.as_ref(), request.more || !http2 && !request.trailers.0.is_empty(), http2);
    let crumbs: Vec<&[u8]> =
        request.headers.0.iter().filter(|(name, _)| crumb(name)).map(|(_, value)| value.0.as_slice()).collect();
    if !crumbs.is_empty() {
        headers.add(b"cookie", &crumbs.join(b"; ".as_slice()));
    }
    sanitise(&mut headers);
    let claimed = headers.get(b"x-forwarded-proto").filter(|claimed| claimed.eq_ignore_ascii_case(b"https"));
    if !http2 && claimed.is_some() {
        // HTTP/1 tells no scheme of its own.
        headers.set(b":scheme", b"https");
    }
    if headers.get(b"x-forwarded-proto").is_none() {
        headers.add(b"x-forwarded-proto", b"http");
    }
    headers
}

/// Whether its client waits for the word that it may go on.
pub fn waits_to_go_on(request: &Request) -> bool {
    let expects = |(name, value): &(String, crate::scenario::Bytes)| {
        name.eq_ignore_ascii_case("expect") && value.0.eq_ignore_ascii_case(b"100-continue")
    };
    request.headers.0.iter().any(expects)
}

/// What the connection manager takes from a response on its way to the client.
pub fn sanitise_response(headers: &mut Headers, http2: bool) {
    for name in ["connection", "upgrade", "proxy-connection", "transfer-encoding"] {
        headers.remove(name.as_bytes());
    }
    if http2 {
        headers.remove(b"keep-alive");
    }
}

/// What the connection manager writes into a response that leaves: the access log has it, and the client.
/// `early`: the request hasn't ended, so that its connection is of no more use.
pub fn dated(headers: &mut Headers, now: u64, early: bool) {
    if headers.get(b"date").is_none() {
        headers.add(b"date", date::written(now).as_bytes());
    }
    if early {
        headers.add(b"connection", b"close");
    }
}

/// What Envoy takes from every request (`ConnectionManagerUtility::mutateRequestHeaders`).
fn sanitise(headers: &mut Headers) {
    let token = |name: &[u8], wanted: &[u8]| {
        let mut tokens = headers.get(name).unwrap_or_default().split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    let upgrade = token(b"connection", b"upgrade") && headers.get(b"upgrade").is_some();
    let te_trailers = token(b"te", b"trailers");
    if !upgrade {
        headers.remove(b"connection");
        headers.remove(b"upgrade");
        if !te_trailers {
            headers.remove(b"te");
        }
    }
    // Envoy tells the client to go on itself.
    if headers.get(b"expect").is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue")) {
        headers.remove(b"expect");
    }
    for name in ["keep-alive", "proxy-connection", "transfer-encoding", "x-forwarded-client-cert"] {
        headers.remove(name.as_bytes());
    }
    for name in OF_ENVOY {
        headers.remove(format!("x-envoy-{name}").as_bytes());
    }
}

/// What no client may tell Envoy's router; each begins with `x-envoy-`.
#[rustfmt::skip]
const OF_ENVOY: [&str; 15] = [
    "expected-rq-timeout-ms", "force-trace", "hedge-on-per-try-timeout", "internal", "ip-tags", "max-retries",
    "original-url", "retriable-header-names", "retriable-status-codes", "retry-grpc-on", "retry-on",
    "upstream-alt-stat-name", "upstream-rq-per-try-timeout-ms", "upstream-rq-timeout-alt-response",
    "upstream-rq-timeout-ms",
];

/// The head of the upstream's response; `to_head` to a request of the method `HEAD`.
pub fn response(response: &Response, http2: bool, to_head: bool) -> Headers {
    let mut headers = Headers::new(Inline::Response);
    headers.add(b":status", response.status.to_string().as_bytes());
    add(&mut headers, &response.headers);
    if response.status != 204 {
        frame(&mut headers, response.body.as_ref(), response.more || !http2 && !response.trailers.0.is_empty(), http2);
    }
    // An upstream ends a response without a body by its length.
    let bodiless = to_head || matches!(response.status, 204 | 304);
    let empty = response.body.is_none() && !response.more;
    if !http2 && !bodiless && empty && headers.get(b"content-length").is_none() {
        headers.add(b"content-length", b"0");
    }
    headers
}

/// The lines of a later filter's reply.
pub fn later(reply: &Later) -> super::reply::Reply {
    super::reply::Reply {
        status: reply.status.into(),
        headers: lines(&reply.headers),
        body: reply.body.0.clone(),
        details: "lua_response".into(),
        grpc_status: -1,
    }
}

pub fn lines(lines: &HeaderLines) -> super::pairs::Pairs {
    lines.0.iter().map(|(name, value)| (name.clone().into_bytes(), value.0.clone())).collect()
}

fn add(headers: &mut Headers, lines: &HeaderLines) {
    for (name, value) in &lines.0 {
        headers.add(name.as_bytes(), &value.0);
    }
}

/// Takes a length of nothing away that nobody wrote.
pub fn unframed(message: &mut Message, written: &[&HeaderLines]) {
    let wrote = written.iter().any(|lines| lines.0.iter().any(|(name, _)| name == "content-length"));
    if !wrote && message.body.is_empty() {
        message.headers.retain(|(name, value)| name != "content-length" || value != b"0");
    }
}

/// What a client or an upstream says of the length of its body, unless the scenario says it;
/// of one that isn't known to its end nothing can be said, nor over HTTP/1 of one that trailers follow (`more`).
fn frame(headers: &mut Headers, body: Option<&Body>, more: bool, http2: bool) {
    let said = headers.get(b"content-length").is_some() || headers.get(b"transfer-encoding").is_some();
    match body {
        _ if said => {}
        Some(Body::Whole(whole)) if !more => headers.add(b"content-length", whole.0.len().to_string().as_bytes()),
        Some(_) if !http2 => headers.add(b"transfer-encoding", b"chunked"),
        None if more && !http2 => headers.add(b"transfer-encoding", b"chunked"),
        _ => {}
    }
}

/// Lines that belong to one connection (RFC 9110 §7.6.1); they say nothing about a filter.
const OF_THE_CONNECTION: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding"];

/// `method path` or the status, and the lines that a filter or the other side wrote.
pub fn head(headers: &Headers) -> Message {
    let text = |name: &[u8]| String::from_utf8_lossy(headers.get(name).unwrap_or_default()).into_owned();
    let start = match headers.get(b":status") {
        Some(_) => text(b":status"),
        None => format!("{} {}", text(b":method"), text(b":path")),
    };
    let lines = headers.lines().iter().filter(|(name, _)| !name.starts_with(b":"));
    let mut headers: Vec<_> =
        lines.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone())).collect();
    headers.retain(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    Message { start, headers, ..Message::default() }
}

/// What the upstream receives, without what the connection manager added to the client's request.
pub fn without_added(mut message: Message, request: &Request) -> Message {
    if !request.headers.0.iter().any(|(name, _)| name == "x-forwarded-proto") {
        message.headers.retain(|(name, value)| name != "x-forwarded-proto" || value != b"http");
    }
    message
}

pub fn trailers(trailers: &Headers) -> Vec<(String, Vec<u8>)> {
    let lines = trailers.lines().iter();
    lines.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone())).collect()
}

/// What a message tells of its body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Untold,
    Bytes(usize),
    /// It is no number, or there are two: no peer takes such a message.
    Wrong,
}

/// The same lines over HTTP/2 are read to the letter, where an empty one is zero; over HTTP/1 without blanks around.
pub fn length(lines: &[(String, Vec<u8>)], http2: bool) -> Length {
    let mut values = lines.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| match http2 {
        true if value.is_empty() => b"0".as_slice(),
        true => value,
        false => without_blanks(value),
    });
    let Some(first) = values.next() else { return Length::Untold };
    let number = |value: &[u8]| {
        let digits = value.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
    };
    match number(first) {
        Some(length) if values.all(|other| number(other) == Some(length)) => Length::Bytes(length),
        _ => Length::Wrong,
    }
}

/// RFC 9110 §5.5: blanks around a value aren't part of it.
pub fn without_blanks(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| b" \t".contains(byte);
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    value.get(from..to).unwrap_or_default()
}

/// The length of the body that a message tells.
pub fn announced(lines: &[(String, Vec<u8>)], http2: bool) -> Option<usize> {
    match length(lines, http2) {
        Length::Bytes(length) => Some(length),
        Length::Untold | Length::Wrong => None,
    }
}

/// Makes of a message over HTTP/1 what the other side reads when the body isn't as long as `content-length`
/// says, which Envoy never corrects: it reads so many bytes, or waits for more. No trailers follow a length.
pub fn framed(mut message: Message, http2: bool) -> Message {
    message.complete = is_whole(&message, http2);
    if let Some(announced) = announced(&message.headers, http2).filter(|_| !http2) {
        message.body.truncate(announced);
        message.trailers.clear();
    }
    message
}

/// Whether a message has come to its end, as its receiver sees it: over HTTP/1 a length tells where that is.
pub fn is_whole(message: &Message, http2: bool) -> bool {
    let announced = announced(&message.headers, http2).filter(|_| !http2);
    announced.map_or(message.complete, |announced| message.body.len() >= announced)
}

/// Whether the receiver of an HTTP/2 message refuses what comes next of its body: more than was announced, or
/// an end before all of it (RFC 9113 §8.1.1).
pub fn breaks(message: &Message, more: usize, end: bool) -> bool {
    let length = message.body.len() + more;
    announced(&message.headers, true).is_some_and(|announced| length > announced || end && length != announced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(yaml: &str, http2: bool) -> Vec<String> {
        let headers = request(&serde_saphyr::from_str(yaml).unwrap(), http2);
        let lines = headers.lines().iter();
        lines.map(|(name, value)| String::from_utf8_lossy(&[name.as_slice(), b"=", value].concat()).into()).collect()
    }

    #[test]
    fn a_request_loses_what_belongs_to_its_connection_and_gets_its_scheme() {
        let yaml = "{method: POST, headers: {connection: close, te: gzip, keep-alive: '1', a: b}, body: [x]}";
        let expected = [":authority=edge.example", ":path=/", ":method=POST", ":scheme=http", "a=b"];
        assert_eq!(names(yaml, false)[..5], expected);
        assert_eq!(names(yaml, false)[5..], ["x-forwarded-proto=http"]);
    }

    #[test]
    fn crumbs_of_a_cookie_are_joined_over_http2_only() {
        let yaml = "{headers: [{cookie: a=1}, {b: c}, {cookie: d=2}]}";
        assert_eq!(names(yaml, true)[4..6], ["b=c", "cookie=a=1; d=2"]);
        assert_eq!(names(yaml, false)[4..7], ["cookie=a=1", "b=c", "cookie=d=2"]);
    }
}
