//! What Envoy's codecs make of bytes, before any filter: a message, or a refusal.
//!
//! 1. HTTP/1 is refused with an answer, and the stream is logged, though no filter saw a head. HTTP/2 is
//!    refused without one: the connection ends, and no filter hears of it.
//! 2. Behind a good head a filter has begun; what is wrong then is answered through the filters, or cuts
//!    the message off.
//! 3. What isn't known of Envoy is said, and not guessed: a scenario that needs it isn't played here.

mod chunks;
mod connection;
mod head;
mod http1;
mod http2;

use super::{Headers, headers::Inline, reply::Reply};
use crate::scenario::{self, HeaderLines, Scenario};

/// What a codec makes of a request.
#[derive(Clone, Debug)]
pub enum Request {
    /// As if the scenario had written it.
    Message(Box<scenario::Request>),
    /// The head is good, with so much of the body; then comes what is refused.
    Broken(Box<scenario::Request>, Reply),
    /// No filter sees it, though a route is known, and the stream is logged with the whole head.
    Rejected(Box<scenario::Request>, Reply),
    /// The connection manager refuses the head before any filter; it is known when the stream is logged.
    Turned(Headers, Reply),
    /// There is no head: what the client is answered, if anything.
    Refused(Option<Reply>),
}

/// What a codec makes of the upstream's answer.
#[derive(Clone, Debug)]
pub enum Response {
    Message(Message),
    /// No head can be read.
    Refused,
    /// The connection ends without a word.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub head: Headers,
    pub head_only: bool,
    /// Pieces of the body, each with whether it ends the message.
    pub pieces: Vec<(Vec<u8>, bool)>,
    pub trailers: HeaderLines,
    /// The connection breaks before the message's end.
    pub breaks: bool,
}

/// Why a message can't be played here.
type Unknown = &'static str;

/// What the scenario's request is to the proxy.
pub fn request(request: &scenario::Request, http2: bool) -> Result<Request, Unknown> {
    let read = match &request.raw {
        None => Request::Message(Box::new(request.clone())),
        Some(raw) if raw.is_of_http2() => http2::request(raw.head())?,
        Some(raw) => http1::request(&raw.bytes())?,
    };
    Ok(match read {
        Request::Message(request) if !http2 => connection::sanitised(*request)
            .map_or_else(|refused| refused, |request| Request::Message(Box::new(request))),
        read => read,
    })
}

/// What the upstream's raw answer is to the proxy; `bodiless` where the request's method was `HEAD`.
pub fn response(raw: &scenario::Raw, bodiless: bool) -> Result<Response, Unknown> {
    if raw.is_of_http2() { Ok(http2::response(raw.head())) } else { http1::response(&raw.bytes(), bodiless) }
}

/// Whether all that a scenario puts on the wire is known. The error says what isn't.
pub fn knows(scenario: &Scenario) -> Result<(), String> {
    for (index, step) in scenario.steps.iter().enumerate() {
        let mut answers = step.responses.iter().chain(&step.response).filter_map(|answer| answer.raw.as_ref());
        let unknown = request(step.request(), scenario.given.protocol == scenario::Protocol::Http2)
            .err()
            .or(answers.find_map(|raw| response(raw, false).err()));
        if let Some(unknown) = unknown {
            let step = index + 1;
            return Err(format!(
                "step {step}: this host doesn't know what Envoy makes of {unknown}; play it in Envoy alone, \
                 by `skip: {{wasm: the reason}}`"
            ));
        }
    }
    Ok(())
}

/// A token of RFC 9110 §5.6.2.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A host with a port as RFC 3986 §3.2 writes it, with what may stand before.
fn is_authority(authority: &[u8]) -> bool {
    authority.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]@%".contains(byte))
}

/// The connection manager's own refusals of a head that the codec took.
fn turned(request: scenario::Request) -> Result<Request, Unknown> {
    let reply = match &request {
        request if request.path.contains('#') => Reply::plain(400, "", "path_normalization_failed"),
        request if request.path == "*" => Reply::plain(404, "", "absolute_path_rejected"),
        _ => return Ok(Request::Message(Box::new(request))),
    };
    Ok(Request::Turned(known(&request, true), reply))
}

/// A head as the codec gives it to the connection manager.
fn known(request: &scenario::Request, has_host: bool) -> Headers {
    let mut headers = Headers::new(Inline::Request);
    let pseudo = [(":authority", &request.authority), (":path", &request.path), (":method", &request.method)];
    for (name, value) in pseudo.into_iter().filter(|(name, _)| has_host || *name != ":authority") {
        headers.add(name.as_bytes(), value.as_bytes());
    }
    request.headers.0.iter().for_each(|(name, value)| headers.add(name.as_bytes(), &value.0));
    headers
}

/// The most lines that a head may have, and bytes.
const MOST_LINES: usize = 100;
const LARGEST_HEAD: usize = 60 << 10;
