//! When a worker makes a new VM in the place of one that trapped, here as in the world's time.
//!
//! Envoy counts from the last time that it made one. What a scenario's steps take is nothing in its own time and
//! little here, but the start of Envoy lies long back in the one, and perhaps not in the other. So a request that
//! finds a new VM by the scenario's time waits until it does by Envoy's.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Host, trace, workers};
use crate::scenario::{FailurePolicy, Given, Step};

/// For what Envoy itself takes.
const MARGIN: Duration = Duration::from_millis(100);

pub struct BackOff {
    longest: Duration,
    reloads: bool,
    started: Instant,
    workers: BTreeMap<usize, Worker>,
}

#[derive(Default)]
struct Worker {
    has_trapped: bool,
    /// When it made its VM, and how much of the scenario's time went by since.
    loaded: Option<(Instant, Duration)>,
}

impl BackOff {
    pub fn new(given: &Given, started: Instant) -> Self {
        let base = Duration::from_nanos(given.reload_backoff.0);
        let reloads = given.failure_policy == FailurePolicy::FailReload;
        Self { longest: base + base / 2, reloads, started, workers: BTreeMap::new() }
    }

    /// Waits before a step whose request finds a new VM.
    pub async fn wait(&mut self, step: &Step) {
        let passes = Duration::from_nanos(step.pass.map_or(0, |pass| pass.0));
        for worker in self.workers.values_mut() {
            if let Some((_, passed)) = &mut worker.loaded {
                *passed += passes;
            }
        }
        let worker = self.workers.entry(step.worker as usize).or_default();
        if !self.reloads || !worker.has_trapped || !step.acts() {
            return;
        }
        let since = match worker.loaded {
            Some((loaded, passed)) if passed >= self.longest => loaded,
            Some(_) => return,
            None => self.started,
        };
        let needed = self.longest + MARGIN;
        tokio::time::sleep(needed.saturating_sub(since.elapsed() + passes)).await;
    }

    /// Reads out of Envoy's log what a step did to VMs.
    pub fn look(&mut self, host: &Host, step: &Step, log: &str) {
        let main = host.main_thread.as_deref();
        let of = |line: &str| trace::thread(line).map(|thread| workers::number(host.process.pid(), main, thread));
        for line in log.lines() {
            let trapped = line.contains("Function: ") && line.contains(" failed");
            let made = line.contains(trace::CREATED);
            let Some(number) = (trapped || made).then(|| of(line)).flatten() else { continue };
            let worker = self.workers.entry(number).or_default();
            worker.has_trapped = trapped;
            if made {
                worker.loaded = Some((Instant::now(), Duration::ZERO));
            }
        }
        // A new configuration counts as made now, in VMs that were there too.
        if step.update.is_some() && !step.expect.refused {
            self.started = Instant::now();
            self.workers.values_mut().for_each(|worker| worker.loaded = Some((Instant::now(), Duration::ZERO)));
        }
    }
}
