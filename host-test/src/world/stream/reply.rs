//! A response that somebody in the chain gives in the upstream's place.

use super::{Halt, Run};
use crate::world::{
    Headers, Side,
    reply::{Reply, is_grpc},
    wire,
};

impl Run<'_> {
    pub(super) fn reply(&mut self, reply: Reply) -> Result<(), Halt> {
        if self.stream.ended {
            return Ok(());
        }
        if self.stream.client.is_some() {
            // Too late to say anything else.
            self.stream.details = Some(reply.details());
            self.drop_unsent();
            self.end();
            return Ok(());
        }
        if self.stream.response.headers.is_some() {
            self.direct(reply);
            return Ok(());
        }
        self.stream.details = Some(reply.details());
        self.stream.replied = true;
        let (headers, body) = reply.into_response(self.stream.grpc);
        let bodiless = body.is_empty() || self.stream.head_request;
        if let Err(halt) = self.head(Side::Response, headers, bodiless) {
            // While the client's bytes are worked off the stream isn't taken apart.
            let shown = self.stream.dispatching && self.stream.http2 && self.stream.request.ended && !bodiless;
            if matches!(halt, Halt::Replied(_)) && shown {
                self.show_replaced(body);
            }
            return Err(halt);
        }
        // Within Envoy a reply is no HTTP/1 message: its only piece ends it.
        if bodiless { Ok(()) } else { self.body(Side::Response, body, true) }
    }

    /// A reply was replied to by a filter that it passed, and those that it had passed before see its body all the same.
    fn show_replaced(&mut self, mut body: Vec<u8>) {
        for seat in (0..self.stream.seats.len()).rev() {
            let passed = self.stream.seats.get(seat).is_some_and(|seat| seat.is_live() && seat.response.head_on);
            if !passed {
                if self.stream.seats.get(seat).is_some_and(super::Seat::is_live) {
                    return;
                }
                continue;
            }
            match self.data_at(Side::Response, seat, body, true, false) {
                Ok(Some(on)) => body = on,
                _ => return,
            }
        }
    }

    /// A filter replied and closed the stream as well: Envoy ends the stream first, and then shows every
    /// filter the head of a reply that nobody gets.
    pub(super) fn abandon(&mut self, reply: Reply) {
        let seats: Vec<_> =
            self.stream.seats.iter().rev().filter_map(|seat| Some((seat.id?, seat.root.clone()?))).collect();
        self.stream.details = Some(String::new());
        self.end();
        let (headers, body) = reply.into_response(self.stream.grpc);
        let lines = u32::try_from(headers.lines().len()).unwrap_or(u32::MAX);
        let bodiless = body.is_empty() || self.stream.head_request;
        for (id, root) in seats {
            if let Some(Err(trap)) = root.call(|filter| filter.headers(id, Side::Response, lines, bodiless)) {
                root.vm.trapped(self.world, &trap);
            }
        }
    }

    /// The request is refused before any filter saw it; `known` is what is known of its head.
    pub fn refuse(&mut self, known: Option<Headers>, reply: Reply) {
        self.stream.hosted = known.is_some();
        self.stream.grpc = known.as_ref().is_some_and(is_grpc);
        self.stream.request.headers = known;
        self.direct(reply);
    }

    /// The same where the head is known as filters would see it, and its route.
    pub fn reject(&mut self, head: Headers, reply: Reply) {
        self.stream.request.headers = Some(head);
        self.choose_route();
        let known = self.stream.request.headers.take();
        self.refuse(known, reply);
    }

    /// A reply that goes to the client past all filters.
    fn direct(&mut self, reply: Reply) {
        self.stream.details = Some(reply.details());
        self.stream.code = Some(u64::from(reply.status));
        let (mut headers, body) = reply.into_response(self.stream.grpc);
        wire::sanitise_response(&mut headers, self.stream.http2);
        let mut message = wire::head(&headers);
        self.date(&mut headers);
        if let Some(replaced) = self.stream.response.headers.replace(headers) {
            for seat in &self.stream.seats {
                let mut exchange = seat.exchange.borrow_mut();
                exchange.response.replaced = exchange.response.headers_open.then(|| replaced.clone());
            }
        }
        if !self.stream.head_request {
            self.stream.sent += body.len() as u64;
            message.body = body;
        }
        message.complete = true;
        self.stream.client = Some(message);
        self.end();
    }
}
