//! What a callback of one context did to the stream of another: a root context that replies for a stream, closes or
//! resumes it, or a stream that does so to its neighbour.
//!
//! 1. Envoy keeps such acts, in the order in which they were asked for, until a callback of the VM returns: the one that
//!    asked, or one that comes of an earlier act. So the second act begins in the middle of the first, whichever streams
//!    the two are for.
//! 2. A reply behind a close still passes the filters and reaches the client. Once the response has begun it can end
//!    Envoy's process; a second close does, and so does a reply or a close behind a reply then.
//! 3. A request's head goes on also behind a reply, and a response behind the end of its stream.

use super::{Halt, Run, Stream};
use crate::world::{Side, exchange::Resume, reply::Reply};

const ENDED_TWICE: &str = "a close behind another end of the stream, or a reply behind one once the response has begun, can end \
                           Envoy 1.40 (SIGSEGV): end a stream once";

const RESUMED_BEHIND_REPLY: &str =
    "resuming the body of a request over HTTP/2 behind a reply to it ends Envoy 1.40 (SIGSEGV): do one of them";

#[derive(Clone, Debug)]
pub enum Act {
    Reply(Reply),
    Close,
    Resume(Side),
}

/// An act, and the context that it is for.
#[derive(Clone, Debug)]
pub struct Acted {
    pub vm: u32,
    pub context: u32,
    pub act: Act,
}

impl Stream {
    /// The place of a context in this stream.
    pub fn seat_of(&self, vm: u32, context: u32) -> Option<usize> {
        self.seats.iter().position(|seat| seat.is_live() && seat.vm() == Some(vm) && seat.id == Some(context))
    }
}

impl Run<'_> {
    fn act(&mut self, seat: usize, act: Act) -> Result<(), Halt> {
        match act {
            Act::Reply(reply) => Err(Halt::Replied(reply)),
            Act::Close => Err(Halt::Cut),
            Act::Resume(Side::Request) => self.request_on(seat),
            Act::Resume(Side::Response) => {
                if self.stream.ended && self.stream.client.as_ref().is_some_and(|client| client.complete) {
                    return Ok(());
                }
                // Behind the end of its stream a response goes to the client as if it were all.
                self.stream.response.ended |= self.stream.ended;
                self.stream.shown_behind_end |= self.stream.ended;
                self.let_on(Side::Response, seat)
            }
        }
    }

    /// A head that waits goes on also behind a reply.
    fn request_on(&mut self, seat: usize) -> Result<(), Halt> {
        let head_waits = self.stream.seats.get(seat).is_some_and(|seat| !seat.request.head_on);
        match self.stream.replied && !self.stream.ended {
            true if head_waits => self.let_on(Side::Request, seat),
            true if self.stream.http2 && self.stream.request.ended => {
                Err(self.ended(seat, "proxy_on_response_headers", RESUMED_BEHIND_REPLY))
            }
            _ => self.resume(Side::Request, seat),
        }
    }

    /// Acts that wait, now that a callback of this filter's VM has returned.
    pub(super) fn acts_within(&mut self, seat: usize) -> Result<(), Halt> {
        loop {
            let Some((vm, id)) = self.stream.seats.get(seat).and_then(|seat| Some((seat.vm()?, seat.id?))) else {
                return Ok(());
            };
            let next = {
                let mut world = self.world.borrow_mut();
                let first = world.acts.iter().position(|acted| acted.vm == vm);
                first.and_then(|place| world.acts.remove(place))
            };
            let Some(Acted { context, act, .. }) = next else { return Ok(()) };
            match act {
                act if context != id => self.act_elsewhere(vm, context, act),
                Act::Resume(side) if self.runs(seat, side) => self.resumes_itself(seat, side),
                act => self.act(seat, act)?,
            }
        }
    }

    /// An act on another stream, in the middle of what happens to this one.
    fn act_elsewhere(&mut self, vm: u32, context: u32, act: Act) {
        let Some(place) = self.others.iter().position(|other| other.seat_of(vm, context).is_some()) else { return };
        let mut others: Vec<&mut Stream> = vec![&mut *self.stream];
        let mut acted_on = None;
        for (index, other) in self.others.iter_mut().enumerate() {
            if index == place {
                acted_on = Some(&mut **other);
            } else {
                others.push(&mut **other);
            }
        }
        let Some(stream) = acted_on else { return };
        let mut run = Run { world: self.world, stream, others };
        run.act_on(vm, context, act);
    }

    /// An act on a context of this stream, and what comes of it.
    pub fn act_on(&mut self, vm: u32, context: u32, act: Act) {
        let Some(seat) = self.stream.seat_of(vm, context) else { return };
        let acted = self.act(seat, act);
        self.settle(acted);
    }

    /// Whether the callback that has returned is one of this message.
    fn runs(&self, seat: usize, side: Side) -> bool {
        self.stream.seats.get(seat).is_some_and(|seat| seat.exchange.borrow().phase.is_of(side))
    }

    /// As if the callback had resumed its own message.
    fn resumes_itself(&self, seat: usize, side: Side) {
        let resume = if side == Side::Request { Resume::Request } else { Resume::Response };
        if let Some(seat) = self.stream.seats.get(seat) {
            // Whether it can be resumed was asked when the act was.
            let _ = seat.exchange.borrow_mut().resume(resume);
        }
    }

    /// An act on a stream that has just ended.
    pub(super) fn acts_behind_end(&mut self, seat: usize, halt: Halt) {
        match halt {
            Halt::Replied(reply) if self.stream.response.headers.is_none() => self.show(reply),
            Halt::Replied(_) | Halt::Cut => drop(self.ended(seat, "proxy_on_log", ENDED_TWICE)),
            Halt::Failed | Halt::Abandoned(_) => {}
        }
    }

    /// A reply passes the filters of a stream that has ended.
    fn show(&mut self, reply: Reply) {
        let (headers, body) = reply.into_response(self.stream.grpc);
        let ends = body.is_empty() || self.stream.head_request;
        self.stream.shown_behind_end = true;
        // There is nothing left to halt.
        if self.head(Side::Response, headers, ends).is_ok() && !ends {
            let _ = self.body(Side::Response, body, true);
        }
    }
}
