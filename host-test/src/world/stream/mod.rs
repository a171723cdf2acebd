//! One request with its response on its way through a chain of filters, as Envoy's filter manager
//! drives it.
//!
//! 1. A request meets the filters in their order, a response in the reverse order. A filter that
//!    holds a message is where it waits; what comes behind is buffered there, dropped, or shown to the
//!    filter, as its callback's answer says (`pass`).
//! 2. Behind the last filter stands the router, before the first the client (`ends`).
//! 3. What a filter may reach of a message lies in its own [`Exchange`], and only while one of its
//!    callbacks runs: it is lent before, and taken back afterwards.
//! 4. A reply passes the response callbacks of the filters that saw the request, if the response has
//!    not begun; it goes straight to the client, or cuts the response off, if it has (`reply`).
//! 5. A trap ends the filter's VM; its streams are refused, or passed on unfiltered, by the policy.

mod ends;
mod leave;
mod pass;
mod reply;

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::{
    Exchange, Headers, Phase, Shared, Side,
    callouts::Answer,
    filter_state::Declared,
    logs::Level,
    proxy::{FailurePolicy, Slot},
    reply::Reply,
};
use crate::{outcome::Message, vm::Counts};

/// A filter in a VM. What it reads and writes of a stream goes through the world's exchange of its
/// VM and context; what comes back is the number that the callback returned.
pub trait Filter {
    /// The VM's number in the world, unlike that of every other.
    fn vm(&self) -> u32;
    /// The id of a stream that begins now.
    fn next_id(&mut self) -> u32;
    fn begin(&mut self, id: u32) -> Result<(), Trap>;
    fn headers(&mut self, id: u32, side: Side, lines: u32, end: bool) -> Result<u32, Trap>;
    fn body(&mut self, id: u32, side: Side, size: u32, end: bool) -> Result<u32, Trap>;
    fn trailers(&mut self, id: u32, side: Side, lines: u32) -> Result<u32, Trap>;
    fn log(&mut self, id: u32) -> Result<(), Trap>;
    /// The end of the stream.
    fn done(&mut self, id: u32) -> Result<(), Trap>;
    fn tick(&mut self) -> Result<(), Trap> {
        Ok(())
    }
    fn queue_ready(&mut self, _queue: u32) -> Result<(), Trap> {
        Ok(())
    }
    /// The answer to a callout; it is readable while this runs.
    fn answered(&mut self, _token: u32, _answer: Answer) -> Result<(), Trap> {
        Ok(())
    }
    /// What was used since the last call.
    fn take_counts(&mut self) -> Counts {
        Counts::default()
    }
}

/// A filter that ended by a trap; its VM is of no more use.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The callback in which it happened.
    pub callback: String,
    pub message: String,
}

/// Why a message goes no further for now, against what the filters' answers say.
#[derive(Debug)]
pub enum Halt {
    /// The VM of a filter is gone, and its policy is to refuse.
    Failed,
    /// Somebody replies instead.
    Replied(Reply),
    /// The stream is cut off without an answer.
    Cut,
}

/// How far a filter lets a message on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Iteration {
    #[default]
    Continue,
    /// The head is held; body and trailers are shown to the filter.
    Stopped,
    /// All is held, and the filter is shown nothing.
    StoppedAll,
}

/// One message at one filter.
#[derive(Debug, Default)]
struct Pass {
    iteration: Iteration,
    /// The head went on.
    head_on: bool,
    /// The filter was told that the message ends.
    ended: bool,
    /// The filter keeps the body, and sees all of it in each callback.
    buffering: bool,
}

/// A filter's place in a stream.
#[derive(Debug)]
struct Seat {
    /// The context's id in the VM, given when the stream begins; `None` where the VM is gone.
    id: Option<u32>,
    vm: u32,
    /// Whether the VM knows the context: once the request reaches the filter, at the latest for its log.
    created: bool,
    exchange: Rc<RefCell<Exchange>>,
    request: Pass,
    response: Pass,
}

/// One message, as far as it came.
#[derive(Debug, Default)]
struct Direction {
    headers: Option<Headers>,
    /// What a filter holds of the body.
    buffered: Option<Vec<u8>>,
    /// The buffer holds its sender back instead of giving up.
    streaming: bool,
    trailers: Option<Headers>,
    /// Its sender has said all.
    ended: bool,
}

/// What stands behind the filters under test and before the upstream.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    /// A later filter replies.
    pub reply: Option<Reply>,
    pub buffer_limit: usize,
    /// `StopIteration` for a head holds the head only.
    pub head_alone: bool,
}

#[derive(Debug)]
pub struct Stream {
    seats: Vec<Seat>,
    request: Direction,
    response: Direction,
    /// What all filters of the stream share: filter state, the route, details.
    filter_state: HashMap<Vec<u8>, Vec<u8>>,
    declared: Declared,
    rerouted: bool,
    /// `response_code_details`.
    pub details: Option<String>,
    /// `response.flags` of a stream that somebody left.
    flags: u64,
    /// Bytes of body that came from the client, and that went to it.
    received: u64,
    sent: u64,
    http2: bool,
    behind: Behind,
    pub upstream: Option<Message>,
    pub client: Option<Message>,
    /// The stream is over: logged, done, deleted.
    pub ended: bool,
    /// Somebody replied; nothing of the request goes on.
    replied: bool,
    /// A request whose answer has no body.
    pub head_request: bool,
}

impl Stream {
    /// A stream through so many filters that begins now.
    pub fn new(filters: usize, began: u64, http2: bool, connection: u64, behind: Behind) -> Self {
        let seat = || Seat {
            id: None,
            vm: 0,
            created: false,
            exchange: Rc::new(RefCell::new(Exchange::new(began, http2, connection))),
            request: Pass::default(),
            response: Pass::default(),
        };
        Self {
            seats: (0..filters).map(|_| seat()).collect(),
            request: Direction::default(),
            response: Direction::default(),
            filter_state: HashMap::new(),
            declared: Declared::default(),
            rerouted: false,
            details: None,
            flags: 0,
            received: 0,
            sent: 0,
            http2,
            behind,
            upstream: None,
            client: None,
            ended: false,
            replied: false,
            head_request: false,
        }
    }

    /// What a filter left under a name.
    pub fn state(&self, name: &[u8]) -> Option<&[u8]> {
        self.filter_state.get(name).map(Vec::as_slice)
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// Lends what the stream holds to one of its filters.
    fn lend(&mut self, seat: usize) {
        let Some(Seat { exchange, request, response, .. }) = self.seats.get(seat) else { return };
        let mut exchange = exchange.borrow_mut();
        for (side, pass, direction) in
            [(Side::Request, request, &mut self.request), (Side::Response, response, &mut self.response)]
        {
            let half = exchange.half_mut(side);
            half.headers = direction.headers.take();
            half.trailers = direction.trailers.take();
            if pass.buffering {
                half.body = direction.buffered.take();
            }
        }
        std::mem::swap(&mut exchange.filter_state, &mut self.filter_state);
        std::mem::swap(&mut exchange.declared, &mut self.declared);
        (exchange.rerouted, exchange.received, exchange.sent) = (self.rerouted, self.received, self.sent);
        exchange.details.clone_from(&self.details);
        exchange.flags = self.flags;
    }

    /// Takes back what was lent.
    fn reclaim(&mut self, seat: usize) {
        let Some(Seat { exchange, request, response, .. }) = self.seats.get(seat) else { return };
        let mut exchange = exchange.borrow_mut();
        for (side, pass, direction) in
            [(Side::Request, request, &mut self.request), (Side::Response, response, &mut self.response)]
        {
            let half = exchange.half_mut(side);
            direction.headers = half.headers.take();
            direction.trailers = half.trailers.take();
            if pass.buffering {
                direction.buffered = half.body.take();
            }
        }
        std::mem::swap(&mut exchange.filter_state, &mut self.filter_state);
        std::mem::swap(&mut exchange.declared, &mut self.declared);
    }

    /// The places of the filters whose contexts live in this VM.
    fn seats_in(&self, vm: u32) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        seats.filter(|(_, seat)| seat.is_live() && seat.vm == vm).map(|(place, _)| place).collect()
    }

    /// Lends to every filter that lives in this VM, for a callback of its root context.
    pub fn lend_to(&mut self, vm: u32) {
        for seat in self.seats_in(vm) {
            self.lend(seat);
        }
    }

    pub fn reclaim_from(&mut self, vm: u32) {
        for seat in self.seats_in(vm) {
            self.reclaim(seat);
        }
    }
}

/// A stream with the VMs of its worker.
pub struct Run<'a> {
    pub world: &'a Shared,
    pub slots: &'a mut [Slot],
    pub stream: &'a mut Stream,
}

impl Run<'_> {
    fn pass(&mut self, side: Side, seat: usize) -> Option<&mut Pass> {
        let seat = self.stream.seats.get_mut(seat)?;
        Some(match side {
            Side::Request => &mut seat.request,
            Side::Response => &mut seat.response,
        })
    }

    /// The stream begins: each filter whose VM lives gives its context an id.
    pub fn enter(&mut self) {
        for (place, slot) in self.stream.seats.iter_mut().zip(self.slots.iter_mut()) {
            if let Some(vm) = slot.vm.as_mut() {
                (place.id, place.vm) = (Some(vm.next_id()), vm.vm());
            }
        }
    }

    /// The context of a filter in its VM, made when the request reaches it.
    fn begin(&mut self, seat: usize) -> Result<(), Halt> {
        let (Some(place), Some(slot)) = (self.stream.seats.get_mut(seat), self.slots.get_mut(seat)) else {
            return Ok(());
        };
        let Some(id) = place.id else { return slot.failed() };
        place.created = true;
        self.world.borrow_mut().exchanges.insert((place.vm, id), Rc::clone(&place.exchange));
        self.call(seat, |filter, id| filter.begin(id).map(|()| 0)).map(drop)
    }

    /// One callback. A reply that it sent is its outcome, whatever it returned. A filter whose VM is
    /// gone answers by its failure policy: 0, or an end of the stream.
    fn call<F>(&mut self, seat: usize, callback: F) -> Result<u32, Halt>
    where
        F: FnOnce(&mut dyn Filter, u32) -> Result<u32, Trap>,
    {
        let Some(slot) = self.slots.get_mut(seat) else { return Ok(0) };
        let Some((id, vm)) = self.stream.seats.get(seat).and_then(|seat| Some((seat.id?, seat.vm))) else {
            return Ok(0);
        };
        // A new VM knows nothing of the streams of the old one.
        let returned = match slot.vm.as_mut().filter(|filter| filter.vm() == vm) {
            Some(filter) => {
                self.stream.lend(seat);
                let returned = callback(filter.as_mut(), id);
                self.stream.reclaim(seat);
                returned.map_err(Some)
            }
            None => Err(None),
        };
        match returned {
            Ok(returned) => {
                let exchange = self.stream.seats.get(seat).map(|seat| Rc::clone(&seat.exchange));
                let Some(exchange) = exchange else { return Ok(returned) };
                let mut exchange = exchange.borrow_mut();
                match exchange.reply.take() {
                    Some(reply) => Err(Halt::Replied(reply)),
                    None if std::mem::take(&mut exchange.closed) => Err(Halt::Cut),
                    None => Ok(returned),
                }
            }
            Err(trap) => {
                self.world.borrow_mut().exchanges.remove(&(vm, id));
                if let Some(seat) = self.stream.seats.get_mut(seat) {
                    seat.id = None;
                }
                match trap {
                    // The stream in which it happened is refused under every policy.
                    Some(trap) => {
                        slot.trapped(self.world, &trap);
                        Err(Halt::Failed)
                    }
                    None => slot.failed().map(|()| 0),
                }
            }
        }
    }

    /// Acts on what a callback of a root context did to this stream's filters.
    pub fn after_root(&mut self) -> Result<(), Halt> {
        for seat in 0..self.stream.seats.len() {
            let Some(exchange) = self.stream.seats.get(seat).map(|seat| Rc::clone(&seat.exchange)) else { continue };
            let (reply, closed) = {
                let mut exchange = exchange.borrow_mut();
                (exchange.reply.take(), std::mem::take(&mut exchange.closed))
            };
            if let Some(reply) = reply {
                return Err(Halt::Replied(reply));
            }
            if closed {
                return Err(Halt::Cut);
            }
            for side in [Side::Request, Side::Response] {
                if exchange.borrow_mut().take_resumed(side) {
                    self.resume(side, seat)?;
                }
            }
        }
        Ok(())
    }

    /// Whatever a halt means to the client, ends in its answer or in none.
    pub fn settle(&mut self, result: Result<(), Halt>) {
        let mut result = result;
        // A reply may be replied to once more, by a filter that it passes.
        for _ in 0..=self.stream.seats.len() {
            let Err(halt) = result else { break };
            result = match halt {
                Halt::Replied(reply) => self.reply(reply),
                Halt::Failed => self.reply(Reply::failed()),
                Halt::Cut => {
                    self.end();
                    Ok(())
                }
            };
        }
    }

    /// The end of the stream: for each filter Envoy's access log, then done, then delete. A filter that
    /// the request never reached takes part in it.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.stream.ended, true) {
            return;
        }
        for phase in [Phase::Log, Phase::Done] {
            for seat in 0..self.stream.seats.len() {
                let Some(place) = self.stream.seats.get_mut(seat) else { continue };
                {
                    let mut exchange = place.exchange.borrow_mut();
                    exchange.phase = phase;
                    for side in [Side::Request, Side::Response] {
                        let half = exchange.half_mut(side);
                        (half.headers_open, half.trailers_open, half.body) = (false, false, None);
                    }
                }
                (place.request.buffering, place.response.buffering) = (false, false);
                let (Some(id), vm, created) = (place.id, place.vm, place.created) else { continue };
                if !created && self.begin(seat).is_err() {
                    continue;
                }
                // Nobody is left to answer to.
                let _ = match phase {
                    Phase::Log => self.call(seat, |filter, id| filter.log(id).map(|()| 0)),
                    _ => self.call(seat, |filter, id| filter.done(id).map(|()| 0)),
                };
                if phase == Phase::Done {
                    self.world.borrow_mut().exchanges.remove(&(vm, id));
                }
            }
        }
    }
}

impl Seat {
    fn is_live(&self) -> bool {
        self.created && self.id.is_some()
    }
}

impl Slot {
    /// Ends the VM.
    pub fn trapped(&mut self, world: &Shared, Trap { callback, message }: &Trap) {
        let mut world = world.borrow_mut();
        world.logs.write(Level::Error, &format!("Function: {callback} failed: {message}"));
        (self.vm, self.failed_at) = (None, Some(world.clock.now()));
    }

    /// What a filter without a VM means to a stream.
    fn failed(&self) -> Result<(), Halt> {
        match self.policy {
            FailurePolicy::FailOpen => Ok(()),
            FailurePolicy::FailClosed | FailurePolicy::FailReload => Err(Halt::Failed),
        }
    }
}
