//! The service at the other end of a call, which does as the scenario declares.

use std::collections::VecDeque;

use super::client::Heard;
use crate::{
    scenario::{
        Act,
        grpc::{Line, unexpected},
    },
    world::pairs::Pairs,
};

/// Why an answer breaks off, in the words of Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Refused(&'static str),
    Reset,
    /// The connection ended.
    Ended,
    /// No answer in time.
    Late,
}

#[derive(Debug)]
pub struct Service {
    acts: VecDeque<Act>,
    http2: bool,
    /// The head of the call.
    head: Pairs,
    /// What the filter said that wasn't received yet.
    messages: VecDeque<Vec<u8>>,
    half_closed: bool,
    /// When the next act is done. Nanoseconds since the epoch.
    at: u64,
    headed: bool,
}

/// What an act brings.
#[derive(Debug)]
pub enum Brings {
    Nothing,
    Heard(Heard),
    /// The connection ends, and every call on it.
    Ended,
}

impl Service {
    pub fn new(acts: Vec<Act>, http2: bool, head: Pairs, now: u64) -> Self {
        let messages = VecDeque::new();
        Self { acts: acts.into(), http2, head, messages, half_closed: false, at: now, headed: false }
    }

    /// The filter says something. What comes behind its end is lost.
    pub fn said(&mut self, message: Option<Vec<u8>>, end: bool) {
        if !self.half_closed {
            self.messages.extend(message);
            self.half_closed = end;
        }
    }

    /// When the next act can be done; `None` while it waits for the filter, and behind the last one.
    pub fn next_due(&self) -> Option<u64> {
        match self.acts.front()? {
            Act::Receive(_) if self.messages.is_empty() && !self.half_closed => None,
            Act::HalfClosed if !self.half_closed => None,
            _ => Some(self.at),
        }
    }

    pub fn act(&mut self, now: u64) -> Brings {
        let Some(act) = self.acts.pop_front() else { return Brings::Nothing };
        let as_expected = match &act {
            Act::Called(lines) => lines.iter().all(|line| self.was_called_with(line)),
            Act::Receive(expected) => self.messages.pop_front().as_ref() == Some(expected),
            _ => true,
        };
        let act = if as_expected {
            act
        } else {
            self.acts.clear();
            unexpected(self.headed)
        };
        match act {
            Act::Called(_) | Act::Receive(_) | Act::HalfClosed => Brings::Nothing,
            Act::Wait(time) => {
                self.at = now.saturating_add(time);
                Brings::Nothing
            }
            Act::Head(lines, ends) => {
                self.headed = true;
                let mut lines = pairs(lines);
                if self.half_closed {
                    // Added by Envoy's client, which counts from the end of the request.
                    lines.push((b"x-envoy-upstream-service-time".to_vec(), b"0".to_vec()));
                }
                Brings::Heard(Heard::Head(lines, ends))
            }
            Act::Data(piece, ends) => Brings::Heard(Heard::Data(piece, ends)),
            Act::Trailers(lines) => Brings::Heard(Heard::Trailers(pairs(lines))),
            Act::Reset => Brings::Heard(self.broken(Why::Reset)),
            Act::Disconnect => Brings::Ended,
        }
    }

    fn was_called_with(&self, (name, value): &Line) -> bool {
        self.head.iter().any(|(found, said)| found == name.as_bytes() && said == value)
    }

    /// What is heard of an answer that breaks off.
    pub fn broken(&self, why: Why) -> Heard {
        let (text, reason) = match why {
            Why::Refused(text) => (text, "remote_connection_failure|delayed_connect_error:_Connection_refused"),
            Why::Reset => (
                "upstream connect error or disconnect/reset before headers. reset reason: remote reset",
                "remote_reset",
            ),
            // A body that is shorter than its length.
            Why::Ended if self.headed && !self.http2 => ("", "protocol_error"),
            Why::Ended => (
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                "connection_termination",
            ),
            Why::Late if self.headed => return Heard::Reset("response_timeout".into()),
            Why::Late => return Heard::Local("upstream request timeout".into(), "response_timeout".into()),
        };
        if self.headed {
            Heard::Reset(format!("upstream_reset_after_response_started{{{reason}}}"))
        } else {
            Heard::Local(text.into(), format!("upstream_reset_before_response_started{{{reason}}}"))
        }
    }
}

fn pairs(lines: Vec<Line>) -> Pairs {
    lines.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}
