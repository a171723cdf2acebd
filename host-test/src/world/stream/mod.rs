//! One request with its response on its way through a chain of filters, as Envoy's filter manager
//! drives it.
//!
//! 1. A request meets the filters in their order, a response in the reverse order. A filter that
//!    holds a message is where it waits; what comes behind is buffered there, dropped, or shown to the
//!    filter, as its callback's answer says (`pass`, `piece`).
//! 2. Behind the last filter stands the router, before the first the client (`ends`).
//! 3. What a filter may reach of a message lies in its own [`Exchange`], and only while one of its
//!    callbacks runs: it is lent before, and taken back afterwards.
//! 4. A reply passes the response callbacks of the filters that saw the request, if the response has
//!    not begun; it goes straight to the client, or cuts the response off, if it has (`reply`).
//! 5. A trap ends the filter's VM; its streams are refused, or passed on unfiltered, by the policy.

mod acts;
mod anew;
mod ends;
mod filter;
mod leave;
mod pass;
mod piece;
mod reply;
mod run;

use std::{cell::RefCell, collections::HashMap, rc::Rc};

pub use self::{
    acts::{Act, Acted},
    filter::{Filter, Refused, Trap},
    run::Run,
};
use super::{Clock, Exchange, Headers, Side, filter_state::Declared, head, proxy::Root, reply::Reply};
use crate::outcome::Message;

/// Why a message goes no further for now, against what the filters' answers say.
#[derive(Debug)]
pub enum Halt {
    /// The VM of a filter is gone, and its policy is to refuse.
    Failed,
    /// Somebody replies instead.
    Replied(Reply),
    /// The stream is cut off without an answer.
    Cut,
    /// Both: somebody replies, and cuts the stream off.
    Abandoned(Reply),
}

/// How far a filter lets a message on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Iteration {
    #[default]
    Continue,
    /// The head is held; body and trailers are shown to the filter.
    Stopped,
    /// All is held, and the filter is shown nothing; above the limit the sender is held back, or given up.
    StoppedAll { holds_back: bool },
}

/// One message at one filter.
#[derive(Debug, Default)]
struct Pass {
    iteration: Iteration,
    /// The head went on.
    head_on: bool,
    /// The filter was told that the message ends.
    ended: bool,
    /// The filter keeps the body, and sees all of it in each callback; until its next one, even where it was
    /// resumed.
    buffering: bool,
    /// It is being resumed from where it was shown nothing, so that it meets what is let on itself.
    from_here: bool,
}

/// A filter's place in a stream.
struct Seat {
    /// The context's id in the VM, given when the stream begins; `None` where the VM is gone.
    id: Option<u32>,
    /// The root context that the stream holds; `None` where the filter takes no part, and behind the end.
    root: Option<Rc<Root>>,
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
    /// What a filter holds of the body. Once there was something to hold, Envoy keeps the buffer, empty, to
    /// the end.
    buffered: Option<Vec<u8>>,
    /// The buffer holds its sender back instead of giving up.
    streaming: bool,
    trailers: Option<Headers>,
    /// Its sender has said all.
    ended: bool,
    /// The length that its head announced when it came, and the bytes of body that came and went on.
    announced: Option<usize>,
    came: usize,
    went: usize,
    /// Its receiver took it for broken.
    refused: bool,
    /// It did so with the head, of which it says nothing.
    unheard: bool,
    /// Its head tells another framing than that of what follows, so that its receiver waits for ever.
    misframed: bool,
    /// It has no framing, so that its receiver reads no body.
    unframed: bool,
    /// What Envoy answers for that, if not that the upstream babbles.
    reset: Option<Reply>,
    /// It took what came for no HTTP at all, and closed the connection.
    hung_up: bool,
    /// That receiver has reset the stream.
    left: bool,
}

/// What stands behind the filters under test and before the upstream.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    /// A later filter replies.
    pub reply: Option<Reply>,
    pub buffer_limit: usize,
    /// `StopIteration` for a head holds the head only.
    pub head_alone: bool,
    /// The upstream is told the number of the attempt.
    pub counted: bool,
}

pub struct Stream {
    seats: Vec<Seat>,
    request: Direction,
    response: Direction,
    /// What all filters of the stream share: filter state, the route, details.
    filter_state: HashMap<Vec<u8>, Vec<u8>>,
    declared: Declared,
    rerouted: bool,
    /// The route that was chosen last, of those by path.
    by_path: Option<usize>,
    /// Whether the request came so far that a route was chosen.
    routed: bool,
    hosted: bool,
    /// `response_code_details`.
    pub details: Option<String>,
    /// `response.flags` of a stream that somebody left.
    flags: u64,
    /// The status that the log tells: of the response that came last, and once it went on as filters left it.
    code: Option<u64>,
    /// Bytes of body that came from the client, and that went to it.
    received: u64,
    sent: u64,
    http2: bool,
    behind: Behind,
    pub upstream: Option<Message>,
    /// Heads that reached the upstream by themselves: a filter resumed the request and then let it on as well.
    pub upstream_before: Vec<Message>,
    pub client: Option<Message>,
    /// The stream is over: logged, done, deleted.
    pub ended: bool,
    /// Somebody replied; nothing of the request goes on.
    replied: bool,
    /// The request was broken off, behind a head that had only just gone to the upstream.
    pub broken_off: bool,
    /// A response passes the filters although the stream is over.
    shown_behind_end: bool,
    /// A request whose answer has no body.
    pub head_request: bool,
    /// A request that came as one of gRPC, whatever filters make of it.
    grpc: bool,
    /// Which attempt reaches the upstream, from 1.
    pub attempt: u32,
    /// Whether the response is the upstream's.
    pub answered: bool,
    /// Bytes of the client's are being worked off. Over HTTP/2 nothing goes to it meanwhile.
    pub dispatching: bool,
    /// The response's head has yet to leave.
    unsent: bool,
    /// Whether there is a connection to the upstream, of which filters can read.
    pub connected: bool,
    /// When the router had all of the request.
    asked_at: Option<u64>,
}

/// How long the upstream has for all of its answer, as routes say that say nothing. Nanoseconds.
const ROUTE_TIMEOUT: u64 = 15_000_000_000;

impl Stream {
    /// A stream through so many filters that begins now.
    pub fn new(filters: usize, began: Clock, http2: bool, connection: u64, behind: Behind) -> Self {
        let seat = || Seat {
            id: None,
            root: None,
            created: false,
            exchange: Rc::new(RefCell::new(Exchange {
                began_of_day: began.of_day(),
                ..Exchange::new(began.now(), http2, connection)
            })),
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
            by_path: None,
            routed: false,
            hosted: false,
            details: None,
            flags: 0,
            code: None,
            received: 0,
            sent: 0,
            http2,
            behind,
            upstream: None,
            upstream_before: Vec::new(),
            client: None,
            ended: false,
            replied: false,
            broken_off: false,
            shown_behind_end: false,
            head_request: false,
            grpc: false,
            attempt: 1,
            answered: false,
            dispatching: false,
            unsent: false,
            connected: false,
            asked_at: None,
        }
    }

    /// What the client sent was worked off, and what is meant for it leaves.
    pub fn dispatched(&mut self) {
        (self.dispatching, self.unsent) = (false, false);
    }

    /// When the router gives its upstream up.
    pub fn times_out(&self) -> Option<u64> {
        let waits = !self.ended && !self.replied && !self.response.ended;
        self.asked_at.filter(|_| waits).map(|asked| asked.saturating_add(ROUTE_TIMEOUT))
    }

    /// The client was told to go on with its request, by a status of its own.
    pub fn goes_on(&mut self) {
        self.code = Some(100);
    }

    pub fn behind(&self) -> &Behind {
        &self.behind
    }

    /// Whether the upstream was asked for a head without a body, whatever the client asked for.
    pub fn asks_for_head(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.start.starts_with("HEAD "))
    }

    /// What the upstream heard of the request. It says nothing of one that is broken from the start.
    pub fn heard_by_upstream(&self) -> Option<&Message> {
        self.upstream.as_ref().filter(|_| !self.request.unheard)
    }

    /// What the client heard of the response.
    pub fn heard_by_client(&self) -> Option<&Message> {
        self.client.as_ref().filter(|_| !self.response.unheard)
    }

    /// Whether somebody replied, so that nobody hears the upstream any more.
    pub fn is_replied(&self) -> bool {
        self.replied
    }

    /// Whether the upstream took the request for broken.
    pub fn is_refused_by_upstream(&self) -> bool {
        self.request.refused
    }

    /// Whether it also closed the connection.
    pub fn is_hung_up(&self) -> bool {
        self.request.hung_up
    }

    pub fn is_http2(&self) -> bool {
        self.http2
    }

    /// Whether an answer of the upstream ends with its head, because it answers an upgrade.
    pub fn is_changed(&self, status: u64) -> bool {
        !self.http2 && self.request.headers.as_ref().is_some_and(|request| head::is_changed(request, status))
    }

    pub fn request_headers(&self) -> Option<&Headers> {
        self.request.headers.as_ref()
    }

    pub fn response_headers(&self) -> Option<&Headers> {
        self.response.headers.as_ref()
    }

    /// Whether the receiver of a message, over HTTP/2, has just taken it for broken.
    pub fn is_left(&mut self, side: Side) -> bool {
        let direction = self.direction(side);
        direction.refused && !std::mem::replace(&mut direction.left, true)
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
        self.change_hands(seat);
        let Some(Seat { exchange, .. }) = self.seats.get(seat) else { return };
        let mut exchange = exchange.borrow_mut();
        (exchange.routed, exchange.connected) = (self.routed, self.connected);
        (exchange.by_path, exchange.hosted) = (self.by_path, self.hosted);
        (exchange.rerouted, exchange.received, exchange.sent) = (self.rerouted, self.received, self.sent);
        exchange.details.clone_from(&self.details);
        exchange.upstream_ended = self.answered && self.response.ended;
        (exchange.flags, exchange.code) = (self.flags, self.code);
        exchange.attempt = if self.upstream.is_some() { self.attempt } else { 0 };
    }

    /// Takes back what was lent.
    fn reclaim(&mut self, seat: usize) {
        self.change_hands(seat);
    }

    /// What one of them holds, the other doesn't: the stream, and the filter whose callback runs.
    fn change_hands(&mut self, seat: usize) {
        let Some(Seat { exchange, request, response, .. }) = self.seats.get(seat) else { return };
        let mut exchange = exchange.borrow_mut();
        for (side, pass, direction) in
            [(Side::Request, request, &mut self.request), (Side::Response, response, &mut self.response)]
        {
            let half = exchange.half_mut(side);
            std::mem::swap(&mut half.headers, &mut direction.headers);
            std::mem::swap(&mut half.trailers, &mut direction.trailers);
            if pass.buffering {
                std::mem::swap(&mut half.body, &mut direction.buffered);
            }
        }
        std::mem::swap(&mut exchange.filter_state, &mut self.filter_state);
        std::mem::swap(&mut exchange.declared, &mut self.declared);
    }

    /// The places of the filters whose contexts live in this VM.
    fn seats_in(&self, vm: u32) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        seats.filter(|(_, seat)| seat.is_live() && seat.vm() == Some(vm)).map(|(place, _)| place).collect()
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

impl Seat {
    fn vm(&self) -> Option<u32> {
        self.root.as_ref().map(|root| root.vm_number())
    }

    fn is_live(&self) -> bool {
        self.created && self.id.is_some()
    }
}
