//! A message from filter to filter. The rules are those of Envoy's `FilterManager`.
//!
//! 1. The answer to a head: on; the head waits and the rest is shown; or all waits.
//! 2. The answer to a piece of body: on, with all that was kept; kept; or dropped. A filter that
//!    keeps the body sees all of it next time; one that only holds its sender back sees the new piece.
//! 3. On, said to the body, takes a waiting head along.
//! 4. Resuming lets on what waits behind the filter: head, body, trailers.

use super::{Halt, Iteration, Run};
use crate::world::{Headers, Phase, Side, exchange::Half, reply::Reply};

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
        direction.headers = Some(headers);
        direction.ended = end;
        if side == Side::Request {
            self.choose_route();
        }
        self.headers_from(side, 0, end)
    }

    /// A piece of body begins its way.
    pub fn body(&mut self, side: Side, data: Vec<u8>, end: bool) -> Result<(), Halt> {
        self.stream.direction(side).ended |= end;
        if side == Side::Request {
            self.stream.received += data.len() as u64;
        }
        self.data_from(side, 0, data, end, false)
    }

    /// Trailers begin their way.
    pub fn trailers(&mut self, side: Side, trailers: Headers) -> Result<(), Halt> {
        let direction = self.stream.direction(side);
        direction.trailers = Some(trailers);
        direction.ended = true;
        self.trailers_from(side, 0)
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
        let head_alone = self.stream.behind.head_alone;
        let Some(pass) = self.pass(side, seat) else { return Ok(true) };
        pass.ended = end;
        let holds_sender_back = returned != 3;
        pass.iteration = match returned {
            // 2 is ContinueAndEndStream, which Envoy takes for Continue.
            0 | 2 => Iteration::Continue,
            _ if resumed => Iteration::Continue,
            1 if head_alone => Iteration::Stopped,
            _ => Iteration::StoppedAll,
        };
        if pass.iteration != Iteration::Continue {
            self.stream.direction(side).streaming = holds_sender_back;
            return Ok(false);
        }
        let first = !std::mem::replace(&mut pass.head_on, true);
        self.close(side, seat, |half| half.headers_open = false);
        if resumed && first && returned == 0 && side == Side::Request && end {
            // Resuming sends it on at once, and so does the answer: everything behind meets it twice.
            self.headers_from(side, seat + 1, end)?;
        }
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
        let had_trailers = self.stream.direction(side).trailers.is_some();
        // A filter may give a message trailers when its body ends.
        let mut trailers_behind = None;
        for place in place..self.stream.seats.len() {
            let seat = self.seat(side, place);
            if !self.takes_part(seat) {
                continue;
            }
            let Some(pass) = self.pass(side, seat) else { continue };
            if pass.iteration == Iteration::StoppedAll {
                return self.keep(side, data);
            }
            if pass.ended {
                return Ok(());
            }
            pass.ended = end;
            match self.data_at(side, seat, data, end, kept)? {
                Some(on) => data = on,
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
        let in_hand = if buffering {
            self.keep(side, data)?;
            self.stream.direction(side).buffered.take().unwrap_or_default()
        } else {
            data
        };
        let size = in_hand.len();
        if let Some(pass) = self.pass(side, seat) {
            // What is in hand is given to the filter here, and not lent.
            pass.buffering = false;
        }
        self.prepare(seat, Phase::Body(side), end, |half| half.body = Some(in_hand));
        let returned = self.call(seat, |filter, id| filter.body(id, side, count(size), end));
        let data = self.take_body(side, seat);
        let (returned, resumed) = (returned?, self.resumed(side, seat));
        let Some(pass) = self.pass(side, seat) else { return Ok(Some(data)) };
        match returned {
            0 if pass.iteration == Iteration::Continue => return Ok(Some(data)),
            0 => {
                self.put_back(side, data);
                self.resume(side, seat)?;
            }
            _ if resumed => {
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
                if kept {
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

    fn trailers_from(&mut self, side: Side, place: usize) -> Result<(), Halt> {
        for place in place..self.stream.seats.len() {
            let seat = self.seat(side, place);
            if !self.takes_part(seat) {
                continue;
            }
            let Some(pass) = self.pass(side, seat) else { continue };
            if pass.iteration == Iteration::StoppedAll {
                return Ok(());
            }
            pass.ended = true;
            let waiting = pass.iteration == Iteration::Stopped;
            let lines = self.stream.direction(side).trailers.as_ref().map_or(0, |lines| lines.lines().len());
            self.prepare(seat, Phase::Trailers(side), true, |half| half.trailers_open = true);
            let returned = self.call(seat, |filter, id| filter.trailers(id, side, count(lines)))?;
            let resumed = self.resumed(side, seat);
            if resumed && side == Side::Response && returned == 0 {
                return Err(self.ended(seat, "proxy_on_response_trailers", super::run::SENT_TWICE));
            }
            if returned != 0 && !resumed {
                if let Some(pass) = self.pass(side, seat) {
                    pass.iteration = Iteration::Stopped;
                }
                return Ok(());
            }
            self.close(side, seat, |half| half.trailers_open = false);
            if waiting {
                return self.resume(side, seat);
            }
        }
        self.trailers_through(side)
    }

    /// Lets on what waits behind a filter. A head that goes on because of its body stays within reach.
    pub(super) fn resume(&mut self, side: Side, seat: usize) -> Result<(), Halt> {
        if self.stream.ended || side == Side::Request && self.stream.replied {
            return Ok(());
        }
        self.let_on(side, seat)
    }

    /// The same, whatever became of the stream meanwhile.
    pub(super) fn let_on(&mut self, side: Side, seat: usize) -> Result<(), Halt> {
        let place = self.seat(side, seat);
        let Some(pass) = self.pass(side, seat) else { return Ok(()) };
        if pass.iteration == Iteration::Continue {
            let direction = self.stream.direction(side);
            let (again, end) = (direction.has_held && direction.trailers.is_none(), direction.ended);
            // Resumed once more, Envoy passes its buffer on, which is empty.
            return if again { self.data_from(side, place + 1, Vec::new(), end, true) } else { Ok(()) };
        }
        let shown_nothing = pass.iteration == Iteration::StoppedAll;
        pass.iteration = Iteration::Continue;
        pass.buffering = false;
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
        if let Some(data) = direction.buffered.take() {
            let end = ended && !has_trailers;
            self.data_from(side, from, data, end, true)?;
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
            Side::Request => Err(Halt::Replied(Reply::plain(413, "Payload Too Large", "request_payload_too_large"))),
            Side::Response if answered => Err(Halt::Cut),
            Side::Response => {
                Err(Halt::Replied(Reply::plain(500, "Internal Server Error", "response_payload_too_large")))
            }
        }
    }

    fn put_back(&mut self, side: Side, data: Vec<u8>) {
        let direction = self.stream.direction(side);
        direction.has_held = true;
        match &mut direction.buffered {
            Some(buffered) => buffered.extend(data),
            none => *none = Some(data),
        }
    }

    fn resumed(&self, side: Side, seat: usize) -> bool {
        self.stream.seats.get(seat).is_some_and(|seat| seat.exchange.borrow_mut().take_resumed(side))
    }

    fn take_body(&self, side: Side, seat: usize) -> Vec<u8> {
        let body = self.stream.seats.get(seat).and_then(|seat| seat.exchange.borrow_mut().half_mut(side).body.take());
        body.unwrap_or_default()
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

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
