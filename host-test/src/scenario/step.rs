//! What one step of a scenario sends, and who answers it.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    bytes::Bytes,
    expect::Expect,
    fault::{Fault, Mishap},
    headers::HeaderLines,
    raw::Raw,
    span::Span,
    update::Update,
};
use crate::outcome::Cut;

/// One request, its answer, and what must be seen of both. A step with a `stream` leaves its exchange
/// open for later steps of the same name; one that only lets time pass, or changes the configuration,
/// sends nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What this step shows, where the scenario's own sentence doesn't say it.
    #[serde(default)]
    pub name: Option<String>,
    /// Names the exchange, which stays open until it ends. Then nothing is sent or answered but what
    /// the steps of that name say.
    #[serde(default)]
    pub stream: Option<String>,
    /// The worker that takes the request, from 1.
    #[serde(default = "one")]
    pub worker: u32,
    /// What happened since the last step, in this order. Not played in Envoy.
    #[serde(default)]
    pub meanwhile: Vec<Mishap>,
    /// What goes wrong in this step alone, and each time that it is played. Not played in Envoy.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// So much time passes first.
    #[serde(default)]
    pub pass: Option<Span>,
    /// Then the filter under test gets a new configuration.
    #[serde(default)]
    pub update: Option<Update>,
    /// Default: `GET /`.
    #[serde(default)]
    pub request: Option<Request>,
    /// More of the request of a named stream.
    #[serde(default)]
    pub send: Option<Part>,
    /// What the upstream answers. Default: 200 without a body.
    #[serde(default)]
    pub response: Option<Response>,
    /// What the upstream answers to one attempt after another, where the proxy makes more than one;
    /// the last answer is repeated. Instead of `response`.
    #[serde(default)]
    pub responses: Vec<Response>,
    /// More of the answer of a named stream.
    #[serde(default)]
    pub respond: Option<Part>,
    /// Who ends the exchange of a named stream, last of all.
    #[serde(default)]
    pub reset: Option<Peer>,
    /// A filter behind the one under test answers this itself; the upstream is never reached.
    #[serde(default)]
    pub reply: Option<Reply>,
    /// Play the step again for every place where the bodies can be cut in two, and once more with
    /// every byte on its own; each time the expectations hold.
    #[serde(default)]
    pub every_split: bool,
    /// Play the step so many times; each time the expectations hold.
    #[serde(default = "one")]
    pub times: u32,
    #[serde(default)]
    pub expect: Expect,
}

impl Step {
    /// The request, or `GET /`.
    pub fn request(&self) -> &Request {
        static DEFAULT: LazyLock<Request> = LazyLock::new(Request::default);
        self.request.as_ref().unwrap_or(&DEFAULT)
    }

    /// The request, to be changed.
    pub fn request_mut(&mut self) -> &mut Request {
        self.request.get_or_insert_default()
    }

    /// What the upstream answers to an attempt, counted from 0.
    pub fn answer(&self, attempt: usize) -> &Response {
        static DEFAULT: LazyLock<Response> = LazyLock::new(Response::default);
        let listed = self.responses.get(attempt).or(self.responses.last());
        listed.or(self.response.as_ref()).unwrap_or(&DEFAULT)
    }

    /// Whether anything of the step goes on the wire as it is written.
    pub fn is_raw(&self) -> bool {
        let answers = self.responses.iter().chain(&self.response).map(|response| &response.raw);
        self.request.iter().map(|request| &request.raw).chain(answers).any(Option::is_some)
    }

    /// Whether the step does more than let time pass and change the configuration.
    pub fn acts(&self) -> bool {
        self.pass.is_none() && self.update.is_none()
            || self.stream.is_some()
            || self.request.is_some()
            || self.reply.is_some()
    }

    /// How often the step is played.
    pub fn plays(&self) -> u64 {
        let cuts = if self.every_split { self.longest().max(1) as u64 + 1 } else { 1 };
        cuts.saturating_mul(self.times.into())
    }

    /// Bytes of the longer body.
    fn longest(&self) -> usize {
        let length = |body: Option<&Body>| body.map_or(0, |body| body.pieces().iter().map(Vec::len).sum());
        let response = self.response.as_ref().and_then(|response| response.body.as_ref());
        length(self.request().body.as_ref()).max(length(response))
    }

    /// How the bodies are cut each time that the step is played.
    pub fn cuts(&self) -> Vec<Cut> {
        let longest = self.longest();
        let mut cuts = vec![Cut::AsWritten];
        if self.every_split {
            cuts.extend((1..longest).map(Cut::After));
            cuts.push(Cut::EveryByte);
        }
        cuts.iter().flat_map(|cut| (0..self.times).map(|_| *cut)).collect()
    }
}

impl Default for Step {
    fn default() -> Self {
        Self {
            name: None,
            stream: None,
            worker: one(),
            meanwhile: Vec::new(),
            faults: Vec::new(),
            pass: None,
            update: None,
            request: None,
            send: None,
            response: None,
            responses: Vec::new(),
            respond: None,
            reset: None,
            reply: None,
            every_split: false,
            times: one(),
            expect: Expect::default(),
        }
    }
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub method: String,
    pub authority: String,
    pub path: String,
    pub headers: HeaderLines,
    pub body: Option<Body>,
    pub trailers: HeaderLines,
    /// The rest comes in a later step of this stream.
    pub more: bool,
    /// What goes on the wire instead, as it is written.
    pub raw: Option<Raw>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            authority: "edge.example".into(),
            path: "/".into(),
            headers: HeaderLines::default(),
            body: None,
            trailers: HeaderLines::default(),
            more: false,
            raw: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderLines,
    pub body: Option<Body>,
    pub trailers: HeaderLines,
    /// The rest comes in a later step of this stream.
    pub more: bool,
    /// What goes on the wire instead, as it is written. Over HTTP/1 the connection ends behind it.
    pub raw: Option<Raw>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: 200,
            headers: HeaderLines::default(),
            body: None,
            trailers: HeaderLines::default(),
            more: false,
            raw: None,
        }
    }
}

/// The body of a message. Text (or bytes) is sent whole and its length is announced in
/// `content-length`; a list is sent chunk by chunk, without a `content-length`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Body {
    Chunks(Vec<Bytes>),
    Whole(Bytes),
}

impl Body {
    /// The chunks in which the body travels, none of them empty.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        let chunks = match self {
            Self::Chunks(chunks) => chunks.as_slice(),
            Self::Whole(whole) => std::slice::from_ref(whole),
        };
        chunks.iter().map(|chunk| chunk.0.clone()).filter(|chunk| !chunk.is_empty()).collect()
    }
}

/// More of a message whose head was sent in an earlier step. Without `more` it ends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Part {
    pub body: Option<Body>,
    pub trailers: HeaderLines,
    pub more: bool,
}

/// Who ends an exchange before its time.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    Client,
    Upstream,
}

/// A reply that a filter behind the one under test gives.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub status: u16,
    #[serde(default)]
    pub headers: HeaderLines,
    #[serde(default)]
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_is_each_place_in_the_longer_body_and_byte_by_byte() {
        let step: Step =
            serde_saphyr::from_str("{every_split: true, request: {body: ab}, response: {body: abc}}").unwrap();
        assert_eq!(step.cuts(), [Cut::AsWritten, Cut::After(1), Cut::After(2), Cut::EveryByte]);
        let plain: Step = serde_saphyr::from_str("{request: {body: ab}, times: 2}").unwrap();
        assert_eq!(plain.cuts(), [Cut::AsWritten, Cut::AsWritten]);
    }
}
