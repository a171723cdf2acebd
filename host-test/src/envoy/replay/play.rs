//! One scenario in a running Envoy, step by step.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Host, flight::Flight, seen};
use crate::{
    envoy::{added, bootstrap::Stage, client, flight::Backend, process::Line, upstream::Upstream, wire::Pace},
    outcome::{Cut, Outcome, Play},
    scenario::Step,
};

/// How long one exchange may take. Only a filter that never decides needs so long.
pub(super) const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

impl Host {
    pub(super) async fn play(&self, stage: &Stage<'_>, backend: &Backend) -> Result<Outcome> {
        let mut outcome = Outcome { startup_log: own_lines(stage, &self.startup_log), ..Outcome::default() };
        let mut flight = match backend {
            Backend::InFlight(upstream) => Some(Flight::new(self, stage, upstream)?),
            Backend::AtOnce(_) => None,
        };
        for (index, step) in stage.scenario.steps.iter().enumerate() {
            for cut in step.cuts() {
                let play = match (&mut flight, backend) {
                    (Some(flight), _) => flight.play(index, step, cut).await,
                    (None, Backend::AtOnce(upstream)) => self.play_step(stage, upstream, index, step, cut).await,
                    (None, Backend::InFlight(_)) => continue,
                };
                outcome.plays.push(play.with_context(|| match &step.name {
                    Some(name) => format!("step {}, {name}, bodies cut {cut:?}", index + 1),
                    None => format!("step {}, bodies cut {cut:?}", index + 1),
                })?);
            }
        }
        Ok(outcome)
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
        let downstream = Pace::new(admin, format!("http.{listener}.downstream_cx_rx_bytes_total"));
        let upstream_pace = Pace::new(admin, format!("cluster.{}.upstream_cx_rx_bytes_total", stage.name));
        upstream.prepare(step.response.clone().unwrap_or_default(), cut, upstream_pace);

        let exchange = client::send(port, stage.scenario.given.protocol, step.request(), cut, downstream);
        let exchange = tokio::time::timeout(EXCHANGE_WITHIN, exchange).await;
        let mut client = exchange.with_context(|| format!("no answer within {} s", EXCHANGE_WITHIN.as_secs()))??;
        let mut upstream = upstream.received().await;
        if let Some(message) = &mut client {
            added::strip_response(message, step);
        }
        if let Some(message) = &mut upstream {
            added::strip_request(message, step);
        }
        let entry = seen::next_line(&access_log, entries).await?;
        let metrics = seen::growth(&before, &seen::counters(admin).await?);
        Ok(Play {
            step: index,
            cut,
            client,
            upstream,
            record: entry.record,
            metrics,
            log: own_lines(stage, &self.process.wasm_lines_since(offset)),
        })
    }
}

pub(super) fn own_lines(stage: &Stage<'_>, lines: &[Line]) -> Vec<String> {
    lines.iter().filter(|line| stage.is_own(&line.vm_id)).map(Line::said).collect()
}
