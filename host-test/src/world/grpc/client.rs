//! Envoy's gRPC client: what it hears of a service → what a filter is told.
//!
//! 1. A head that is all there is comes as trailing metadata, behind initial metadata without a line. A
//!    status other than 200 hides the head, too, and stands for a status of gRPC unless there is one.
//! 2. A frame that is compressed or isn't one ends the call with 13. A frame that is cut off by the end of
//!    the answer is forgotten.
//! 3. The text of a status has Envoy's own details behind it: `text{details}`.
//! 4. A single call is told of one message, the last, or of its close; never of both, nor of metadata.

use super::Event;
use crate::world::pairs::Pairs;

/// What comes from the wire.
#[derive(Debug)]
pub enum Heard {
    /// A head; whether it is all.
    Head(Pairs, bool),
    /// A piece of the body; whether it is the last.
    Data(Vec<u8>, bool),
    Trailers(Pairs),
    /// Envoy answers instead of the service: a text and its details.
    Local(String, String),
    /// The answer breaks off.
    Reset(String),
}

const OK: u32 = 0;
const UNKNOWN: u32 = 2;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
/// What is no status of gRPC.
const INVALID: u32 = u32::MAX;
const GREATEST: u32 = 16;

#[derive(Debug)]
pub struct Client {
    single: bool,
    /// Bytes of a frame that isn't whole yet.
    bytes: Vec<u8>,
    /// What a single call is told of in the end.
    response: Option<Vec<u8>>,
    events: Vec<Event>,
    closed: bool,
}

impl Client {
    /// `single`: one message each way.
    pub fn new(single: bool) -> Self {
        Self { single, bytes: Vec::new(), response: None, events: Vec::new(), closed: false }
    }

    /// Whether nothing more is heard.
    pub fn closed(&self) -> bool {
        self.closed
    }

    pub fn hear(&mut self, heard: Heard) -> Vec<Event> {
        match heard {
            _ if self.closed => {}
            Heard::Head(lines, ends) => self.head(lines, ends, "via_upstream"),
            Heard::Data(piece, ends) => {
                self.bytes.extend(piece);
                self.frames();
                if ends {
                    self.broken(UNKNOWN, "via_upstream");
                }
            }
            Heard::Trailers(lines) => self.trailers(lines, "via_upstream"),
            Heard::Local(text, details) => {
                let code = UNAVAILABLE.to_string();
                let lines = [
                    (":status", "200"),
                    ("content-type", "application/grpc"),
                    ("grpc-status", &*code),
                    ("grpc-message", &*text),
                ];
                let lines = lines.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
                self.head(lines.into(), true, &details);
            }
            Heard::Reset(details) => self.broken(INTERNAL, &details),
        }
        std::mem::take(&mut self.events)
    }

    fn head(&mut self, lines: Pairs, ends: bool, details: &str) {
        let status = value(&lines, ":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status: u32 = status.unwrap_or_default();
        let said = value(&lines, "grpc-status").is_some();
        let shown = if ends || status != 200 { Pairs::new() } else { lines.clone() };
        self.tell(Event::InitialMetadata(shown));
        if status != 200 && !(ends && said) {
            self.broken(of_http(status), details);
        } else if ends {
            self.trailers(lines, details);
        }
    }

    fn frames(&mut self) {
        while !self.closed {
            let Some(flags) = self.bytes.first().copied() else { return };
            if flags > 1 {
                return self.broken(INTERNAL, "via_upstream");
            }
            let Some((head, rest)) = self.bytes.split_first_chunk::<5>() else { return };
            let [_, length @ ..] = *head;
            let Some((message, rest)) = rest.split_at_checked(u32::from_be_bytes(length) as usize) else { return };
            if flags == 1 && !message.is_empty() {
                return self.broken(INTERNAL, "via_upstream");
            }
            let (message, rest) = (message.to_vec(), rest.to_vec());
            self.bytes = rest;
            if self.single {
                self.response = Some(message);
            } else {
                self.tell(Event::Message(message));
            }
        }
    }

    fn trailers(&mut self, lines: Pairs, details: &str) {
        let code = value(&lines, "grpc-status").map_or(UNKNOWN, |status| {
            let code = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            code.filter(|code| *code <= GREATEST).unwrap_or(INVALID)
        });
        let text = value(&lines, "grpc-message").unwrap_or_default().to_vec();
        self.tell(Event::TrailingMetadata(lines));
        self.close(code, text, details);
    }

    /// The call ends without trailers.
    fn broken(&mut self, code: u32, details: &str) {
        if self.closed {
            return;
        }
        self.tell(Event::TrailingMetadata(Pairs::new()));
        self.close(code, Vec::new(), details);
    }

    fn close(&mut self, code: u32, mut text: Vec<u8>, details: &str) {
        self.closed = true;
        let details = if text.is_empty() { details.to_owned() } else { format!("{{{details}}}") };
        text.extend(details.into_bytes());
        let event = match self.response.take() {
            _ if !self.single || code != OK => Event::Close(code, text),
            Some(message) => Event::Message(message),
            None => Event::Close(INTERNAL, Vec::new()),
        };
        self.events.push(event);
    }

    /// A single call isn't told of its metadata.
    fn tell(&mut self, event: Event) {
        if !self.single {
            self.events.push(event);
        }
    }
}

fn value<'a>(lines: &'a Pairs, name: &str) -> Option<&'a [u8]> {
    lines.iter().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| value.as_slice())
}

/// The status of gRPC that one of HTTP stands for.
fn of_http(status: u32) -> u32 {
    match status {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[(&str, &str)]) -> Pairs {
        lines.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_frame_may_come_in_pieces_and_several_in_one() {
        let mut client = Client::new(false);
        assert!(client.hear(Heard::Data(b"\0\0\0".to_vec(), false)).is_empty());
        let events = client.hear(Heard::Data(b"\0\x01a\0\0\0\0\x01b\0".to_vec(), false));
        assert_eq!(events, [Event::Message(b"a".to_vec()), Event::Message(b"b".to_vec())]);
    }

    #[test]
    fn a_single_call_is_told_of_its_last_message_or_of_its_close() {
        let end = || Heard::Trailers(lines(&[("grpc-status", "0")]));
        let mut client = Client::new(true);
        assert!(client.hear(Heard::Data(b"\0\0\0\0\x01a\0\0\0\0\x01b".to_vec(), false)).is_empty());
        assert_eq!(client.hear(end()), [Event::Message(b"b".to_vec())]);
        assert_eq!(Client::new(true).hear(end()), [Event::Close(13, Vec::new())]);
    }

    #[test]
    fn a_status_that_gives_no_number_is_invalid_and_a_missing_one_unknown() {
        let code = |trailers: &[(&str, &str)]| match Client::new(true).hear(Heard::Trailers(lines(trailers))).as_slice()
        {
            [Event::Close(code, _)] => *code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&[("grpc-status", "x")]), INVALID);
        assert_eq!(code(&[("grpc-status", "17")]), INVALID);
        assert_eq!(code(&[]), UNKNOWN);
        assert_eq!(code(&[("grpc-status", "16")]), 16);
    }

    #[test]
    fn details_stand_behind_the_text() {
        let mut client = Client::new(true);
        let trailers = lines(&[("grpc-status", "7"), ("grpc-message", "no")]);
        assert_eq!(client.hear(Heard::Trailers(trailers)), [Event::Close(7, b"no{via_upstream}".to_vec())]);
    }
}
