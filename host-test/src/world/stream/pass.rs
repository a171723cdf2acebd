//! A message from filter to filter. The rules are those of Envoy's `FilterManager`.
//!
//! 1. The answer to a head: on; the head waits and the rest is shown; or all waits.
//! 2. The answer to a piece of body: on, with all that was kept; kept; or dropped. A filter that
//!    keeps the body sees all of it next time; one that only holds its sender back sees the new piece.
//! 3. On, said to the body, takes a waiting head along.
//! 4. Resuming lets on what waits behind the filter: head, body, trailers. From within a callback it takes
//!    effect when that returns, and before its answer does: what it lets on meets the answer no more.
//! 5. A filter that was shown nothing and is resumed meets body and trailers itself. If it keeps the body then, and lets the
//!    trailers on, it is resumed again: the body goes nowhere, and the trailers come to it twice.

use super::{
    Halt, Iteration, Run,
    piece::{count, too_large},
};
use crate::world::{
    Headers, Phase, Side,
    exchange::Half,
    head,
    reply::{Reply, is_grpc},
    wire,
};

impl Run<'_> {
    /// The filter at a place, counted from where the message comes.
    fn seat(&self, side: Side, place: usize) -> usize {
        match side {
            Side::Request => place,
            Side::Response => self.stream.seats.len().saturating_sub(place + 1),
        }
    }

    /// A head begins its way.
    pub fn head(&mut self, side: Side, headers: Headers, end: bool) -> Result<(), Halt> {
        let http2 = self.stream.http2;
        let direction = self.stream.direction(side);
        direction.announced = wire::announced(&wire::head(&headers).headers, http2);
        let code = head::status(&headers);
        direction.headers = Some(headers);
        direction.ended = end;
        if side == Side::Response {
            self.stream.code = code;
        }
        if side == Side::Request {
            self.stream.grpc = self.stream.request.headers.as_ref().is_some_and(is_grpc);
            self.choose_route();
        }
        self.headers_from(side, 0, end)
    }

    /// A piece of body begins its way.
    pub fn body(&mut self, side: Side, data: Vec<u8>, end: bool) -> Result<(), Halt> {
        let direction = self.stream.direction(side);
        direction.ended |= end;
        direction.came += data.len();
        if side == Side::Request {
            self.stream.received += data.len() as u64;
        }
        let passed = self.data_from(side, 0, data, end, false);
        self.broke_off(side, &passed);
        passed
    }

    /// Trailers begin their way.
    pub fn trailers(&mut self, side: Side, trailers: Headers) -> Result<(), Halt> {
        let direction = self.stream.direction(side);
        direction.trailers = Some(trailers);
        direction.ended = true;
        let passed = self.trailers_from(side, 0);
        self.broke_off(side, &passed);
        passed
    }

    fn broke_off(&mut self, side: Side, passed: &Result<(), Halt>) {
        let began = self.stream.upstream.as_ref().is_some_and(|upstream| !upstream.complete);
        self.stream.broken_off |= side == Side::Request && began && passed.is_err();
    }

    fn headers_from(&mut self, side: Side, place: usize, end: bool) -> Result<(), Halt> {
        for place in place..self.stream.seats.len() {
            let seat = self.seat(side, place);
            match side {
                // A head that comes twice finds the context that is there.
                Side::Request if self.takes_part(seat) => {}
                Side::Request => self.begin(seat)?,
                // A filter that the request never reached takes no part in the response.
                Side::Response if !self.takes_part(seat) => continue,
                Side::Response => {}
            }
            if !self.headers_at(side, seat, end)? {
                return Ok(());
            }
        }
        self.head_through(side, end)
    }

    fn takes_part(&self, seat: usize) -> bool {
        self.stream.seats.get(seat).is_some_and(super::Seat::is_live)
    }

    /// The callback for a head; whether it goes on.
    fn headers_at(&mut self, side: Side, seat: usize, end: bool) -> Result<bool, Halt> {
        let lines = self.stream.direction(side).headers.as_ref().map_or(0, |headers| headers.lines().len());
        self.prepare(seat, Phase::Headers(side), end, |half| half.headers_open = true);
        let called = self.call(seat, |filter, id| filter.headers(id, side, count(lines), end));
        let returned = match called {
            Err(halt) if side == Side::Request && self.resumed_first(side, seat) => {
                return Err(self.goes_on_first(seat, halt));
            }
            Err(halt) if side == Side::Response && self.resumed_first(side, seat) => {
                // The head goes on before the stream ends.
                if end || self.stream.http2 && matches!(halt, Halt::Cut) {
                    return Err(self.ended(seat, "proxy_on_response_headers", super::run::RESUMED_FIRST));
                }
                self.resume(side, seat)?;
                return Err(halt);
            }
            called => called?,
        };
        let resumed = self.resumed(side, seat);
        if resumed && side == Side::Response && matches!(returned, 0 | 2) {
            return Err(self.ended(seat, "proxy_on_response_headers", super::run::SENT_TWICE));
        }
        if let Some(pass) = self.pass(side, seat) {
            pass.ended = end;
        }
        if resumed {
            // The head goes on at once. Where the callback lets it on as well, all behind meet it twice.
            self.resume(side, seat)?;
        }
        let head_alone = self.stream.behind.head_alone;
        let Some(pass) = self.pass(side, seat) else { return Ok(true) };
        pass.iteration = match returned {
            // 2 is ContinueAndEndStream, which Envoy takes for Continue.
            0 | 2 => Iteration::Continue,
            1 if head_alone => Iteration::Stopped,
            3 => Iteration::StoppedAll { holds_back: false },
            _ => Iteration::StoppedAll { holds_back: true },
        };
        if pass.iteration != Iteration::Continue {
            return Ok(false);
        }
        pass.head_on = true;
        self.close(side, seat, |half| half.headers_open = false);
        Ok(true)
    }

    /// `kept`: the data is what a filter before kept, and is lost to none that doesn't keep it.
    fn data_from(
        &mut self,
        side: Side,
        place: usize,
        mut data: Vec<u8>,
        mut end: bool,
        kept: bool,
    ) -> Result<(), Halt> {
        if self.is_moot(side) {
            return Ok(());
        }
        let had_trailers = self.stream.direction(side).trailers.is_some();
        // A filter may give a message trailers when its body ends.
        let mut trailers_behind = None;
        for place in place..self.stream.seats.len() {
            let seat = self.seat(side, place);
            if !self.takes_part(seat) {
                continue;
            }
            let Some(pass) = self.pass(side, seat) else { continue };
            if let Iteration::StoppedAll { holds_back } = pass.iteration {
                self.stream.direction(side).streaming = holds_back;
                return self.keep(side, data);
            }
            if pass.ended {
                if kept {
                    // Envoy shows it to nobody any more, and keeps it.
                    self.put_back(side, data);
                }
                return Ok(());
            }
            pass.ended = end;
            let on = self.data_at(side, seat, data, end, kept)?;
            if self.is_over(side) {
                return Ok(());
            }
            let made = !had_trailers && self.stream.direction(side).trailers.is_some();
            match on {
                Some(on) => data = on,
                // Trailers that were made don't wait for the body of a request, but go past it.
                None if made && side == Side::Request => {
                    self.close(side, seat, |half| half.trailers_open = false);
                    return self.trailers_from(side, trailers_behind.unwrap_or(place + 1));
                }
                None => return Ok(()),
            }
            if !had_trailers && trailers_behind.is_none() && self.stream.direction(side).trailers.is_some() {
                self.close(side, seat, |half| half.trailers_open = false);
                (trailers_behind, end) = (Some(place + 1), false);
            }
        }
        self.body_through(side, data, end)?;
        trailers_behind.map_or(Ok(()), |place| self.trailers_from(side, place))
    }

    /// Whether nobody waits any more for what a side says.
    fn is_moot(&self, side: Side) -> bool {
        self.is_over(side) || side == Side::Request && (self.stream.replied || self.stream.response.ended)
    }

    fn is_over(&self, side: Side) -> bool {
        self.stream.ended && !(side == Side::Response && self.stream.shown_behind_end)
    }

    fn trailers_from(&mut self, side: Side, place: usize) -> Result<(), Halt> {
        if self.is_moot(side) {
            return Ok(());
        }
        for place in place..self.stream.seats.len() {
            let seat = self.seat(side, place);
            if !self.takes_part(seat) {
                continue;
            }
            let Some(pass) = self.pass(side, seat) else { continue };
            if matches!(pass.iteration, Iteration::StoppedAll { .. }) {
                return Ok(());
            }
            pass.ended = true;
            let lines = self.stream.direction(side).trailers.as_ref().map_or(0, |lines| lines.lines().len());
            self.prepare(seat, Phase::Trailers(side), true, |half| half.trailers_open = true);
            let called = self.call(seat, |filter, id| filter.trailers(id, side, count(lines)));
            if let Err(halt) = &called
                && side == Side::Response
            {
                let resumed = self.resumed(side, seat);
                if self.resumed_first(side, seat) || resumed && matches!(halt, Halt::Cut) {
                    return Err(self.ended(seat, "proxy_on_response_trailers", super::run::RESUMED_FIRST));
                }
            }
            let returned = match called {
                Err(halt) if side == Side::Request && self.resumed_first(side, seat) => {
                    return Err(self.goes_on_first(seat, halt));
                }
                called => called?,
            };
            let resumed = self.resumed(side, seat);
            if resumed && side == Side::Response && returned == 0 {
                return Err(self.ended(seat, "proxy_on_response_trailers", super::run::SENT_TWICE));
            }
            if resumed {
                self.resume(side, seat)?;
            }
            let Some(pass) = self.pass(side, seat) else { continue };
            let waits = pass.iteration == Iteration::Stopped;
            if returned != 0 {
                pass.iteration = Iteration::Stopped;
                return Ok(());
            }
            self.close(side, seat, |half| half.trailers_open = false);
            if waits {
                return self.resume(side, seat);
            }
        }
        self.trailers_through(side)
    }

    /// Lets on what waits behind a filter: head, body, trailers. Where nothing waits, what was held once
    /// goes on as an empty piece, and trailers go on again.
    pub(super) fn resume(&mut self, side: Side, seat: usize) -> Result<(), Halt> {
        if self.is_moot(side) {
            return Ok(());
        }
        self.let_on(side, seat)
    }

    /// The same, whatever became of the stream meanwhile.
    pub(super) fn let_on(&mut self, side: Side, seat: usize) -> Result<(), Halt> {
        let place = self.seat(side, seat);
        let Some(pass) = self.pass(side, seat) else { return Ok(()) };
        // Resumed again in the middle of that, it meets everything a second time.
        pass.from_here |= matches!(pass.iteration, Iteration::StoppedAll { .. });
        let shown_nothing = pass.from_here;
        pass.iteration = Iteration::Continue;
        let head_waits = !std::mem::replace(&mut pass.head_on, true);
        // A filter that was shown nothing is shown now what came meanwhile.
        let from = if shown_nothing { place } else { place + 1 };
        if head_waits {
            let direction = self.stream.direction(side);
            let end = direction.ended && direction.buffered.is_none() && direction.trailers.is_none();
            self.headers_from(side, place + 1, end)?;
        }
        let direction = self.stream.direction(side);
        let (ended, has_trailers) = (direction.ended, direction.trailers.is_some());
        if let Some(data) = direction.buffered.as_mut().map(std::mem::take) {
            self.data_from(side, from, data, ended && !has_trailers, true)?;
        }
        if has_trailers {
            self.trailers_from(side, from)?;
        }
        if let Some(pass) = self.pass(side, seat) {
            pass.from_here = false;
        }
        Ok(())
    }

    /// Adds to what is held; above the limit the message is given up.
    pub(super) fn keep(&mut self, side: Side, data: Vec<u8>) -> Result<(), Halt> {
        self.put_back(side, data);
        let limit = self.stream.behind.buffer_limit;
        let answered = self.stream.client.is_some();
        let direction = self.stream.direction(side);
        let held = direction.buffered.as_ref().map_or(0, Vec::len);
        match side {
            _ if held <= limit || direction.streaming => Ok(()),
            Side::Request => Err(Halt::Replied(too_large())),
            Side::Response if answered => {
                self.stream.details = Some("response_payload_too_large".into());
                Err(Halt::Cut)
            }
            Side::Response => {
                Err(Halt::Replied(Reply::plain(500, "Internal Server Error", "response_payload_too_large")))
            }
        }
    }

    pub(super) fn put_back(&mut self, side: Side, data: Vec<u8>) {
        self.stream.direction(side).buffered.get_or_insert_default().extend(data);
    }

    /// What a filter resumed of a request goes on before its reply or its close takes effect.
    pub(super) fn goes_on_first(&mut self, seat: usize, halt: Halt) -> Halt {
        let reached = self.stream.upstream.is_some();
        let passed = self.resume(Side::Request, seat);
        if !reached && !self.stream.connected {
            // It ended before there was a connection.
            self.stream.upstream = None;
        }
        // Whoever replied on the way was first.
        passed.err().unwrap_or(halt)
    }

    /// Whether the filter resumed the message in its callback before it replied or closed.
    pub(super) fn resumed_first(&self, side: Side, seat: usize) -> bool {
        let Some(seat) = self.stream.seats.get(seat) else { return false };
        let mut exchange = seat.exchange.borrow_mut();
        let [request, response] = std::mem::take(&mut exchange.resumed_first);
        let first = if side == Side::Request { request } else { response };
        if first {
            exchange.take_resumed(side);
        }
        first
    }

    pub(super) fn resumed(&self, side: Side, seat: usize) -> bool {
        self.stream.seats.get(seat).is_some_and(|seat| seat.exchange.borrow_mut().take_resumed(side))
    }

    pub(super) fn close(&self, side: Side, seat: usize, change: impl FnOnce(&mut Half)) {
        if let Some(seat) = self.stream.seats.get(seat) {
            change(seat.exchange.borrow_mut().half_mut(side));
        }
    }

    /// What the filter finds when its next callback begins.
    pub(super) fn prepare(&self, seat: usize, phase: Phase, end: bool, change: impl FnOnce(&mut Half)) {
        let Some(seat) = self.stream.seats.get(seat) else { return };
        let mut exchange = seat.exchange.borrow_mut();
        exchange.phase = phase;
        // Trailers leave it as the last piece did.
        if !matches!(phase, Phase::Trailers(_)) {
            exchange.end_of_stream = end;
        }
        if let Phase::Headers(side) | Phase::Body(side) | Phase::Trailers(side) = phase {
            change(exchange.half_mut(side));
        }
    }
}
