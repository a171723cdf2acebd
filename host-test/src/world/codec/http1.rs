//! HTTP/1 as Envoy's codec reads it.
//!
//! 1. The first line of a request is a method that Envoy knows, a target without blanks, and a version. All
//!    versions but 1.1 are told to upgrade.
//! 2. One `content-length` of digits, or one `transfer-encoding: chunked`; not both.
//! 3. Of an answer the version doesn't matter, interim responses are passed over, and whatever is wrong is a
//!    protocol error of the upstream.

use super::{
    LARGEST_HEAD, MOST_LINES, Message, Request, Response, Unknown,
    chunks::{Chunks, chunks},
    head::{Fault, Head, Lines, head},
    is_authority, known, turned,
};
use crate::{
    scenario::{self, Body, Bytes, HeaderLines, METHODS},
    world::{Headers, headers::Inline, reply::Reply},
};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    None,
}

pub fn request(bytes: &[u8]) -> Result<Request, Unknown> {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let head = match head(bytes) {
        Err(Fault::Unfinished) if bytes.len() > LARGEST_HEAD => return Ok(refused(431, "http1.headers_too_large")),
        Err(Fault::Unfinished) => return Err("a head that doesn't end"),
        Err(Fault::Refused(details)) => return Ok(refused(400, details)),
        Ok(head) => head,
    };
    match headed(&head)? {
        Ok((request, framing)) => bodied(request, framing, head.rest),
        Err(refused) => Ok(refused),
    }
}

/// The head's message without its body, or how it is refused.
fn headed(head: &Head<'_>) -> Result<Result<(scenario::Request, Framing), Request>, Unknown> {
    let codec = || Ok(Err(refused(400, "http1.codec_error")));
    let mut words = head.first.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target)) = (method, target) else { return codec() };
    let (method, path) = (String::from_utf8_lossy(method), String::from_utf8_lossy(target));
    let begins = head.first.first().is_some_and(|byte| !b" \t".contains(byte));
    if !begins || words.next().is_some() || !METHODS.contains(&&*method) || !target.iter().all(u8::is_ascii_graphic) {
        return codec();
    }
    let current = match version {
        Some(version) if !is_version(version) => return codec(),
        version => version == Some(b"HTTP/1.1"),
    };
    match target.first() {
        _ if method == "CONNECT" => return Err("CONNECT"),
        _ if target.starts_with(b"http://") || target.starts_with(b"https://") => return Err("an absolute target"),
        Some(b'/') => {}
        Some(b'*') if target.len() == 1 => {}
        _ => return codec(),
    }
    if head.size > LARGEST_HEAD {
        return Ok(Err(refused(431, "http1.headers_too_large")));
    }
    if head.lines.len() > MOST_LINES {
        return Ok(Err(refused(431, "http1.too_many_headers")));
    }
    let framing = match framing(&head.lines) {
        Ok(framing) => framing,
        Err((status, details)) => return Ok(Err(refused(status, details))),
    };
    if !current {
        return Ok(Err(refused(426, "low_version")));
    }
    if path == "*" && method != "OPTIONS" {
        return Ok(Err(refused(400, "http1.invalid_url")));
    }
    let mut lines = head.lines.clone();
    lines.retain(|(name, value)| name != "expect" || !value.0.eq_ignore_ascii_case(b"100-continue"));
    let host = lines.iter().position(|(name, _)| name == "host").map(|at| lines.remove(at).1.0);
    if !is_authority(host.as_deref().unwrap_or_default()) {
        return Ok(Err(refused(400, "http.invalid_authority")));
    }
    let (method, path) = (method.into_owned(), path.into_owned());
    let Some(host) = host else {
        let request = scenario::Request { method, path, headers: HeaderLines(lines), ..Default::default() };
        return Ok(Err(Request::Turned(known(&request, false), Reply::plain(400, "", "missing_host_header"))));
    };
    let authority = String::from_utf8_lossy(&host).into_owned();
    Ok(Ok((scenario::Request { method, path, authority, headers: HeaderLines(lines), ..Default::default() }, framing)))
}

fn bodied(mut request: scenario::Request, framing: Framing, rest: &[u8]) -> Result<Request, Unknown> {
    let more = "bytes behind a message";
    let rest = match framing {
        Framing::None => rest,
        Framing::Length(length) => {
            let (body, rest) = rest.split_at_checked(length).ok_or("a body that doesn't end")?;
            request.body = Some(Body::Whole(Bytes(body.to_vec())));
            rest
        }
        Framing::Chunked => {
            let piece = |data: Vec<u8>| Some(Body::Chunks(vec![Bytes(data)]));
            match chunks(rest) {
                Ok(Chunks { data, trailers, rest }) => {
                    (request.body, request.trailers) = (piece(data), HeaderLines(trailers));
                    rest
                }
                Err((Fault::Unfinished, _)) => return Err("a body that doesn't end"),
                Err((Fault::Refused(details), data)) => {
                    (request.body, request.more) = (piece(data), true);
                    return Ok(Request::Broken(Box::new(request), reply(400, details)));
                }
            }
        }
    };
    if rest.is_empty() { turned(request) } else { Err(more) }
}

pub fn response(bytes: &[u8], bodiless: bool) -> Result<Response, Unknown> {
    if bytes.is_empty() {
        return Ok(Response::Nothing);
    }
    let mut rest = bytes;
    loop {
        let Ok(head) = head(rest) else { return Ok(Response::Refused) };
        let Some(status) = status(head.first) else { return Ok(Response::Refused) };
        match status {
            101 | 0..100 => return Err("a status below 100, and of a switch of protocols"),
            102..200 | 100 if head.rest.is_empty() => return Err("an interim response without another one"),
            102..200 | 100 => rest = head.rest,
            _ => return answer(status, head, bodiless),
        }
    }
}

fn answer(status: u32, head: Head<'_>, bodiless: bool) -> Result<Response, Unknown> {
    let Head { lines, rest, .. } = head;
    let announced = lines.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding");
    if lines.len() > MOST_LINES {
        return Ok(Response::Refused);
    }
    let Ok(framing) = framing(&lines) else { return Ok(Response::Refused) };
    if status == 204 && announced {
        return match framing {
            Framing::Length(0) => Err("204 with `content-length: 0`"),
            _ => Ok(Response::Refused),
        };
    }
    let mut headers = Headers::new(Inline::Response);
    headers.add(b":status", status.to_string().as_bytes());
    lines.iter().for_each(|(name, value)| headers.add(name.as_bytes(), &value.0));
    let mut message = Message {
        head: headers,
        head_only: false,
        pieces: Vec::new(),
        trailers: HeaderLines::default(),
        breaks: false,
    };
    if bodiless || matches!(status, 204 | 304) {
        message.head_only = true;
        return Ok(Response::Message(message));
    }
    let mut body = Vec::new();
    let mut ended = true;
    match framing {
        Framing::Length(0) => message.head_only = true,
        Framing::Length(length) => match rest.get(..length) {
            Some(whole) => body = whole.to_vec(),
            None => (body, message.breaks) = (rest.to_vec(), true),
        },
        Framing::None => body = rest.to_vec(),
        Framing::Chunked => match chunks(rest) {
            Ok(Chunks { data, trailers, .. }) => {
                ended = trailers.is_empty();
                (body, message.trailers) = (data, HeaderLines(trailers));
            }
            Err((_, data)) => (body, message.breaks) = (data, true),
        },
    }
    if !body.is_empty() {
        message.pieces.push((body, false));
    }
    if ended && !message.breaks && !message.head_only {
        message.pieces.push((Vec::new(), true));
    }
    Ok(Response::Message(message))
}

/// `HTTP/1.1 200 OK` → 200; whatever number it is.
fn status(first: &[u8]) -> Option<u32> {
    let mut words = first.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
    words.next().filter(|version| is_version(version) && first.starts_with(b"HTTP/"))?;
    std::str::from_utf8(words.next()?).ok()?.parse().ok()
}

fn is_version(version: &[u8]) -> bool {
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn framing(lines: &Lines) -> Result<Framing, (u32, &'static str)> {
    let of = |wanted: &'static str| lines.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| &value.0);
    let (lengths, encodings): (Vec<_>, Vec<_>) = (of("content-length").collect(), of("transfer-encoding").collect());
    let digits = |length: &Vec<u8>| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let length = match lengths.as_slice() {
        [] => None,
        [length] if digits(length) => std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()),
        _ => None,
    };
    if length.is_none() && !lengths.is_empty() {
        return Err((400, "http1.codec_error"));
    }
    match (encodings.as_slice(), length) {
        ([], None) => Ok(Framing::None),
        ([], Some(length)) => Ok(Framing::Length(length)),
        ([encoding], length) if encoding.eq_ignore_ascii_case(b"chunked") => match length {
            Some(_) => Err((400, "http1.content_length_and_chunked_not_allowed")),
            None => Ok(Framing::Chunked),
        },
        _ => Err((501, "http1.invalid_transfer_encoding")),
    }
}

pub fn refused(status: u32, details: &'static str) -> Request {
    Request::Refused(Some(reply(status, details)))
}

fn reply(status: u32, details: &str) -> Reply {
    let body = match status {
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Bad Request",
    };
    Reply::plain(status, body, details)
}
