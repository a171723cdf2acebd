//! HTTP/2 as Envoy's codec reads it: a head that ends its message.
//!
//! 1. Names are tokens in lower case, values have no control characters but the tab, and no line belongs to a
//!    connection, with `te: trailers` alone excepted in a request.
//! 2. Pseudo-headers stand first, once each, none of them empty; a request has four of them, where `host` can
//!    stand for the authority, a response its status of three digits.
//! 3. `content-length` says nothing else than that no body follows.

use super::{LARGEST_HEAD, MOST_LINES, Message, Request, Response, Unknown, is_authority, is_token, turned};
use crate::{
    scenario::{self, Bytes, HeaderLines},
    world::{Headers, headers::Inline},
};

type Lines = [(String, Bytes)];

pub fn request(lines: &Lines) -> Result<Request, Unknown> {
    const REFUSED: Request = Request::Refused(None);
    let size: usize = lines.iter().map(|(name, value)| name.len() + value.0.len()).sum();
    if !are_valid(lines, &[":method", ":scheme", ":authority", ":path"], true)
        || lines.len() > MOST_LINES
        || size > LARGEST_HEAD
    {
        return Ok(REFUSED);
    }
    let text = |wanted: &str| {
        let found = lines.iter().find(|(name, _)| name == wanted)?;
        Some(String::from_utf8_lossy(&found.1.0).into_owned())
    };
    let host = text(":authority");
    let has_authority = host.is_some();
    let host = host.or(text("host"));
    let (Some(method), Some(scheme), Some(path), Some(authority)) =
        (text(":method"), text(":scheme"), text(":path"), host)
    else {
        return if text(":method").as_deref() == Some("CONNECT") { Err("CONNECT") } else { Ok(REFUSED) };
    };
    let blank = path.bytes().any(|byte| byte <= b' ' || byte == 0x7F);
    if !is_token(method.as_bytes()) || !is_authority(authority.as_bytes()) || !path.starts_with('/') || blank {
        return Ok(REFUSED);
    }
    match (method.as_str(), scheme.as_str()) {
        ("CONNECT", _) => return Ok(REFUSED),
        (_, "http") => {}
        _ => return Err("a scheme other than http"),
    }
    let dropped = |name: &str| name.starts_with(':') || has_authority && name == "host";
    let mut headers: Vec<_> = lines.iter().filter(|(name, _)| !dropped(name)).cloned().collect();
    let authority = if has_authority { authority } else { String::new() };
    headers.retain(|(name, value)| name != "expect" || !value.0.eq_ignore_ascii_case(b"100-continue"));
    turned(scenario::Request { method, path, authority, headers: HeaderLines(headers), ..Default::default() })
}

pub fn response(lines: &Lines) -> Response {
    let status = lines.iter().find(|(name, _)| name == ":status").map(|(_, status)| status.0.as_slice());
    let is_final = matches!(status, Some([b'2'..=b'9', a, b]) if a.is_ascii_digit() && b.is_ascii_digit());
    if !is_final || !are_valid(lines, &[":status"], false) {
        return Response::Refused;
    }
    let mut head = Headers::new(Inline::Response);
    lines.iter().for_each(|(name, value)| head.add(name.as_bytes(), &value.0));
    Response::Message(Message {
        head,
        head_only: true,
        pieces: Vec::new(),
        trailers: HeaderLines::default(),
        breaks: false,
    })
}

fn are_valid(lines: &Lines, pseudo: &[&str], request: bool) -> bool {
    let place = lines.iter().position(|(name, _)| !name.starts_with(':')).unwrap_or(lines.len());
    let (first, rest) = lines.split_at_checked(place).unwrap_or_default();
    let once = |wanted: &str| lines.iter().filter(|(name, _)| name == wanted).count() <= 1;
    let of_a_connection = |name: &str, value: &[u8]| match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => true,
        "te" => request && value != b"trailers",
        _ => false,
    };
    let is_text = |value: &[u8]| value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    first.iter().all(|(name, value)| pseudo.contains(&name.as_str()) && once(name) && !value.0.is_empty())
        && rest.iter().all(|(name, value)| {
            is_token(name.as_bytes())
                && !name.bytes().any(|byte| byte.is_ascii_uppercase())
                && !of_a_connection(name, &value.0)
                && (name != "content-length" || value.0 == b"0")
        })
        && once("content-length")
        && lines.iter().all(|(_, value)| is_text(&value.0))
}
