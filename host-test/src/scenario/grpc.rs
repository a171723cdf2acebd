//! What a gRPC service does with one call: its acts, in their order.
//!
//! 1. An act waits until it can be done; the next one follows. Behind the last one the service is silent.
//! 2. `:status` is 200 and `content-type` is `application/grpc` unless the head of the answer says otherwise.
//! 3. Trailers before anything else are the head, and end it: an answer of trailers only.
//! 4. A call that isn't the one that an act expects is ended with the status 3 and [`UNEXPECTED`].

use schemars::JsonSchema;
use serde::Deserialize;

use super::{bytes::Bytes, callout::CalloutAnswer, callout::Trouble, headers::HeaderLines, span::Span};

/// One act of a gRPC service.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum GrpcAct {
    /// The head of the call must have these lines, `:path` among them.
    Called(HeaderLines),
    /// Waits for the next message, which must be this one.
    Receive(Bytes),
    /// Waits until the filter has said all.
    HalfClosed,
    /// Waits.
    Wait(Span),
    /// Says the head of the answer.
    Metadata(HeaderLines),
    /// Says a message.
    Message(Bytes),
    /// Says bytes of the body as they are: a frame that is cut or compressed, or none at all.
    Raw(Bytes),
    /// Says the trailers, which end the answer. None is added.
    Trailers(HeaderLines),
    /// Ends the answer without trailers.
    End,
    /// Resets the call. What was said at the same moment may be lost with it: wait in between.
    Reset,
    /// Ends the connection. What was said at the same moment may be lost with it: wait in between.
    Disconnect,
}

/// How a service ends a call that isn't the one it expects.
pub const UNEXPECTED: &str = "not what the scenario expects";

/// An act as both hosts do it: what is said is said in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Called(Vec<Line>),
    Receive(Vec<u8>),
    HalfClosed,
    /// Nanoseconds.
    Wait(u64),
    /// A head; whether it is all.
    Head(Vec<Line>, bool),
    /// A piece of the body; whether it is the last.
    Data(Vec<u8>, bool),
    Trailers(Vec<Line>),
    Reset,
    Disconnect,
}

pub type Line = (String, Vec<u8>);

impl CalloutAnswer {
    /// What the service does. An answer that is no gRPC is one of a web server, which hears all before.
    pub fn acts(&self) -> Vec<Act> {
        let after = Act::Wait(self.after.0);
        match &self.grpc {
            Some(acts) => std::iter::once(after).chain(said(acts)).collect(),
            None => [Act::HalfClosed, after].into_iter().chain(self.web()).collect(),
        }
    }

    fn web(&self) -> Vec<Act> {
        let mut lines = vec![(":status".to_owned(), self.status.to_string().into_bytes())];
        match self.trouble {
            Some(Trouble::Silence) => return Vec::new(),
            Some(Trouble::ResetAfterHeaders) => {
                lines.push(("content-length".into(), b"1000".to_vec()));
                // The connection ends once the head has been read.
                return vec![Act::Head(lines, false), Act::Disconnect];
            }
            Some(Trouble::Reset | Trouble::Refused | Trouble::NoHost) => return vec![Act::Disconnect],
            None => {}
        }
        lines.extend(owned(&self.headers));
        lines.push(("content-length".into(), self.body.0.len().to_string().into_bytes()));
        let (empty, trailers) = (self.body.0.is_empty(), owned(&self.trailers));
        let mut acts = vec![Act::Head(lines, empty && trailers.is_empty())];
        if !empty {
            acts.push(Act::Data(self.body.0.clone(), trailers.is_empty()));
        }
        if !trailers.is_empty() {
            acts.push(Act::Trailers(trailers));
        }
        acts
    }
}

fn said(acts: &[GrpcAct]) -> Vec<Act> {
    let mut out = Vec::new();
    let mut headed = false;
    for act in acts {
        let says = matches!(act, GrpcAct::Message(_) | GrpcAct::Raw(_) | GrpcAct::End);
        if says && !std::mem::replace(&mut headed, true) {
            out.push(Act::Head(head(&HeaderLines::default()), false));
        }
        out.push(match act {
            GrpcAct::Called(lines) => Act::Called(owned(lines)),
            GrpcAct::Receive(message) => Act::Receive(message.0.clone()),
            GrpcAct::HalfClosed => Act::HalfClosed,
            GrpcAct::Wait(span) => Act::Wait(span.0),
            GrpcAct::Metadata(lines) => {
                headed = true;
                Act::Head(head(lines), false)
            }
            GrpcAct::Message(message) => Act::Data(frame(&message.0), false),
            GrpcAct::Raw(bytes) => Act::Data(bytes.0.clone(), false),
            GrpcAct::Trailers(lines) if headed => Act::Trailers(owned(lines)),
            GrpcAct::Trailers(lines) => Act::Head(head(lines), true),
            GrpcAct::End => Act::Data(Vec::new(), true),
            GrpcAct::Reset => Act::Reset,
            GrpcAct::Disconnect => Act::Disconnect,
        });
    }
    out
}

/// What a service says instead of its next acts when it is called otherwise than it expects.
pub fn unexpected(headed: bool) -> Act {
    let lines = HeaderLines(vec![
        ("grpc-status".into(), Bytes(b"3".to_vec())),
        ("grpc-message".into(), Bytes(UNEXPECTED.into())),
    ]);
    if headed { Act::Trailers(owned(&lines)) } else { Act::Head(head(&lines), true) }
}

/// A message with the length before it, uncompressed.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

fn head(lines: &HeaderLines) -> Vec<Line> {
    let said = owned(lines);
    let missing = |name: &str| !said.iter().any(|(said, _)| said == name);
    let defaults = [(":status", "200"), ("content-type", "application/grpc")];
    let mut out: Vec<Line> = said.iter().filter(|(name, _)| name.starts_with(':')).cloned().collect();
    out.extend(defaults.into_iter().filter(|(name, _)| missing(name)).map(|(name, value)| (name.into(), value.into())));
    out.extend(said.into_iter().filter(|(name, _)| !name.starts_with(':')));
    out
}

fn owned(lines: &HeaderLines) -> Vec<Line> {
    lines.0.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(yaml: &str) -> Vec<Act> {
        serde_saphyr::from_str::<CalloutAnswer>(yaml).unwrap().acts().split_off(1)
    }

    fn lines(lines: &[(&str, &str)]) -> Vec<Line> {
        lines.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_message_has_a_frame_and_a_head_before_it() {
        let found = acts("grpc: [half_closed, {message: hi}, {trailers: {grpc-status: 0}}]");
        let head = lines(&[(":status", "200"), ("content-type", "application/grpc")]);
        let expected = [
            Act::HalfClosed,
            Act::Head(head, false),
            Act::Data(b"\0\0\0\0\x02hi".to_vec(), false),
            Act::Trailers(lines(&[("grpc-status", "0")])),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn trailers_before_all_else_are_the_head() {
        let found = acts("grpc: [{trailers: {grpc-status: 7, content-type: text/plain}}]");
        let head = lines(&[(":status", "200"), ("grpc-status", "7"), ("content-type", "text/plain")]);
        assert_eq!(found, [Act::Head(head, true)]);
    }

    #[test]
    fn an_answer_without_grpc_is_that_of_a_web_server() {
        let found = acts("{status: 403, body: denied}");
        let head = lines(&[(":status", "403"), ("content-length", "6")]);
        assert_eq!(found, [Act::Wait(0), Act::Head(head, false), Act::Data(b"denied".to_vec(), true)]);
    }
}
