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
        self.all_connect();
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
            open.earlier.iter().chain(&open.stream.upstream_before).chain(open.stream.heard_by_upstream()).map(
                |upstream| {
                    let mut upstream = wire::framed(wire::without_added(upstream.clone(), &open.request), http2);
                    wire::unframed(&mut upstream, &[&open.request.headers]);
                    upstream
                },
            );
        let client = open.stream.heard_by_client().cloned().map_or(Ok(None), |client| received(client, open, http2));
        let (client, missed) = client.map_or_else(|untold| (None, vec![untold]), |client| (client, Vec::new()));
        Play {
            client,
            missed,
            upstream: upstream.next(),
            further: upstream.collect(),
            chance: chance(open, http2),
            record: record.map(|record| String::from_utf8_lossy(record).into_owned()),
            ..Play::default()
        }
    }
}

/// What Envoy leaves to chance where it is given a request all at once. A named stream waits between its pieces.
fn chance(open: &Open, http2: bool) -> Option<&'static str> {
    if !open.in_one_go {
        return None;
    }
    let stream = &open.stream;
    if stream.broken_off {
        return Some(
            "the request was broken off right behind its head, which the upstream may have or not: name the `stream`, \
             whose pieces wait for one another",
        );
    }
    let unlike = stream.upstream_before.iter().any(|before| Some(before) != stream.upstream.as_ref());
    (unlike && !http2).then_some(
        "the request's head went to the upstream twice, on two connections, and either may come first: name the \
         `stream`, whose pieces wait for one another",
    )
}

/// What the client makes of what was sent.
fn received(sent: Message, open: &Open, http2: bool) -> Result<Option<Message>, String> {
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
    let step = &open.answered_by;
    let written =
        [step.response.as_ref().map(|response| &response.headers), step.reply.as_ref().map(|reply| &reply.headers)];
    wire::unframed(&mut client, &written.into_iter().flatten().collect::<Vec<_>>());
    Ok(Some(client))
}
