//! What one step does to a stream: the request, or more of it; the answer, or more of it; an end.

use super::{Open, Proxy};
use crate::{
    outcome::Cut,
    scenario::{HeaderLines, Part, Peer, Protocol, Response, Schedule, Step},
    world::{
        Headers, Side,
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

    /// What is due at once.
    fn events_of_now(&mut self) {
        let now = self.world.borrow().clock.now();
        while self.next_event(now) {}
    }

    /// Opens a stream and sends what the step has of its request.
    fn request(&mut self, name: &str, step: &Step, cut: Cut) {
        let thread = (step.worker.max(1) as usize).min(self.threads.len().saturating_sub(1));
        self.reload(thread);
        self.connections += 1;
        let request = step.request();
        let (http2, began, behind) = {
            let world = self.world.borrow();
            let behind = Behind {
                reply: step.reply.as_ref().map(wire::later),
                buffer_limit: world.given.buffer_limit,
                head_alone: world.given.allow_on_headers_stop_iteration,
            };
            (world.given.protocol == Protocol::Http2, world.clock.now(), behind)
        };
        let chain = self.threads.get(thread).map(|thread| thread.chain.clone()).unwrap_or_default();
        let mut stream = Stream::new(chain.len(), began, http2, self.connections, behind);
        stream.head_request = request.method == "HEAD";
        let generation = self.generation;
        let open = Open { thread, generation, stream, request: request.clone(), answered_by: step.clone() };
        self.open.insert(name.to_owned(), open);
        let schedule = Schedule::of(request.body.as_ref(), !request.trailers.0.is_empty(), http2, request.more, cut);
        let head = wire::request(request, http2);
        self.run(name, |run| {
            run.enter(&chain);
            run.head(Side::Request, head, schedule.head_only)
        });
        self.pieces(name, Side::Request, schedule.pieces);
        self.end_with(name, Side::Request, &request.trailers);
    }

    /// More of a message.
    fn part(&mut self, name: &str, side: Side, part: &Part, cut: Cut) {
        let http2 = self.world.borrow().given.protocol == Protocol::Http2;
        let has_trailers = !part.trailers.0.is_empty();
        let schedule = Schedule::rest(part.body.as_ref(), has_trailers, http2, part.more, cut);
        self.pieces(name, side, schedule.pieces);
        self.end_with(name, side, &part.trailers);
    }

    /// Answers once the upstream has the request, and lets time pass while the stream needs it.
    fn wait(&mut self, name: &str, step: &Step, cut: Cut) {
        let until = self.world.borrow().clock.now().saturating_add(PATIENCE);
        let mut to_answer = name.is_empty() || step.response.is_some();
        self.events_of_now();
        let mut waits = to_answer;
        while waits {
            let Some(open) = self.open.get_mut(name) else { return };
            if to_answer && open.stream.upstream.as_ref().is_some_and(|upstream| upstream.complete || !name.is_empty())
            {
                to_answer = false;
                open.answered_by = step.clone();
                self.respond(name, step, cut);
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
    fn respond(&mut self, name: &str, step: &Step, cut: Cut) {
        let default = Response::default();
        let response = step.response.as_ref().unwrap_or(&default);
        let http2 = self.world.borrow().given.protocol == Protocol::Http2;
        let head_request = self.open.get(name).is_some_and(|open| open.stream.head_request);
        let bodiless = head_request || matches!(response.status, 204 | 304);
        let body = response.body.as_ref().filter(|_| !bodiless);
        let no_trailers = HeaderLines::default();
        let trailers = if bodiless { &no_trailers } else { &response.trailers };
        let schedule = Schedule::of(body, !trailers.0.is_empty(), http2, response.more && !bodiless, cut);
        let head = wire::response(response, http2);
        self.run(name, |run| {
            run.stream.details = Some("via_upstream".into());
            run.head(Side::Response, head, schedule.head_only)
        });
        self.pieces(name, Side::Response, schedule.pieces);
        self.end_with(name, Side::Response, trailers);
    }

    fn pieces(&mut self, name: &str, side: Side, pieces: Vec<(Vec<u8>, bool)>) {
        for (piece, end) in pieces {
            self.run(name, |run| run.body(side, piece, end));
        }
    }

    fn end_with(&mut self, name: &str, side: Side, lines: &HeaderLines) {
        if lines.0.is_empty() {
            return;
        }
        let mut trailers = Headers::trailers(side);
        lines.0.iter().for_each(|(name, value)| trailers.add(name.as_bytes(), &value.0));
        self.run(name, |run| run.trailers(side, trailers));
    }

    fn reset(&mut self, name: &str, peer: Peer) {
        match peer {
            Peer::Client => self.run(name, |run| run.client_leaves()),
            Peer::Upstream => self.run(name, |run| run.upstream_reset()),
        }
    }

    /// Lets a stream go on; whatever comes of it is settled. A stream that ended stays as it is.
    fn run(&mut self, name: &str, act: impl FnOnce(&mut Run<'_>) -> Result<(), Halt>) {
        let Some(open) = self.open.get_mut(name).filter(|open| !open.stream.ended) else { return };
        self.world.borrow_mut().enter(open.thread);
        let mut run = Run { world: &self.world, stream: &mut open.stream };
        let acted = act(&mut run).and_then(|()| run.after_root());
        run.settle(acted);
    }
}
