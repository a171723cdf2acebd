//! One scenario in a running Envoy, step by step.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Host, back_off::BackOff, contexts::Contexts, flight::Flight, seen, trace, workers};
use crate::{
    envoy::{
        added, bootstrap::Stage, callouts::Waiting, client, flight::Backend, process::Line, upstream::Upstream,
        wire::Pace,
    },
    outcome::{Cut, Outcome, Play},
    scenario::Step,
    world::trace::Entry,
};

/// How long a client waits. Only a filter that never decides lets it wait so long.
pub(super) const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

impl Host {
    pub(super) async fn play(&self, stage: &Stage<'_>, backend: &Backend, waiting: Waiting) -> Result<Outcome> {
        let mut outcome = Outcome { startup_log: self.first_lines(stage), ..Outcome::default() };
        let mut flight = match backend {
            Backend::InFlight(upstream) => Some(Flight::new(self, stage, upstream, waiting).await?),
            Backend::AtOnce(_) => None,
        };
        let mut contexts = Contexts::of(stage.scenario);
        let mut alone = |calls: Vec<Entry>| match &mut contexts {
            Some(contexts) => contexts.alone(calls),
            None => calls,
        };
        let known = Contexts::are_known(stage.scenario);
        // Behind the line that tells of the worker's VM.
        let start = self.traced(0).await?.and_then(|all| all.rsplit(Entry::is_creation).next().map(<[_]>::to_vec));
        outcome.traces.extend(start.filter(|_| known).map(&mut alone));
        let mut back_off = BackOff::new(&stage.scenario.given, self.started);
        for (index, step) in stage.scenario.steps.iter().enumerate() {
            for cut in step.cuts() {
                back_off.wait(step).await;
                let offset = self.process.log_offset();
                let play = match (&mut flight, backend) {
                    (Some(flight), _) => flight.play(index, step, cut).await,
                    (None, Backend::AtOnce(upstream)) => self.play_step(stage, upstream, index, step, cut).await,
                    (None, Backend::InFlight(_)) => continue,
                };
                outcome.plays.push(play.with_context(|| match &step.name {
                    Some(name) => format!("step {}, {name}, bodies cut {cut:?}", index + 1),
                    None => format!("step {}, bodies cut {cut:?}", index + 1),
                })?);
                outcome.traces.extend(self.traced(offset).await?.filter(|_| known).map(&mut alone));
                back_off.look(self, step, &self.process.log_since(offset));
            }
        }
        Ok(outcome)
    }

    /// The worker's calls since a place in the log, where they are kept.
    async fn traced(&self, offset: u64) -> Result<Option<Vec<Entry>>> {
        let Some(main) = self.main_thread.as_deref().filter(|_| self.traces) else { return Ok(None) };
        self.settled().await?;
        let number = |thread: &str| workers::number(self.process.pid(), Some(main), thread);
        Ok(Some(trace::of_workers(&self.process.log_since(offset), main, number)))
    }

    async fn play_step(
        &self,
        stage: &Stage<'_>,
        upstream: &Upstream,
        index: usize,
        step: &Step,
        cut: Cut,
    ) -> Result<Play> {
        let admin = self.process.admin();
        let listener = stage.listener(index);
        let port = *self.ports.get(&listener).with_context(|| format!("Envoy has no listener {listener}"))?;
        let access_log = stage.access_log(self.logs.path(), index);

        let offset = self.process.log_offset();
        let entries = seen::length(&access_log);
        let before = seen::counters(admin).await?;
        if let Some(time) = step.pass {
            tokio::time::sleep(Duration::from_nanos(time.0)).await;
        }
        if !step.acts() {
            let metrics = seen::growth(&before, &seen::counters(admin).await?);
            let log = self.own_lines(stage, self.process.wasm_lines_since(offset));
            return Ok(Play { step: index, cut, metrics, log, ..Play::default() });
        }
        let downstream = Pace::new(admin, format!("http.{listener}.downstream_cx_rx_bytes_total"));
        let upstream_pace = Pace::new(admin, format!("cluster.{}.upstream_cx_rx_bytes_total", stage.name));
        upstream.prepare(step.clone(), cut, upstream_pace);

        let mut heard = client::Client::default();
        let protocol = stage.scenario.given.protocol;
        let exchange = client::send(&mut heard, port, protocol, step.request(), cut, downstream);
        // Who gets no whole answer leaves, as on every host.
        tokio::time::timeout(EXCHANGE_WITHIN, exchange).await.unwrap_or(Ok(()))?;
        let mut client = heard.message.take();
        let mut received = upstream.received().await;
        if let Some(message) = &mut client {
            added::strip_response(message, step);
        }
        received.iter_mut().for_each(|message| added::strip_request(message, step));
        let mut received = received.into_iter();
        let mut line = seen::next_line(&access_log, entries).await;
        if line.is_err() && client.is_some() {
            // What was announced came, and the stream goes on for all that.
            heard.leave();
            line = seen::next_line(&access_log, entries).await;
        }
        let entry = match line {
            // What the codec refuses need be no stream at all.
            Err(_) if client.is_none() && step.request().raw.is_some() => {
                seen::Entry { record: None, port: None, details: None }
            }
            entry => entry?,
        };
        let metrics = seen::growth(&before, &seen::counters(admin).await?);
        Ok(Play {
            step: index,
            cut,
            client,
            upstream: received.next(),
            further: received.collect(),
            taken: None,
            record: entry.record,
            metrics,
            log: self.own_lines(stage, self.process.wasm_lines_since(offset)),
            missed: Vec::new(),
            chance: None,
        })
    }

    /// What a scenario's filters said at the start.
    fn first_lines(&self, stage: &Stage<'_>) -> Vec<String> {
        let alone = self.callouts.len() == 1;
        let lines = self.startup_log.iter().filter(|line| alone || !line.vm_id.is_empty());
        self.own_lines(stage, lines.cloned().collect())
    }

    /// What a scenario's filters said in a step of theirs. Of what an allocator says Envoy names no filter; it is that
    /// of the one that is played.
    pub(super) fn own_lines(&self, stage: &Stage<'_>, lines: Vec<Line>) -> Vec<String> {
        let own = lines.into_iter().filter(|line| line.vm_id.is_empty() || stage.is_own(&line.vm_id)).collect();
        let ordered = workers::in_order(own, self.process.pid(), self.main_thread.as_deref());
        ordered.iter().map(Line::said).collect()
    }
}
