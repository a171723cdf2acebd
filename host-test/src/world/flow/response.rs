//! A response on its way to the client: the upstream's, a reply, or one that bypasses the filter.

use super::{
    Halt, Schedule, Stream,
    request::{has, pieces},
};
use crate::{
    outcome::Message,
    scenario::Response,
    world::{Headers, Side, head, reply::Reply, wire},
};

impl Stream<'_> {
    /// The upstream's response.
    pub(super) fn response(&mut self) -> Result<(), Halt> {
        let default = Response::default();
        let response = self.step.response.as_ref().unwrap_or(&default);
        let http2 = self.exchange.borrow().http2;
        let mut body = Schedule {
            pieces: pieces(response.body.as_ref(), self.cut),
            body: has(response.body.as_ref()),
            trailers: Headers::trailers(Side::Response),
            http2,
        };
        response.trailers.0.iter().for_each(|(name, value)| body.trailers.add(name.as_bytes(), &value.0));
        if self.step.request.method == "HEAD" || matches!(response.status, 204 | 304) {
            (body.pieces, body.body, body.trailers) = (Vec::new(), false, Headers::trailers(Side::Response));
        }
        self.exchange.borrow_mut().details = Some("via_upstream".into());
        self.through(wire::response(response, http2), &body)
    }

    /// A reply that passes the filter's response callbacks, its body in one piece.
    pub(super) fn replied(&mut self, reply: Reply) -> Result<(), Halt> {
        let details = reply.details();
        let (headers, body) = {
            let mut exchange = self.exchange.borrow_mut();
            exchange.details = Some(details);
            exchange.request.body = None;
            reply.into_response(exchange.request.headers.as_ref())
        };
        let bodiless = body.is_empty() || self.step.request.method == "HEAD";
        let pieces = if bodiless { Vec::new() } else { vec![body] };
        // Within Envoy a reply is no HTTP/1 message: its only piece ends it.
        self.through(
            headers,
            &Schedule { pieces, body: !bodiless, trailers: Headers::trailers(Side::Response), http2: true },
        )
    }

    /// A reply that goes to the client past all filters.
    pub(super) fn direct(&mut self, reply: Reply) {
        let mut exchange = self.exchange.borrow_mut();
        exchange.details = Some(reply.details());
        let (headers, body) = reply.into_response(exchange.request.headers.as_ref());
        let mut message = wire::head(&headers);
        exchange.response.headers = Some(headers);
        if self.step.request.method != "HEAD" {
            message.body = body;
        }
        message.complete = true;
        self.client = Some(message);
    }

    fn through(&mut self, headers: Headers, body: &Schedule) -> Result<(), Halt> {
        self.exchange.borrow_mut().response.headers = Some(headers);
        self.message(Side::Response, body)
    }

    /// Envoy sends no head without a status.
    pub(super) fn towards_client(&mut self) -> Result<(), Halt> {
        let headers = self.exchange.borrow().response.headers.clone().unwrap_or_default();
        let Some(status) = head::status(&headers) else {
            return Err(Halt::Replied(Reply::plain(502, "missing required header: :status", "missing_status")));
        };
        self.client = Some(Message { start: status.to_string(), ..wire::head(&headers) });
        Ok(())
    }
}
