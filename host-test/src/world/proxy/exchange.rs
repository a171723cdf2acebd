//! What one step does to a stream: the request, or more of it; the answer, or more of it; an end.

use super::{Open, Proxy};
use crate::{
    envoy::versions,
    outcome::{Cut, Message},
    scenario::{HeaderLines, Part, Peer, Protocol, Response, Schedule, Step},
    world::{
        Headers, Side, codec,
        stream::{Behind, Halt, Run, Stream},
        wire,
    },
};

/// Who gets no answer for so long leaves. Nanoseconds.
const PATIENCE: u64 = 10_000_000_000;

impl Proxy {
    pub(super) fn exchange(&mut self, name: &str, step: &Step, cut: Cut) {
        if step.request.is_some() || !self.open.contains_key(name) {
            self.request(name, step, cut);
        } else if let Some(part) = &step.send {
            self.part(name, Side::Request, part, cut);
        }
        self.wait(name, step, cut);
        if let Some(part) = &step.respond {
            self.part(name, Side::Response, part, cut);
        }
        if let Some(peer) = step.reset {
            self.reset(name, peer);
        }
        self.events_of_now();
    }

    /// What is due at once. It comes before the next piece of a message: a piece is a step of its own for Envoy, too.
    pub(super) fn events_of_now(&mut self) {
        let now = self.world.borrow().clock.now();
        while self.next_event(now) {}
    }

    /// Opens a stream and sends what the step has of its request.
    fn request(&mut self, name: &str, step: &Step, cut: Cut) {
        let thread = self.worker_of(step);
        self.reload(thread);
        self.connections += 1;
        let raw = step.request();
        let is_http2 = self.world.borrow().given.protocol == Protocol::Http2;
        let read = codec::request(raw, is_http2).unwrap_or(codec::Request::Refused(None));
        if matches!(read, codec::Request::Refused(None)) {
            return;
        }
        let request = match &read {
            codec::Request::Message(request)
            | codec::Request::Broken(request, _)
            | codec::Request::Rejected(request, _) => request,
            codec::Request::Turned(..) | codec::Request::Refused(_) => raw,
        };
        let (http2, began, behind) = {
            let world = self.world.borrow();
            let behind = Behind {
                reply: step.reply.as_ref().map(wire::later),
                buffer_limit: world.given.held_at_most(),
                head_alone: world.given.allow_on_headers_stop_iteration,
                counted: world.given.retries.as_ref().is_some_and(|retries| retries.counted),
            };
            (world.given.protocol == Protocol::Http2, world.clock, behind)
        };
        let chain = self.threads.get(thread).map(|thread| thread.chain.clone()).unwrap_or_default();
        let mut open = Open {
            thread,
            generation: self.generation,
            stream: Stream::new(chain.len(), began, http2, self.connections, behind),
            request: request.clone(),
            answered_by: step.clone(),
            connection: self.connections,
            earlier: Vec::new(),
            answers: 0,
            redirects: 0,
            in_one_go: !self.world.borrow().pieces_wait,
        };
        if wire::waits_to_go_on(request) {
            open.stream.goes_on();
        }
        open.stream.head_request = request.method == "HEAD";
        self.open.insert(name.to_owned(), open);
        let (known, refusal) = match &read {
            codec::Request::Turned(known, refusal) => (Some(known.clone()), Some(refusal.clone())),
            codec::Request::Refused(refusal) => (None, refusal.clone()),
            _ => (None, None),
        };
        if let Some(refusal) = refusal {
            self.run(name, |run| {
                run.enter(&chain);
                run.refuse(known, refusal);
                Ok(())
            });
            return;
        }
        let schedule = Schedule::of(request.body.as_ref(), !request.trailers.0.is_empty(), http2, request.more, cut);
        let mut head = wire::request(request, http2);
        if !versions::takes_stream_duration(self.world.borrow().envoy) {
            head.remove(b"x-envoy-upstream-stream-duration-ms");
        }
        if let codec::Request::Rejected(_, refusal) = &read {
            self.run(name, |run| {
                run.enter(&chain);
                run.reject(head, refusal.clone());
                Ok(())
            });
            return;
        }
        let pace = Pace::of(&head, raw.raw.is_some(), http2);
        self.run(name, |run| {
            run.enter(&chain);
            run.stream.dispatching = true;
            run.head(Side::Request, head, schedule.head_only)
        });
        self.pieces(name, Side::Request, schedule.pieces, pace);
        self.end_with(name, Side::Request, &request.trailers, pace);
        if let codec::Request::Broken(_, refusal) = &read {
            self.run(name, |run| {
                // Envoy hadn't written anything yet.
                run.stream.upstream = None;
                Err(Halt::Replied(refusal.clone()))
            });
        }
    }

    /// More of a message.
    fn part(&mut self, name: &str, side: Side, part: &Part, cut: Cut) {
        if side == Side::Response && self.open.get(name).is_some_and(|open| open.stream.is_replied()) {
            return;
        }
        let http2 = self.world.borrow().given.protocol == Protocol::Http2;
        let has_trailers = !part.trailers.0.is_empty();
        let schedule = Schedule::rest(part.body.as_ref(), has_trailers, http2, part.more, cut);
        self.pieces(name, side, schedule.pieces, Pace::Apart);
        self.end_with(name, side, &part.trailers, Pace::Apart);
    }

    /// Answers once the upstream has the request, and lets time pass while the stream needs it.
    fn wait(&mut self, name: &str, step: &Step, cut: Cut) {
        let until = self.world.borrow().clock.now().saturating_add(PATIENCE);
        let mut to_answer = name.is_empty() || step.response.is_some();
        self.events_of_now();
        let mut waits = to_answer;
        while waits {
            let Some(open) = self.open.get_mut(name) else { return };
            let (refused, http2) = (open.stream.is_refused_by_upstream(), open.stream.is_http2());
            let begun = |upstream: &Message| {
                upstream.complete || wire::is_whole(upstream, http2) || refused || !name.is_empty()
            };
            if to_answer && open.stream.upstream.as_ref().is_some_and(begun) {
                open.answered_by = step.clone();
                to_answer = self.attempt(name, step, cut);
                continue;
            }
            let answer_goes_on = !to_answer && step.response.as_ref().is_some_and(|response| response.more);
            waits = !open.stream.ended && !answer_goes_on && self.next_event(until);
        }
        if name.is_empty() {
            self.run(name, |run| run.client_leaves());
        }
    }

    /// The upstream's response.
    pub(super) fn respond(&mut self, name: &str, response: &Response, cut: Cut) {
        if self.open.get(name).is_some_and(|open| open.stream.is_replied()) {
            return;
        }
        if let Some(open) = self.open.get_mut(name) {
            open.stream.connected = true;
        }
        // A named stream has a connection of its own.
        let idles = !self.world.borrow().pieces_wait && name.is_empty() && response.raw.is_none();
        self.world.borrow_mut().connected = idles;
        let http2 = self.world.borrow().given.protocol == Protocol::Http2;
        let head_request = self.open.get(name).is_some_and(|open| open.stream.asks_for_head());
        let changed = |open: &Open| open.stream.is_changed(u64::from(response.status));
        let changed = response.raw.is_none() && self.open.get(name).is_some_and(changed);
        let bodiless = head_request || matches!(response.status, 204 | 304) || changed;
        if let Some(raw) = &response.raw {
            return match codec::response(raw, head_request) {
                Ok(codec::Response::Message(message)) => self.respond_raw(name, message),
                Ok(codec::Response::Nothing) => self.run(name, |run| run.upstream_reset()),
                Ok(codec::Response::Refused) | Err(_) => self.run(name, |run| run.upstream_babbles()),
            };
        }
        let body = response.body.as_ref().filter(|_| !bodiless);
        let no_trailers = HeaderLines::default();
        let trailers = if bodiless { &no_trailers } else { &response.trailers };
        let schedule = Schedule::of(body, !trailers.0.is_empty(), http2, response.more && !bodiless, cut);
        let mut head = wire::response(response, http2, head_request);
        if !http2 && versions::drops_keep_alive(self.world.borrow().envoy) {
            head.remove(b"keep-alive");
        }
        if changed {
            head.remove(b"content-length");
            head.remove(b"content-type");
        }
        let pace = Pace::of(&head, false, http2);
        let details = if changed { "websocket_handshake_unsuccessful" } else { "via_upstream" };
        self.run(name, |run| {
            (run.stream.details, run.stream.answered) = (Some(details.into()), true);
            run.head(Side::Response, head, schedule.head_only)
        });
        self.pieces(name, Side::Response, schedule.pieces, pace);
        self.end_with(name, Side::Response, trailers, pace);
    }

    fn respond_raw(&mut self, name: &str, message: codec::Message) {
        self.run(name, |run| {
            (run.stream.details, run.stream.answered) = (Some("via_upstream".into()), true);
            run.head(Side::Response, message.head, message.head_only)
        });
        self.pieces(name, Side::Response, message.pieces, Pace::AtOnce);
        self.end_with(name, Side::Response, &message.trailers, Pace::AtOnce);
        if message.breaks {
            self.run(name, |run| run.upstream_babbles());
        }
    }

    /// What went to the upstream before has its connection by now, where each piece waits for the one before.
    fn connects(&mut self, name: &str) {
        if let Some(open) = self.open.get_mut(name).filter(|open| !open.in_one_go) {
            open.stream.connected |= open.stream.upstream.is_some();
        }
    }

    /// Between two steps every stream's request has its connection.
    pub(super) fn all_connect(&mut self) {
        let names: Vec<String> = self.open.keys().cloned().collect();
        names.iter().for_each(|name| self.connects(name));
    }

    fn pieces(&mut self, name: &str, side: Side, pieces: Vec<(Vec<u8>, bool)>, pace: Pace) {
        for (index, (piece, end)) in pieces.into_iter().enumerate() {
            let is_end_alone = index > 0 && end && piece.is_empty();
            if pace == Pace::Apart || pace == Pace::Measured && !is_end_alone {
                self.events_of_now();
            }
            self.connects(name);
            self.run(name, |run| {
                run.stream.dispatching = side == Side::Request;
                run.body(side, piece, end)
            });
        }
    }

    fn end_with(&mut self, name: &str, side: Side, lines: &HeaderLines, pace: Pace) {
        if lines.0.is_empty() {
            return;
        }
        let mut trailers = Headers::trailers(side);
        lines.0.iter().for_each(|(name, value)| trailers.add(name.as_bytes(), &value.0));
        if pace != Pace::AtOnce {
            self.events_of_now();
        }
        self.connects(name);
        self.run(name, |run| {
            run.stream.dispatching = side == Side::Request;
            run.trailers(side, trailers)
        });
    }

    fn reset(&mut self, name: &str, peer: Peer) {
        self.connects(name);
        match peer {
            Peer::Client => self.run(name, |run| run.client_leaves()),
            Peer::Upstream if self.open.get(name).is_some_and(|open| open.stream.is_replied()) => {}
            Peer::Upstream => self.run(name, |run| run.upstream_reset()),
        }
    }

    /// Lets a stream go on; whatever comes of it is settled. A stream that ended stays as it is.
    pub(super) fn run(&mut self, name: &str, act: impl FnOnce(&mut Run<'_>) -> Result<(), Halt>) {
        let Some(open) = self.open.get_mut(name).filter(|open| !open.stream.ended) else { return };
        self.world.borrow_mut().enter(open.thread);
        let mut unreached = self.unreached();
        unreached.retain(|other| other != name);
        let Some(mut run) = self.running(name) else { return };
        let acted = act(&mut run);
        run.settle(acted);
        run.stream.dispatched();
        self.acts();
        self.forget_unreached(unreached);
        self.refused(name);
    }

    /// Over HTTP/2 whoever takes a message for broken resets the stream, of which Envoy hears before the next
    /// piece where each waits for the one before.
    fn refused(&mut self, name: &str) {
        let Some(open) = self.open.get_mut(name).filter(|open| !open.in_one_go) else { return };
        if open.stream.is_left(Side::Request) {
            self.run(name, |run| run.upstream_refuses());
        } else if open.stream.is_left(Side::Response) {
            self.run(name, |run| run.client_leaves());
        }
    }
}

/// How the pieces of a message come. What is due at once comes between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Each by itself, the end too.
    Apart,
    /// The head told the length: the last byte is the end as well.
    Measured,
    /// As one.
    AtOnce,
}

impl Pace {
    fn of(head: &Headers, raw: bool, http2: bool) -> Self {
        match http2 {
            true => Self::Apart,
            false if raw => Self::AtOnce,
            false if head.get(b"content-length").is_some() => Self::Measured,
            false => Self::Apart,
        }
    }
}
