//! A step, played once: what is done, and what is seen of it.

use super::{Open, Proxy};
use crate::{
    outcome::{Cut, Message, Play},
    scenario::{Protocol, Step},
    world::{Headers, heard, wire},
};

impl Proxy {
    /// Plays a step once.
    pub fn play(&mut self, step: &Step, cut: Cut) -> Play {
        let before = self.world.borrow().metrics.counters();
        self.world.borrow_mut().room.begin();
        let mut missed = self.meanwhile(step);
        if let Some(time) = step.pass {
            self.pass(time.0);
        }
        let taken = step.update.as_ref().map(|update| self.update(update));
        let name = step.stream.clone().unwrap_or_default();
        if step.acts() {
            self.exchange(&name, step, cut);
        }
        self.events_of_now();
        missed.extend(self.faults_over());
        missed.extend(self.world.borrow().room.left_out());
        missed.append(&mut self.world.borrow_mut().fatal);
        let mut play = self.open.get(&name).map(|open| self.seen(open)).unwrap_or_default();
        missed.append(&mut play.missed);
        if self.open.get(&name).is_some_and(|open| open.stream.ended) {
            self.open.remove(&name);
        }
        self.sweep();
        let mut world = self.world.borrow_mut();
        let mut metrics = world.metrics.counters();
        for (name, value) in &mut metrics {
            *value -= before.get(name).copied().unwrap_or(0);
        }
        metrics.retain(|_, grown| *grown != 0);
        (play.cut, play.missed, play.taken) = (cut, missed, taken);
        play.metrics = metrics;
        play.log = world.logs.take();
        play
    }

    fn seen(&self, open: &Open) -> Play {
        let world = self.world.borrow();
        let http2 = world.given.protocol == Protocol::Http2;
        // The access log tells it, when the stream ends.
        let record = open.stream.state(world.record_name().as_bytes()).filter(|_| open.stream.ended);
        let mut upstream =
            open.earlier.iter().chain(&open.stream.upstream_before).chain(&open.stream.upstream).map(|upstream| {
                let mut upstream = wire::framed(wire::without_added(upstream.clone(), &open.request), http2);
                wire::unframed(&mut upstream, &[&open.request.headers]);
                upstream
            });
        let client = open.stream.client.clone();
        let client = client.map_or(Ok(None), |client| received(client, open, http2, world.connects_each));
        let (client, missed) = client.map_or_else(|untold| (None, vec![untold]), |client| (client, Vec::new()));
        Play {
            client,
            missed,
            upstream: upstream.next(),
            further: upstream.collect(),
            record: record.map(|record| String::from_utf8_lossy(record).into_owned()),
            ..Play::default()
        }
    }
}

/// What the client makes of what was sent; `piecewise`: it tells what came also where that isn't all.
fn received(sent: Message, open: &Open, http2: bool, piecewise: bool) -> Result<Option<Message>, String> {
    let foreign =
        |headers: &Headers| headers.lines().iter().any(|(name, _)| name.starts_with(b":") && name != b":status");
    if http2 && open.stream.response_headers().is_some_and(foreign) {
        return Ok(None);
    }
    let Some(sent) = heard::heard(sent, http2)? else { return Ok(None) };
    let head_request = open.request.method == "HEAD";
    let bodiless = head_request || !http2 && matches!(&*sent.start, "204" | "304");
    // Over HTTP/2 a client takes a body for an error where none can be.
    let complete = sent.complete && !(http2 && head_request && !sent.body.is_empty());
    let mut client = if bodiless { Message { body: Vec::new(), complete, ..sent } } else { wire::framed(sent, http2) };
    if !piecewise && !bodiless && open.stream.asks_for_head() && client.body.is_empty() && !client.complete {
        // A filter asked for the head only: the client waits for the body that it announces.
        return Ok(None);
    }
    let step = &open.answered_by;
    let written =
        [step.response.as_ref().map(|response| &response.headers), step.reply.as_ref().map(|reply| &reply.headers)];
    wire::unframed(&mut client, &written.into_iter().flatten().collect::<Vec<_>>());
    Ok(Some(client))
}
