//! A step of a scenario through one filter, in Envoy's order of callbacks.
//!
//! 1. The request goes through the filter, then through what stands behind it: a later filter may
//!    change the route or reply, otherwise the upstream answers. The response comes back through the
//!    filter. Then the access log is written and the stream ends.
//! 2. A filter that holds a message which nothing resumes holds the client until it gives up.
//! 3. A trap ends the stream with 503, or cuts the response off where it began; no further callback
//!    runs, not even that of the access log.

mod request;
mod response;

use std::{cell::RefCell, rc::Rc};

use super::{Exchange, Phase, Shared, Side, logs::Level, reply::Reply, wire};
use crate::{
    outcome::{Cut, Message, Play},
    scenario::{Protocol, Step},
};

/// A filter in a VM. What it reads and writes of the stream goes through the world's exchange of
/// that id; what comes back is the number that the callback returned.
pub trait Filter {
    /// The id of a stream that begins now.
    fn next_id(&mut self) -> u32;
    fn begin(&mut self, id: u32) -> Result<(), Trap>;
    fn headers(&mut self, id: u32, side: Side, lines: u32, end: bool) -> Result<u32, Trap>;
    fn body(&mut self, id: u32, side: Side, size: u32, end: bool) -> Result<u32, Trap>;
    fn trailers(&mut self, id: u32, side: Side, lines: u32) -> Result<u32, Trap>;
    fn log(&mut self, id: u32) -> Result<(), Trap>;
    /// The end of the stream.
    fn done(&mut self, id: u32) -> Result<(), Trap>;
}

/// A filter that ended by a trap; its VM is of no more use.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The callback in which it happened.
    pub callback: String,
    pub message: String,
}

/// Plays a step once.
pub fn play(world: &Shared, filter: &mut dyn Filter, step: &Step, cut: Cut) -> Play {
    let before = world.borrow().metrics.counters();
    let id = filter.next_id();
    let exchange = {
        let mut world = world.borrow_mut();
        let http2 = world.given.protocol == Protocol::Http2;
        let exchange = Rc::new(RefCell::new(Exchange::new(world.clock.now(), http2, u64::from(id))));
        world.exchanges.insert(id, Rc::clone(&exchange));
        exchange
    };
    let mut stream = Stream { world, filter, id, exchange, step, cut, upstream: None, client: None };
    stream.run();
    let Stream { exchange, upstream, client, .. } = stream;
    let exchange = exchange.borrow();
    let mut world = world.borrow_mut();
    world.exchanges.remove(&id);
    let record = exchange.filter_state.get(world.record_name().as_bytes());
    let record = record.map(|record| String::from_utf8_lossy(record).into_owned());
    let mut metrics = world.metrics.counters();
    for (name, value) in &mut metrics {
        *value -= before.get(name).copied().unwrap_or(0);
    }
    metrics.retain(|_, grown| *grown != 0);
    Play {
        step: 0,
        cut,
        client: client.map(|client| received(client, step, exchange.http2)),
        upstream: upstream.map(|upstream| {
            let mut upstream = wire::framed(upstream, exchange.http2);
            wire::unframed(&mut upstream, &[&step.request.headers]);
            upstream
        }),
        record,
        metrics,
        log: world.logs.take(),
    }
}

/// What the client makes of what was sent.
fn received(sent: Message, step: &Step, http2: bool) -> Message {
    let bodiless = step.request.method == "HEAD" || matches!(&*sent.start, "204" | "304");
    let mut client = if bodiless { Message { body: Vec::new(), ..sent } } else { wire::framed(sent, http2) };
    let written =
        [step.response.as_ref().map(|response| &response.headers), step.reply.as_ref().map(|reply| &reply.headers)];
    wire::unframed(&mut client, &written.into_iter().flatten().collect::<Vec<_>>());
    client
}

/// Why a message went no further.
enum Halt {
    /// The filter holds it, and nothing resumes it.
    Held,
    Trapped,
    /// Somebody replies instead.
    Replied(Reply),
}

struct Stream<'a> {
    world: &'a Shared,
    filter: &'a mut dyn Filter,
    id: u32,
    exchange: Rc<RefCell<Exchange>>,
    step: &'a Step,
    cut: Cut,
    upstream: Option<Message>,
    client: Option<Message>,
}

/// What a callback for body bytes decided.
enum Bytes {
    On,
    Kept,
    Dropped,
}

/// Envoy's `per_connection_buffer_limit_bytes`: a message that is held above it is given up.
const LARGEST_HELD: usize = 1 << 20;

impl Stream<'_> {
    fn run(&mut self) {
        let ended = self.exchanged();
        if !matches!(ended, Err(Halt::Trapped)) {
            self.end();
        }
    }

    fn exchanged(&mut self) -> Result<(), Halt> {
        let request = self.call(|filter, id| filter.begin(id).map(|()| 0)).and_then(|_| self.request());
        let answered = match request {
            Ok(()) => self.response(),
            Err(Halt::Replied(reply)) => self.replied(reply),
            Err(halt) => Err(halt),
        };
        match answered {
            Err(Halt::Replied(reply)) => {
                if self.client.is_none() {
                    self.direct(reply);
                }
                Ok(())
            }
            Err(Halt::Trapped) => {
                if self.client.is_none() {
                    self.direct(Reply::failed());
                }
                Err(Halt::Trapped)
            }
            other => other,
        }
    }

    /// One callback. A reply that it sent is its outcome, whatever it returned.
    fn call<F>(&mut self, callback: F) -> Result<u32, Halt>
    where
        F: FnOnce(&mut dyn Filter, u32) -> Result<u32, Trap>,
    {
        match callback(self.filter, self.id) {
            Ok(returned) => match self.exchange.borrow_mut().reply.take() {
                Some(reply) => Err(Halt::Replied(reply)),
                None => Ok(returned),
            },
            Err(Trap { callback, message }) => {
                let text = format!("Function: {callback} failed: {message}");
                self.world.borrow_mut().logs.write(Level::Error, &text);
                Err(Halt::Trapped)
            }
        }
    }

    /// The callback for headers; whether the head goes on. A head that is held waits for the body: the
    /// listener sets `allow_on_headers_stop_iteration`. From 3 on the body waits too.
    fn headers(&mut self, side: Side, end: bool) -> Result<bool, Halt> {
        let lines = {
            let mut exchange = self.exchange.borrow_mut();
            exchange.phase = Phase::Headers(side);
            exchange.end_of_stream = end;
            let half = exchange.half_mut(side);
            half.headers_open = true;
            half.headers.as_ref().map_or(0, |headers| headers.lines().len())
        };
        let returned = self.call(|filter, id| filter.headers(id, side, count(lines), end))?;
        let mut exchange = self.exchange.borrow_mut();
        let resumed = exchange.take_resumed(side);
        match returned {
            // 2 is ContinueAndEndStream, which Envoy takes for Continue.
            0 | 2 => {}
            _ if resumed => {}
            1 if !end => return Ok(false),
            _ => return Err(Halt::Held),
        }
        exchange.half_mut(side).headers_open = false;
        Ok(true)
    }

    /// The callback for a piece of body behind what was kept. What goes on is left in the exchange.
    fn bytes(&mut self, side: Side, end: bool) -> Result<Bytes, Halt> {
        let size = {
            let mut exchange = self.exchange.borrow_mut();
            exchange.phase = Phase::Body(side);
            exchange.end_of_stream = end;
            exchange.half(side).body.as_ref().map_or(0, Vec::len)
        };
        let returned = self.call(|filter, id| filter.body(id, side, count(size), end))?;
        let resumed = self.exchange.borrow_mut().take_resumed(side);
        Ok(match returned {
            _ if resumed => Bytes::On,
            0 => Bytes::On,
            1 | 2 => Bytes::Kept,
            _ => Bytes::Dropped,
        })
    }

    /// A whole message through the filter, its head first, to whoever takes it.
    fn message(&mut self, side: Side, body: &Schedule) -> Result<(), Halt> {
        let mut released = self.headers(side, body.none())?;
        if released {
            self.release(side)?;
        }
        let mut held = false;
        for (piece, end) in body.callbacks() {
            {
                let mut exchange = self.exchange.borrow_mut();
                exchange.half_mut(side).body.get_or_insert_default().extend_from_slice(piece);
                exchange.received += if side == Side::Request { piece.len() as u64 } else { 0 };
            }
            let decided = self.bytes(side, end)?;
            held = !matches!(decided, Bytes::On);
            match decided {
                Bytes::On => {
                    self.go(side, &mut released)?;
                }
                Bytes::Kept => self.limit(side)?,
                Bytes::Dropped => self.exchange.borrow_mut().half_mut(side).body = None,
            }
        }
        if body.trailers.lines().is_empty() {
            if held {
                return Err(Halt::Held);
            }
        } else {
            self.trailers(side, body)?;
            self.go(side, &mut released)?;
        }
        let trailers = {
            let mut exchange = self.exchange.borrow_mut();
            let half = exchange.half_mut(side);
            half.trailers_open = false;
            half.body = None;
            half.trailers.as_ref().map(wire::trailers).unwrap_or_default()
        };
        if let Some(message) = self.receiver(side) {
            message.trailers = trailers;
            message.complete = true;
        }
        Ok(())
    }

    /// The bytes in hand go on, behind a head that was still held.
    fn go(&mut self, side: Side, released: &mut bool) -> Result<(), Halt> {
        let bytes = self.exchange.borrow_mut().half_mut(side).body.take().unwrap_or_default();
        if !std::mem::replace(released, true) {
            self.release(side)?;
        }
        if side == Side::Response {
            self.exchange.borrow_mut().sent += bytes.len() as u64;
        }
        if let Some(message) = self.receiver(side) {
            message.body.extend(bytes);
        }
        Ok(())
    }

    /// The head goes on to what stands behind the filter.
    fn release(&mut self, side: Side) -> Result<(), Halt> {
        match side {
            Side::Request => self.behind(),
            Side::Response => self.towards_client(),
        }
    }

    fn trailers(&mut self, side: Side, body: &Schedule) -> Result<(), Halt> {
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.phase = Phase::Trailers(side);
            exchange.end_of_stream = true;
            let half = exchange.half_mut(side);
            half.trailers = Some(body.trailers.clone());
            half.trailers_open = true;
        }
        let lines = count(body.trailers.lines().len());
        let returned = self.call(|filter, id| filter.trailers(id, side, lines))?;
        let resumed = self.exchange.borrow_mut().take_resumed(side);
        if returned == 0 || resumed { Ok(()) } else { Err(Halt::Held) }
    }

    /// A held request above the limit is answered by Envoy; a held response is cut off.
    fn limit(&mut self, side: Side) -> Result<(), Halt> {
        let held = self.exchange.borrow().half(side).body.as_ref().map_or(0, Vec::len);
        match side {
            _ if held <= LARGEST_HELD => Ok(()),
            Side::Request => Err(Halt::Replied(Reply::plain(413, "Payload Too Large", "request_payload_too_large"))),
            Side::Response if self.client.is_some() => Err(Halt::Held),
            Side::Response => {
                Err(Halt::Replied(Reply::plain(500, "Internal Server Error", "response_payload_too_large")))
            }
        }
    }

    fn receiver(&mut self, side: Side) -> Option<&mut Message> {
        match side {
            Side::Request => self.upstream.as_mut(),
            Side::Response => self.client.as_mut(),
        }
    }

    /// Envoy's order: access log, done, delete.
    fn end(&mut self) {
        let close = |exchange: &RefCell<Exchange>, phase| {
            let mut exchange = exchange.borrow_mut();
            exchange.phase = phase;
            for half in [Side::Request, Side::Response] {
                let half = exchange.half_mut(half);
                (half.headers_open, half.trailers_open, half.body) = (false, false, None);
            }
        };
        close(&self.exchange, Phase::Log);
        if self.call(|filter, id| filter.log(id).map(|()| 0)).is_err_and(|halt| matches!(halt, Halt::Trapped)) {
            return;
        }
        close(&self.exchange, Phase::Done);
        // A trap here is logged; there is nobody left to answer.
        let _ = self.call(|filter, id| filter.done(id).map(|()| 0));
    }
}

/// In which pieces a body reaches the filter.
struct Schedule {
    pieces: Vec<Vec<u8>>,
    /// Whether there is a body at all, be it empty.
    body: bool,
    trailers: super::Headers,
    http2: bool,
}

impl Schedule {
    /// Whether the headers are all there is.
    fn none(&self) -> bool {
        !self.body && self.trailers.lines().is_empty()
    }

    /// The pieces, each with whether it ends the message. Over HTTP/1 the end comes on its own, behind
    /// the last piece; over HTTP/2 with it. Where trailers follow, no piece ends the message.
    fn callbacks(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let last_ends = self.trailers.lines().is_empty() && self.http2 && !self.pieces.is_empty();
        let own_end = self.body && self.trailers.lines().is_empty() && !last_ends;
        let last = self.pieces.len().saturating_sub(1);
        let pieces = self.pieces.iter().enumerate();
        pieces
            .map(move |(index, piece)| (piece.as_slice(), last_ends && index == last))
            .chain(own_end.then_some((&[] as &[u8], true)))
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
