//! proxy-wasm modules in Wasmtime, started and ended as Envoy does.
//!
//! 1. `load` refuses what Envoy refuses, in its words; compiled modules are kept in memory and, by
//!    `cache`, on disk.
//! 2. `instance` is one VM; each callback has limits of fuel, time and calls, each VM one of memory.
//! 3. `session` starts a canary, the main thread's VM and a worker's, and plays steps on the last.
//!    A trap ends the worker's VM; the next step finds a new one (`failure_policy: FAIL_RELOAD`).

pub mod cache;
mod engine;
mod instance;
mod limits;
mod load;
mod session;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;

pub use self::{
    engine::engine,
    limits::{Counts, Limits},
    load::accept,
    session::{Refusal, Session},
};
use crate::{
    outcome::Outcome,
    scenario::Scenario,
    world::{World, trace::Entry},
};

/// How long a module takes from its bytes to a VM that is configured, with nothing of it in memory.
pub fn cold_start(
    module: &[u8],
    scenario: &Scenario,
    folder: Option<&'static cache::Folder>,
) -> Result<Duration, String> {
    let world = World::of(scenario);
    let began = Instant::now();
    let loaded = load::check(module, folder)?;
    let _vm = instance::Instance::start(&loaded, &world, Limits::default())?;
    Ok(began.elapsed())
}

/// Runs a scenario on the module in a file.
pub fn run(module: &Path, scenario: &Scenario, limits: Limits) -> anyhow::Result<Outcome> {
    let bytes = fs::read(module).with_context(|| format!("can't read {}", module.display()))?;
    Ok(run_bytes(&bytes, scenario, limits))
}

/// Runs a scenario on a module.
pub fn run_bytes(module: &[u8], scenario: &Scenario, limits: Limits) -> Outcome {
    let mut session = match Session::start(module, scenario, limits) {
        Ok(session) => session,
        Err(Refusal { reason, log }) => {
            return Outcome { refused: Some(reason), startup_log: log, ..Outcome::default() };
        }
    };
    let mut outcome = Outcome { startup_log: session.startup_log().to_vec(), ..Outcome::default() };
    let traced = |session: &Session| session.world().borrow_mut().trace.take();
    // Of the VMs that were started only the last, the worker's, plays.
    let start = traced(&session).rsplit(Entry::is_creation).next().map(<[_]>::to_vec);
    outcome.traces.extend(start.filter(|_| limits.trace));
    for (index, step) in scenario.steps.iter().enumerate() {
        for cut in step.cuts() {
            let (mut play, _) = session.play(step, cut);
            play.step = index;
            outcome.plays.push(play);
            if limits.trace {
                outcome.traces.push(traced(&session));
            }
            outcome.traps.extend(session.world().borrow_mut().trace.take_traps());
        }
    }
    outcome
}
