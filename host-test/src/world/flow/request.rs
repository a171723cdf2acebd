//! A request on its way to the upstream, and what stands behind the filter.

use super::{Halt, Schedule, Stream};
use crate::{
    scenario::Body,
    world::{Headers, Side, head, wire},
};

impl Stream<'_> {
    pub(super) fn request(&mut self) -> Result<(), Halt> {
        let request = &self.step.request;
        let http2 = self.exchange.borrow().http2;
        let mut trailers = Headers::trailers(Side::Request);
        request.trailers.0.iter().for_each(|(name, value)| trailers.add(name.as_bytes(), &value.0));
        let body = Schedule {
            pieces: pieces(request.body.as_ref(), self.cut),
            body: has(request.body.as_ref()),
            trailers,
            http2,
        };
        self.exchange.borrow_mut().request.headers = Some(wire::request(request, http2));
        self.message(Side::Request, &body)
    }

    /// A later filter changes the route or replies; else the router begins the upstream's request.
    pub(super) fn behind(&mut self) -> Result<(), Halt> {
        self.exchange.borrow_mut().rerouted = true;
        let headers = self.exchange.borrow().request.headers.clone().unwrap_or_default();
        if let Some(reply) = &self.step.reply {
            return Err(Halt::Replied(wire::later(reply)));
        }
        let http2 = self.exchange.borrow().http2;
        if let Some(refusal) = head::refusal(&headers, http2) {
            return Err(Halt::Replied(refusal));
        }
        self.upstream = Some(wire::upstream(&headers, &self.step.request));
        Ok(())
    }
}

/// Whether a message with this body says more than its head: an empty text is sent as
/// `content-length: 0`, which ends with the head; an empty list of chunks doesn't.
pub(super) fn has(body: Option<&Body>) -> bool {
    body.is_some_and(|body| matches!(body, Body::Chunks(_)) || !body.pieces().is_empty())
}

pub(super) fn pieces(body: Option<&Body>, cut: crate::outcome::Cut) -> Vec<Vec<u8>> {
    body.map(|body| cut.pieces(body.pieces())).unwrap_or_default()
}
