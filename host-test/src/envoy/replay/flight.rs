//! A scenario whose streams stay open from step to step.
//!
//! 1. A step says what it says piece by piece, and is over when Envoy has worked it off.
//! 2. A stream without a name is answered once the upstream has its request, and ends with its step; a
//!    named one is answered where a step has a `response`, and lives on.
//! 3. The record is the access log's, in the step in which the stream ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Host, play::EXCHANGE_WITHIN, seen};
use crate::{
    envoy::{
        added,
        bootstrap::Stage,
        callouts::Waiting,
        flight::{self, End, Quiet, Upstream},
        wire::{Outgoing, http1},
    },
    outcome::{Cut, Message, Play},
    scenario::{Body, HeaderLines, Part, Peer, Protocol, Request, Response, Schedule, Step},
};

/// How long a named stream may take to reach the upstream that is to answer it.
const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// How long the access log line of a stream that ended may take.
const LINES_WITHIN: Duration = Duration::from_secs(3);

pub(super) struct Flight<'a> {
    host: &'a Host,
    /// As the last update left it.
    stage: Stage<'a>,
    upstream: &'a Upstream,
    quiet: Quiet,
    open: BTreeMap<String, Open>,
}

/// A stream in flight.
struct Open {
    /// The client's.
    port: u16,
    /// The listener that it came to belongs to this step.
    opened_at: usize,
    client: End,
    opened_by: Step,
    /// The step whose lines the upstream's or a later filter's answer holds.
    answered_by: Step,
}

impl<'a> Flight<'a> {
    pub(super) async fn new(
        host: &'a Host,
        stage: &'a Stage<'a>,
        upstream: &'a Upstream,
        waiting: Waiting,
    ) -> Result<Self> {
        let workers = stage.scenario.given.workers.max(1);
        let mut pings = Vec::new();
        for worker in 1..=workers {
            pings.push(host.connect(flight::PING, workers, worker).await?);
        }
        let quiet = Quiet::new(pings, stage.scenario.given.clusters.keys(), waiting);
        Ok(Self { host, stage: stage.clone(), upstream, quiet, open: BTreeMap::new() })
    }

    pub(super) async fn play(&mut self, index: usize, step: &Step, cut: Cut) -> Result<Play> {
        let process = &self.host.process;
        let offset = process.log_offset();
        let before = seen::counters(process.admin()).await?;
        let name = step.stream.clone().unwrap_or_default();
        if let Some(time) = step.pass {
            tokio::time::sleep(Duration::from_nanos(time.0)).await;
        }
        let mut taken = None;
        if let Some(update) = &step.update {
            let (was_taken, stage) = self.host.update(&self.stage, update).await?;
            (self.stage, taken) = (stage, Some(was_taken));
        }
        if step.acts() {
            self.exchange(&name, index, step, cut).await?;
        }
        self.settled().await?;
        self.lines_written().await?;
        let mut play = match self.open.get(&name) {
            Some(open) => self.seen(open)?,
            None => Play::default(),
        };
        if name.is_empty() || self.open.get(&name).is_some_and(|open| matches!(self.entry(open), Ok(Some(_)))) {
            self.open.remove(&name);
        }
        (play.step, play.cut, play.taken) = (index, cut, taken);
        play.metrics = seen::growth(&before, &seen::counters(process.admin()).await?);
        play.log = self.host.own_lines(&self.stage, process.wasm_lines_since(offset));
        Ok(play)
    }

    async fn exchange(&mut self, name: &str, index: usize, step: &Step, cut: Cut) -> Result<()> {
        if step.request.is_some() || !self.open.contains_key(name) {
            self.request(name, index, step, cut).await?;
        } else if let Some(part) = &step.send {
            let schedule = Schedule::rest(part.body.as_ref(), has(&part.trailers), self.http2(), part.more, cut);
            self.send(name, schedule, &part.trailers).await?;
        }
        let end = Instant::now() + EXCHANGE_WITHIN;
        self.settled().await?;
        let unnamed = name.is_empty();
        let reached_by = if unnamed { end } else { Instant::now() + REACHED_WITHIN };
        if (unnamed || step.response.is_some()) && self.reached(name, unnamed, reached_by).await? {
            self.respond(name, step, cut).await?;
        }
        if unnamed {
            self.ended(name, end).await?;
        }
        if let Some(part) = &step.respond {
            self.respond_more(name, part, cut).await?;
        }
        match step.reset {
            Some(Peer::Client) => self.leave(name).await,
            Some(Peer::Upstream) => self.upstream_leaves(name).await,
            None => {}
        }
        Ok(())
    }

    /// Opens a stream and says what the step has of its request.
    async fn request(&mut self, name: &str, index: usize, step: &Step, cut: Cut) -> Result<()> {
        let listener = self.stage.listener(index);
        let stream = self.host.connect(&listener, self.stage.scenario.given.workers, step.worker).await?;
        let Request { headers, body, trailers, more, .. } = step.request();
        let protocol = self.protocol();
        let schedule = Schedule::of(body.as_ref(), has(trailers), self.http2(), *more, cut);
        let outgoing = outgoing(headers, body.as_ref(), trailers, *more, protocol);
        let opening =
            flight::open(stream, protocol, step.request(), &outgoing, schedule.head_only, self.upstream.events());
        let (port, client) = opening.await?;
        let open = Open { port, opened_at: index, client, opened_by: step.clone(), answered_by: step.clone() };
        self.open.insert(name.to_owned(), open);
        self.settled().await?;
        self.send(name, schedule, trailers).await
    }

    async fn send(&mut self, name: &str, schedule: Schedule, trailers: &HeaderLines) -> Result<()> {
        for (piece, ends) in schedule.pieces {
            if let Some(open) = self.open.get_mut(name) {
                open.client.piece(&piece, ends);
            }
            self.settled().await?;
        }
        match self.open.get_mut(name) {
            Some(open) if has(trailers) => open.client.trailers(trailers),
            _ => Ok(()),
        }
    }

    /// The upstream's response.
    async fn respond(&mut self, name: &str, step: &Step, cut: Cut) -> Result<()> {
        let Some(open) = self.open.get_mut(name) else { return Ok(()) };
        open.answered_by = step.clone();
        let port = open.port;
        let default = Response::default();
        let response = step.response.as_ref().unwrap_or(&default);
        let none = HeaderLines::default();
        let head_request = self.upstream.ends().get(&port).is_some_and(|end| end.head_request);
        let bodiless = head_request || http1::is_bodiless(&response.status.to_string());
        let body = response.body.as_ref().filter(|_| !bodiless);
        let trailers = if bodiless { &none } else { &response.trailers };
        let more = response.more && !bodiless;
        // It has no length, either (RFC 9110 §8.6).
        let announced_body = response.body.as_ref().filter(|_| response.status != 204);
        let protocol = self.protocol();
        let schedule = Schedule::of(body, has(trailers), self.http2(), more, cut);
        let mut outgoing = outgoing(&response.headers, announced_body, trailers, more, protocol);
        let announced = outgoing.chunked || outgoing.lines.iter().any(|(name, _)| name == "content-length");
        if protocol == Protocol::Http1 && !bodiless && schedule.head_only && !announced {
            // Without it the body would last until the connection closes (RFC 9112 §6.3).
            outgoing.lines.push(("content-length".into(), b"0".to_vec()));
        }
        if let Some(end) = self.upstream.ends().get_mut(&port) {
            end.respond(response.status, &outgoing, schedule.head_only)?;
        }
        self.settled().await?;
        self.answer(port, schedule, trailers).await
    }

    /// More of the upstream's response.
    async fn respond_more(&mut self, name: &str, part: &Part, cut: Cut) -> Result<()> {
        let Some(open) = self.open.get(name) else { return Ok(()) };
        let schedule = Schedule::rest(part.body.as_ref(), has(&part.trailers), self.http2(), part.more, cut);
        self.answer(open.port, schedule, &part.trailers).await
    }

    async fn answer(&self, port: u16, schedule: Schedule, trailers: &HeaderLines) -> Result<()> {
        for (piece, ends) in schedule.pieces {
            if let Some(end) = self.upstream.ends().get_mut(&port) {
                end.piece(&piece, ends);
            }
            self.settled().await?;
        }
        match self.upstream.ends().get_mut(&port) {
            Some(end) if has(trailers) => end.trailers(trailers),
            _ => Ok(()),
        }
    }

    async fn leave(&mut self, name: &str) {
        if let Some(open) = self.open.get_mut(name) {
            open.client.reset().await;
        }
    }

    async fn upstream_leaves(&mut self, name: &str) {
        let Some(port) = self.open.get(name).map(|open| open.port) else { return };
        // Taken out while it leaves, so that nothing else waits for it.
        let end = self.upstream.ends().remove(&port);
        if let Some(mut end) = end {
            end.reset().await;
            self.upstream.ends().insert(port, end);
        }
    }

    /// Whether the upstream can answer: it has the head of a named stream, all of another.
    async fn reached(&self, name: &str, all: bool, end: Instant) -> Result<bool> {
        let Some(open) = self.open.get(name) else { return Ok(false) };
        loop {
            let message = self.received(open.port).pop();
            if message.is_some_and(|message| message.complete || !all) {
                return Ok(true);
            }
            if self.entry(open)?.is_some() || Instant::now() > end {
                return Ok(false);
            }
            self.settled().await?;
        }
    }

    /// Waits for the end of a stream without a name; whoever still waits then leaves.
    async fn ended(&mut self, name: &str, end: Instant) -> Result<()> {
        while let Some(open) = self.open.get(name) {
            if self.entry(open)?.is_some() {
                return Ok(());
            }
            if Instant::now() > end {
                self.leave(name).await;
                return Ok(());
            }
            self.settled().await?;
        }
        Ok(())
    }

    /// What reached the upstream of a stream, in its order.
    fn received(&self, port: u16) -> Vec<Message> {
        let ends = self.upstream.ends();
        let all = ends.get(&port).into_iter().flat_map(|end| end.earlier.iter().chain([end]));
        all.filter_map(|end| end.heard.message()).collect()
    }

    /// A stream's line in the access log; `None` while it lives.
    fn entry(&self, open: &Open) -> Result<Option<seen::Entry>> {
        let log = self.stage.access_log(self.host.logs.path(), open.opened_at);
        Ok(seen::lines(&log)?.into_iter().rfind(|entry| entry.port == Some(open.port)))
    }

    fn seen(&self, open: &Open) -> Result<Play> {
        let (mut client, mut received) = (open.client.heard.message(), self.received(open.port));
        if let Some(message) = &mut client {
            added::strip_response(message, &open.answered_by);
        }
        received.iter_mut().for_each(|message| added::strip_request(message, &open.opened_by));
        let mut received = received.into_iter();
        let record = self.entry(open)?.and_then(|entry| entry.record);
        Ok(Play { client, upstream: received.next(), further: received.collect(), record, ..Play::default() })
    }

    async fn settled(&self) -> Result<()> {
        self.quiet.settled(&self.host.process, self.upstream.events()).await
    }

    /// Waits until every stream that ended has its line in the access log, which another thread writes.
    async fn lines_written(&self) -> Result<()> {
        let end = Instant::now() + LINES_WITHIN;
        let mut listeners = BTreeMap::new();
        for open in self.open.values() {
            listeners.insert(self.stage.listener(open.opened_at), open.opened_at);
        }
        for (listener, step) in listeners {
            let pattern = format!("^http\\.{listener}\\.downstream_rq_(total|active)$");
            let numbers = self.host.process.admin().numbers(&pattern).await?;
            let number = |name| numbers.get(&format!("http.{listener}.{name}")).copied().unwrap_or_default();
            let ended = number("downstream_rq_total").saturating_sub(number("downstream_rq_active"));
            let log = self.stage.access_log(self.host.logs.path(), step);
            while (seen::lines(&log)?.len() as u64) < ended {
                anyhow::ensure!(Instant::now() < end, "no access log line within {} s", LINES_WITHIN.as_secs());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    fn protocol(&self) -> Protocol {
        self.stage.scenario.given.protocol
    }

    fn http2(&self) -> bool {
        self.protocol() == Protocol::Http2
    }
}

fn has(trailers: &HeaderLines) -> bool {
    !trailers.0.is_empty()
}

/// The lines of a head with its framing; of a body that isn't known to its end no length is announced.
fn outgoing(
    headers: &HeaderLines,
    body: Option<&Body>,
    trailers: &HeaderLines,
    more: bool,
    protocol: Protocol,
) -> Outgoing {
    let unknown = Body::Chunks(Vec::new());
    let body = if more { Some(&unknown) } else { body };
    Outgoing::new(headers, body, trailers, Cut::AsWritten, protocol)
}
