//! A message from filter to filter. The rules are those of Envoy's `FilterManager`.
//!
//! 1. The answer to a head: on; the head waits and the rest is shown; or all waits.
//! 2. The answer to a piece of body: on, with all that was kept; kept; or dropped. A filter that
//!    keeps the body sees all of it next time; one that only holds its sender back sees the new piece.
//! 3. On, said to the body, takes a waiting head along.
//! 4. Resuming lets on what waits behind the filter: head, body, trailers. From within a callback it takes
//!    effect when that returns, and before its answer does: what it lets on meets the answer no more.

use super::{Halt, Iteration, Run};
use crate::world::{
    Headers, Phase, Side,
    exchange::{Half, Piece},
    reply::Reply,
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
        let direction = self.stream.direction(side);
        direction.announced = wire::announced(&wire::head(&headers).headers);
        direction.headers = Some(headers);
        direction.ended = end;
        if side == Side::Request {
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
        let returned = self.call(seat, |filter, id| filter.headers(id, side, count(lines), end))?;
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
                return Ok(());
            }
            pass.ended = end;
            let on = self.data_at(side, seat, data, end, kept)?;
            if self.stream.ended {
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

    /// The callback for a piece of body; what goes on behind it, if anything does.
    fn data_at(
        &mut self,
        side: Side,
        seat: usize,
        data: Vec<u8>,
        end: bool,
        kept: bool,
    ) -> Result<Option<Vec<u8>>, Halt> {
        let buffering = self.pass(side, seat).is_some_and(|pass| pass.buffering);
        let mut over = None;
        let in_hand = if buffering {
            match (self.keep(side, data), side) {
                (Ok(()), _) => {}
                // The answer of Envoy's own waits for the end of the callback, which comes all the same.
                (Err(Halt::Replied(answer)), Side::Request) => over = Some(answer),
                (Err(halt), _) => return Err(halt),
            }
            self.stream.direction(side).buffered.as_mut().map(std::mem::take).unwrap_or_default()
        } else {
            data
        };
        let size = in_hand.len();
        if let Some(pass) = self.pass(side, seat) {
            // What is in hand is given to the filter here, and not lent.
            pass.buffering = false;
        }
        let piece = if buffering { Piece::Kept } else { Piece::InHand };
        self.prepare(seat, Phase::Body(side), end, |half| (half.body, half.piece) = (Some(in_hand), piece));
        // Who replies or closes keeps the body within reach, to the end of the stream.
        let called = self.call(seat, |filter, id| filter.body(id, side, count(size), end));
        if side == Side::Request && buffering && over.is_none() {
            over = self.grown_over(seat);
        }
        let returned = match (called, over) {
            // The first answer wins, and the last one's details.
            (Err(Halt::Replied(reply)), Some(answer)) => {
                self.drop_kept(side, seat, buffering);
                return Err(Halt::Replied(Reply { details: reply.details, ..answer }));
            }
            (Err(halt), _) => {
                if matches!(halt, Halt::Replied(_)) {
                    self.drop_kept(side, seat, buffering);
                }
                return Err(halt);
            }
            (Ok(_), Some(answer)) => return Err(Halt::Replied(answer)),
            (Ok(returned), None) => returned,
        };
        let (mut data, resumed) = (self.take_body(side, seat), self.resumed(side, seat));
        // Where the filter kept the body, what came is with the rest by now.
        let mut in_buffer = kept || buffering;
        if resumed {
            if in_buffer {
                self.put_back(side, std::mem::take(&mut data));
                in_buffer = kept;
            }
            self.resume(side, seat)?;
            let to_client = side == Side::Response && !self.stream.seats.iter().take(seat).any(super::Seat::is_live);
            if self.stream.ended && to_client && returned == 0 {
                return Err(self.ended(seat, "proxy_on_response_body", super::run::SENT_TWICE));
            }
        }
        self.leave(side, seat, returned, end);
        let Some(pass) = self.pass(side, seat) else { return Ok(Some(data)) };
        match returned {
            0 if pass.iteration == Iteration::Continue => return Ok(Some(data)),
            0 => {
                self.put_back(side, data);
                self.resume(side, seat)?;
            }
            1 => {
                (pass.iteration, pass.buffering) = (Iteration::Stopped, true);
                self.stream.direction(side).streaming = false;
                self.keep(side, data)?;
            }
            2 => {
                pass.iteration = Iteration::Stopped;
                self.stream.direction(side).streaming = true;
                self.keep(side, data)?;
            }
            _ => {
                pass.iteration = Iteration::Stopped;
                if in_buffer {
                    self.put_back(side, data);
                }
                let direction = self.stream.direction(side);
                // The end is remembered, so that resuming sends it on.
                if direction.ended && direction.trailers.is_none() {
                    direction.buffered.get_or_insert_default();
                }
            }
        }
        Ok(None)
    }

    /// Envoy's own answer where a filter has made what it keeps of a request too long.
    fn grown_over(&self, seat: usize) -> Option<Reply> {
        let exchange = self.stream.seats.get(seat)?.exchange.borrow();
        let held = exchange.request.body.as_ref().map_or(0, Vec::len);
        (held > self.stream.behind.buffer_limit && !self.stream.request.streaming).then(too_large)
    }

    /// A reply to a request gives up what the filter kept, and leaves it the piece that came, which is empty by
    /// then.
    fn drop_kept(&self, side: Side, seat: usize, buffering: bool) {
        if side == Side::Request && buffering {
            self.close(side, seat, |half| (half.body, half.piece) = (Some(Vec::new()), Piece::Left));
        }
    }

    /// What is left of a piece behind its callback. Envoy keeps a pointer to it unless the filter lets it on;
    /// over HTTP/1 the end of a body lies on the stack, and a response is gone with its upstream.
    fn leave(&self, side: Side, seat: usize, returned: u32, end: bool) {
        let gone = end && (side == Side::Response || !self.stream.http2);
        self.close(side, seat, |half| {
            half.piece = match returned {
                0 => Piece::None,
                _ if half.piece == Piece::None => Piece::None,
                1 => Piece::Kept,
                _ if gone => Piece::Gone,
                _ => Piece::Left,
            };
            if half.piece == Piece::Left {
                half.body = Some(Vec::new());
            }
        });
    }

    /// Whether nobody waits any more for what a side says.
    fn is_moot(&self, side: Side) -> bool {
        self.stream.ended || side == Side::Request && (self.stream.replied || self.stream.response.ended)
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
            let returned = self.call(seat, |filter, id| filter.trailers(id, side, count(lines)))?;
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
        let place = self.seat(side, seat);
        let Some(pass) = self.pass(side, seat) else { return Ok(()) };
        let shown_nothing = matches!(pass.iteration, Iteration::StoppedAll { .. });
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
        Ok(())
    }

    /// Adds to what is held; above the limit the message is given up.
    fn keep(&mut self, side: Side, data: Vec<u8>) -> Result<(), Halt> {
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

    fn put_back(&mut self, side: Side, data: Vec<u8>) {
        self.stream.direction(side).buffered.get_or_insert_default().extend(data);
    }

    fn resumed(&self, side: Side, seat: usize) -> bool {
        self.stream.seats.get(seat).is_some_and(|seat| seat.exchange.borrow_mut().take_resumed(side))
    }

    fn take_body(&self, side: Side, seat: usize) -> Vec<u8> {
        let Some(seat) = self.stream.seats.get(seat) else { return Vec::new() };
        let mut exchange = seat.exchange.borrow_mut();
        let half = exchange.half_mut(side);
        half.body.take().or(half.out_of_reach.take()).unwrap_or_default()
    }

    fn close(&self, side: Side, seat: usize, change: impl FnOnce(&mut Half)) {
        if let Some(seat) = self.stream.seats.get(seat) {
            change(seat.exchange.borrow_mut().half_mut(side));
        }
    }

    /// What the filter finds when its next callback begins.
    fn prepare(&self, seat: usize, phase: Phase, end: bool, change: impl FnOnce(&mut Half)) {
        let Some(seat) = self.stream.seats.get(seat) else { return };
        let mut exchange = seat.exchange.borrow_mut();
        exchange.phase = phase;
        exchange.end_of_stream = end;
        if let Phase::Headers(side) | Phase::Body(side) | Phase::Trailers(side) = phase {
            change(exchange.half_mut(side));
        }
    }
}

fn too_large() -> Reply {
    Reply::plain(413, "Payload Too Large", "request_payload_too_large")
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
