//! One piece of a body at one filter: what the filter is shown, what its answer makes of it, and what of it
//! stays within reach.
//!
//! 1. A filter that keeps the body is shown all of it; what came is with the rest before the callback.
//! 2. Resuming from within takes effect before the answer: what was kept goes on, and the answer is for what
//!    is left of the piece.
//! 3. A request that is kept above the limit is answered by Envoy behind the callback, a response before it.

use super::{Halt, Iteration, Run};
use crate::world::{Phase, Side, exchange::Piece, reply::Reply};

impl Run<'_> {
    /// The callback for a piece of body; what goes on behind it, if anything does.
    pub(super) fn data_at(
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
            (Err(halt), None) if side == Side::Request && self.resumed_first(side, seat) => {
                if kept || buffering {
                    let held = self.take_body(side, seat);
                    self.put_back(side, held);
                }
                return Err(self.goes_on_first(seat, halt));
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

    fn take_body(&self, side: Side, seat: usize) -> Vec<u8> {
        let Some(seat) = self.stream.seats.get(seat) else { return Vec::new() };
        let mut exchange = seat.exchange.borrow_mut();
        let half = exchange.half_mut(side);
        half.body.take().or(half.out_of_reach.take()).unwrap_or_default()
    }
}

pub(super) fn too_large() -> Reply {
    Reply::plain(413, "Payload Too Large", "request_payload_too_large")
}

pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
