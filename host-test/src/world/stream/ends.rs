//! What stands at both ends of the filters: the router before the upstream, the client.

use super::{Halt, Run};
use crate::{
    outcome::Message,
    world::{
        Headers, Side, head,
        heard::{self, Lines},
        reply::Reply,
        wire::{self, Length},
    },
};

const CONNECTS: &str = "a filter made the request an extended CONNECT, behind which Envoy and its upstream speak something else; this \
                        host doesn't play that: run the scenario in Envoy";

/// What a filter tells Envoy's router of attempts and time-outs; each begins with `x-envoy-`.
#[rustfmt::skip]
const TOLD_TO_ROUTER: [&str; 11] = [
    "hedge-on-per-try-timeout", "max-retries", "retriable-header-names", "retriable-status-codes", "retry-grpc-on",
    "retry-on", "upstream-alt-stat-name", "upstream-rq-per-try-timeout-ms", "upstream-rq-timeout-alt-response",
    "upstream-rq-timeout-ms", "upstream-stream-duration-ms",
];

impl Run<'_> {
    /// A head that passed all filters.
    pub(super) fn head_through(&mut self, side: Side, end: bool) -> Result<(), Halt> {
        match side {
            Side::Request => {
                self.behind()?;
                let headers = self.stream.request.headers.as_ref();
                let of = |is: &dyn Fn(&Headers) -> bool| !self.stream.http2 && headers.is_some_and(is);
                let (misframed, unframed) =
                    (of(&|headers| head::is_misframed(headers, end)), of(&|headers| head::is_upgrade(headers)));
                (self.stream.request.misframed, self.stream.request.unframed) = (misframed, unframed);
            }
            Side::Response => self.towards_client()?,
        }
        if self.is_refused_at_once(side) || end && self.is_refused(side, 0, true) {
            let direction = self.stream.direction(side);
            (direction.refused, direction.unheard) = (true, true);
        }
        if end {
            self.complete(side);
        }
        Ok(())
    }

    pub(super) fn body_through(&mut self, side: Side, data: Vec<u8>, end: bool) -> Result<(), Halt> {
        if side == Side::Response {
            self.stream.sent += data.len() as u64;
        }
        self.stream.direction(side).went += data.len();
        let direction = self.stream.direction(side);
        let misframed = direction.misframed || direction.unframed;
        if !self.is_refused(side, data.len(), end)
            && !misframed
            && let Some(message) = self.receiver(side).filter(|message| !message.complete)
        {
            message.body.extend(data);
        }
        if end {
            self.complete(side);
        }
        Ok(())
    }

    pub(super) fn trailers_through(&mut self, side: Side) -> Result<(), Halt> {
        let trailers = self.stream.direction(side).trailers.as_ref().map(wire::trailers).unwrap_or_default();
        let trailers = match self.read_trailers(side, trailers) {
            Some(trailers) => trailers,
            None => {
                self.stream.direction(side).refused = true;
                Vec::new()
            }
        };
        if !self.is_refused(side, 0, true)
            && let Some(message) = self.receiver(side)
        {
            message.trailers = trailers;
        }
        self.complete(side);
        Ok(())
    }

    /// Whether the receiver makes nothing of the head that it has just got.
    fn is_refused_at_once(&mut self, side: Side) -> bool {
        let http2 = self.stream.http2;
        if !http2 && side == Side::Response {
            // A client of HTTP/1 makes up its mind behind the end (`heard`).
            return false;
        }
        let bodiless = side == Side::Response && self.stream.head_request;
        let headers = self.stream.request.headers.as_ref();
        if side == Side::Request {
            let reset = headers.filter(|_| http2).and_then(head::reset_over_http2);
            self.stream.request.reset = self.stream.request.reset.take().or(reset);
            if self.stream.request.reset.is_some() {
                return true;
            }
        }
        let Some(message) = self.receiver(side) else { return false };
        let wrong = !bodiless && wire::length(&message.headers, http2) == Length::Wrong;
        let refused = wrong || side == Side::Response && !heard::is_head_of_http2(message);
        self.stream.direction(side).hung_up |= refused && !http2;
        refused
    }

    /// Trailers as the receiver reads them; `None` where it can't.
    fn read_trailers(&mut self, side: Side, lines: Lines) -> Option<Lines> {
        if !self.stream.http2 {
            // Those of a response it reads behind its end, with the rest.
            let read = if side == Side::Request { heard::split(&lines) } else { Some((lines, None)) };
            self.stream.direction(side).hung_up |= read.is_none();
            return read.map(|(lines, _)| lines);
        }
        let read = heard::trailers_of_http2(lines);
        self.stream.direction(side).hung_up |= read == Err(heard::Unread::Illegible);
        read.ok()
    }

    /// Whether the receiver takes the message for broken, from here on: over HTTP/2 the length that is announced
    /// is that of the body. Where a head is all that is asked for it isn't.
    fn is_refused(&mut self, side: Side, more: usize, end: bool) -> bool {
        let bodiless = |message: &Message| matches!(&*message.start, "204" | "304");
        let headless =
            side == Side::Response && (self.stream.head_request || self.stream.client.as_ref().is_some_and(bodiless));
        let http2 = self.stream.http2 && !headless;
        let breaks = http2 && self.receiver(side).is_some_and(|message| wire::breaks(message, more, end));
        if breaks {
            self.look_at_length(side);
        }
        let direction = self.stream.direction(side);
        direction.refused |= breaks;
        direction.refused
    }

    /// A length that was right when the message came, and no longer is.
    fn look_at_length(&mut self, side: Side) {
        let http2 = self.stream.http2;
        let direction = self.stream.direction(side);
        let was_right = direction.announced.is_none_or(|announced| !direction.ended || announced == direction.came);
        let went = direction.went;
        let announced = self.receiver(side).and_then(|message| wire::announced(&message.headers, http2));
        if let Some(announced) = announced.filter(|announced| was_right && *announced != went) {
            let message = if side == Side::Request { "request" } else { "response" };
            let told = format!(
                "the body of the {message} was edited and its content-length left: it says {announced}, and {went} \
                 bytes went on; remove it, or write the new length"
            );
            self.world.borrow_mut().noticed.push(told);
        }
    }

    /// The connection manager chooses a route before the filters, and the router once more behind them.
    /// What a filter changes in between chooses none: it reads the route of before.
    pub(super) fn choose_route(&mut self) {
        let world = self.world.borrow();
        let headers = self.stream.request.headers.as_ref();
        let path = headers.and_then(|headers| headers.get(b":path"));
        self.stream.by_path =
            path.and_then(|path| world.given.routes.iter().position(|route| path.starts_with(route.prefix.as_bytes())));
        self.stream.routed = headers.is_some_and(head::has_route);
        self.stream.hosted |= self.stream.routed;
    }

    /// A later filter changes the route or replies; else the router begins the upstream's request.
    fn behind(&mut self) -> Result<(), Halt> {
        self.stream.rerouted = true;
        self.choose_route();
        if let Some(reply) = &self.stream.behind.reply {
            return Err(Halt::Replied(reply.clone()));
        }
        let headers = self.stream.request.headers.clone().unwrap_or_default();
        let refusal = head::refusal(&headers);
        // Once there is a connection, what can't be written is found out.
        let at_once =
            refusal.as_ref().is_some_and(|refusal| !head::is_unwritable(refusal)) || self.world.borrow().connected;
        if let Some(refusal) = refusal.as_ref().filter(|_| at_once) {
            return Err(Halt::Replied(refusal.clone()));
        }
        if refusal.is_none() && headers.get(b":method") == Some(b"CONNECT") {
            self.world.borrow_mut().fatal.push(CONNECTS.into());
        }
        let told = TOLD_TO_ROUTER.iter().map(|name| format!("x-envoy-{name}"));
        for name in told.filter(|name| headers.get(name.as_bytes()).is_some()) {
            self.world.borrow_mut().fatal.push(format!(
                "a filter tells Envoy's router what to do by `{name}`, which this host doesn't play: run the scenario in Envoy, or \
                 say it by `given: {{retries: ...}}`"
            ));
        }
        self.stream.count();
        self.stream.connected = self.world.borrow().connected;
        let headers = self.stream.request.headers.clone().unwrap_or_default();
        let request = &mut self.stream.request;
        (request.refused, request.unheard, request.hung_up, request.reset) = (false, false, false, refusal);
        let mut message = wire::head(&headers);
        if self.stream.http2 {
            // Its peer takes no fragment for a part of the path.
            if let Some(fragment) = message.start.find('#') {
                message.start.truncate(fragment);
                if message.start.ends_with(' ') {
                    message.start.push('/');
                }
            }
        } else {
            // Its peer reads them so.
            message.headers.iter_mut().for_each(|(_, value)| *value = wire::without_blanks(value).to_vec());
        }
        let earlier = self.stream.upstream.replace(message);
        self.stream.upstream_before.extend(earlier);
        Ok(())
    }

    /// Envoy sends no head without a status.
    fn towards_client(&mut self) -> Result<(), Halt> {
        let mut headers = self.stream.response.headers.take().unwrap_or_default();
        let status = head::status(&headers);
        if let Some(status) = status {
            wire::sanitise_response(&mut headers, self.stream.http2);
            // Over HTTP/2 it goes as it is written.
            let head = wire::head(&headers);
            let start = if self.stream.http2 { head.start.clone() } else { status.to_string() };
            self.stream.client = Some(Message { start, ..head });
            self.stream.unsent = self.stream.http2 && self.stream.dispatching;
            self.stream.code = Some(status);
            self.date(&mut headers);
        }
        self.stream.response.headers = Some(headers);
        match status {
            Some(_) => Ok(()),
            None => Err(Halt::Replied(Reply::plain(502, "missing required header: :status", "missing_status"))),
        }
    }

    /// A head that goes to the client is written to the access log with what Envoy adds.
    pub(super) fn date(&self, headers: &mut Headers) {
        let now = self.world.borrow().clock.now();
        wire::dated(headers, now, !self.stream.http2 && !self.stream.request.ended);
    }

    fn complete(&mut self, side: Side) {
        let direction = self.stream.direction(side);
        let refused = direction.refused || direction.misframed;
        self.look_at_length(side);
        if let Some(message) = self.receiver(side) {
            message.complete = !refused;
        }
        if side == Side::Response {
            self.end();
        } else {
            self.stream.asked_at = Some(self.world.borrow().clock.now());
        }
    }

    fn receiver(&mut self, side: Side) -> Option<&mut Message> {
        match side {
            Side::Request => self.stream.upstream.as_mut(),
            Side::Response => self.stream.client.as_mut(),
        }
    }
}
