//! Who leaves before all is said: what Envoy calls it, and what the client sees of it.
//!
//! Over HTTP/1 whoever leaves closes the connection, over HTTP/2 the stream is reset.

use super::{Halt, Run};
use crate::{
    envoy::versions,
    world::{head, reply::Reply},
};

/// Bits of `response.flags`: the places of Envoy's `CoreResponseFlag`.
const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
const DOWNSTREAM_REMOTE_RESET: u64 = 1 << 28;

impl Run<'_> {
    /// The client leaves.
    pub fn client_leaves(&mut self) -> Result<(), Halt> {
        let (details, flag) = match self.stream.http2 {
            false => ("downstream_remote_disconnect", DOWNSTREAM_CONNECTION_TERMINATION),
            true => ("http2.remote_reset", DOWNSTREAM_REMOTE_RESET),
        };
        self.stream.details = Some(details.into());
        self.stream.flags |= flag;
        Err(Halt::Cut)
    }

    /// What the upstream says is no HTTP.
    pub fn upstream_babbles(&mut self) -> Result<(), Halt> {
        self.stream.flags |= UPSTREAM_PROTOCOL_ERROR;
        Err(self.breaks_off(502, "protocol error"))
    }

    /// The upstream takes the request for broken: over HTTP/2 it resets the stream, or closes the connection where
    /// nothing of it can be read.
    pub fn upstream_refuses(&mut self) -> Result<(), Halt> {
        let reset = self.stream.request.reset.take().filter(|_| self.stream.response.headers.is_none());
        let resets =
            self.stream.http2 && !self.stream.is_hung_up() && reset.as_ref().is_none_or(|reset| reset.status == 502);
        if resets && !versions::tells_protocol_errors(self.world.borrow().envoy) {
            return self.upstream_reset();
        }
        if let Some(reset) = reset {
            return Err(Halt::Replied(reset));
        }
        if !self.stream.is_hung_up() {
            return self.upstream_babbles();
        }
        self.stream.flags |= UPSTREAM_CONNECTION_TERMINATION;
        Err(self.breaks_off(503, "connection termination"))
    }

    /// The upstream leaves before it said all. A head without the rest of its message is an error of
    /// HTTP/1 to Envoy.
    pub fn upstream_reset(&mut self) -> Result<(), Halt> {
        let started = self.stream.response.headers.is_some();
        let (reason, flag) = match (self.stream.http2, started) {
            (true, _) => ("remote reset", UPSTREAM_REMOTE_RESET),
            (false, false) => ("connection termination", UPSTREAM_CONNECTION_TERMINATION),
            (false, true) => ("protocol error", UPSTREAM_PROTOCOL_ERROR),
        };
        self.stream.flags |= flag;
        Err(self.breaks_off(if flag == UPSTREAM_PROTOCOL_ERROR { 502 } else { 503 }, reason))
    }

    /// The upstream took too long.
    pub fn upstream_is_late(&mut self) -> Result<(), Halt> {
        self.stream.flags |= UPSTREAM_REQUEST_TIMEOUT;
        let late = Reply::plain(504, "upstream request timeout", "response_timeout");
        if self.stream.client.is_none() {
            return Err(Halt::Replied(late));
        }
        self.stream.details = Some(late.details());
        Err(Halt::Cut)
    }

    /// The response ends where it is. A client that has nothing of it yet, because a filter holds the head, is
    /// answered past all filters.
    fn breaks_off(&mut self, status: u32, reason: &str) -> Halt {
        let reset = head::reset_in(status, reason, self.stream.attempt);
        if self.stream.response.headers.is_none() {
            return Halt::Replied(reset);
        }
        let details = format!("upstream_reset_after_response_started{{{}}}", reason.replace(' ', "_"));
        if self.stream.client.is_none() {
            return Halt::Replied(Reply { details, ..reset });
        }
        self.stream.details = Some(details);
        Halt::Cut
    }
}
