//! Who leaves before all is said: what Envoy calls it, and what the client sees of it.
//!
//! Over HTTP/1 whoever leaves closes the connection, over HTTP/2 the stream is reset.

use super::{Halt, Run};
use crate::{envoy::versions, world::head};

/// Bits of `response.flags`: the places of Envoy's `CoreResponseFlag`.
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
        if self.stream.response.headers.is_some() {
            self.stream.details = Some("upstream_reset_after_response_started{protocol_error}".into());
            return Err(Halt::Cut);
        }
        Err(Halt::Replied(head::reset_in(502, "protocol error", self.stream.attempt)))
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
        if self.stream.response.headers.is_some() {
            self.stream.details = Some("upstream_reset_after_response_started{connection_termination}".into());
            return Err(Halt::Cut);
        }
        Err(Halt::Replied(head::reset_in(503, "connection termination", self.stream.attempt)))
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
        let named = reason.replace(' ', "_");
        if started {
            self.stream.details = Some(format!("upstream_reset_after_response_started{{{named}}}"));
            return Err(Halt::Cut);
        }
        Err(Halt::Replied(head::reset_in(503, reason, self.stream.attempt)))
    }
}
