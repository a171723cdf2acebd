//! What travels: a scenario's messages → header maps as Envoy hands them to the first filter, and
//! what passed the last filter → a message as the other side receives it.
//!
//! The listener is the one that scenarios get in Envoy: `server_header_transformation: PASS_THROUGH`,
//! `generate_request_id: false`, `suppress_envoy_headers`, `skip_xff_append`.

use super::headers::{Headers, Inline};
use crate::{
    outcome::Message,
    scenario::{Body, HeaderLines, Reply as Later, Request, Response},
};

/// The head of a request behind Envoy's connection manager.
pub fn request(request: &Request, http2: bool) -> Headers {
    let mut headers = Headers::new(Inline::Request);
    for (name, value) in [(":authority", &request.authority), (":path", &request.path), (":method", &request.method)] {
        headers.add(name.as_bytes(), value.as_bytes());
    }
    headers.add(b":scheme", b"http");
    add(&mut headers, &request.headers);
    frame(&mut headers, request.body.as_ref(), http2);
    if headers.get(b"x-forwarded-proto").is_none() {
        headers.add(b"x-forwarded-proto", b"http");
    }
    headers
}

/// The head of the upstream's response.
pub fn response(response: &Response, http2: bool) -> Headers {
    let mut headers = Headers::new(Inline::Response);
    headers.add(b":status", response.status.to_string().as_bytes());
    add(&mut headers, &response.headers);
    frame(&mut headers, response.body.as_ref(), http2);
    headers
}

/// The lines of a later filter's reply.
pub fn later(reply: &Later) -> super::reply::Reply {
    super::reply::Reply {
        status: reply.status.into(),
        headers: lines(&reply.headers),
        body: reply.body.0.clone(),
        details: "later_filter".into(),
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

/// What a client or an upstream says of the length of its body, unless the scenario says it.
fn frame(headers: &mut Headers, body: Option<&Body>, http2: bool) {
    let said = headers.get(b"content-length").is_some() || headers.get(b"transfer-encoding").is_some();
    match body {
        Some(Body::Whole(whole)) if !said => headers.add(b"content-length", whole.0.len().to_string().as_bytes()),
        Some(Body::Chunks(_)) if !said && !http2 => headers.add(b"transfer-encoding", b"chunked"),
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

/// The head that the upstream receives, without what the connection manager added to the client's.
pub fn upstream(headers: &Headers, request: &Request) -> Message {
    let mut message = head(headers);
    if !request.headers.0.iter().any(|(name, _)| name == "x-forwarded-proto") {
        message.headers.retain(|(name, value)| name != "x-forwarded-proto" || value != b"http");
    }
    message
}

pub fn trailers(trailers: &Headers) -> Vec<(String, Vec<u8>)> {
    let lines = trailers.lines().iter();
    lines.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone())).collect()
}

/// Makes of a message what the other side reads when the body isn't as long as `content-length`
/// says, which Envoy never corrects: over HTTP/1 it reads so many bytes or waits for more, over
/// HTTP/2 it refuses the message.
pub fn framed(mut message: Message, http2: bool) -> Message {
    let announced = message.values("content-length").next();
    let announced = announced.and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
    if let Some(announced) = announced {
        message.complete &= if http2 { message.body.len() == announced } else { message.body.len() >= announced };
        message.body.truncate(announced);
    }
    message
}
