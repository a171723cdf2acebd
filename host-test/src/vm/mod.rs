//! proxy-wasm modules in Wasmtime, started and ended as Envoy does.
//!
//! 1. `load` refuses what Envoy refuses, in its words; compiled modules are kept in memory and, by
//!    `cache`, on disk.
//! 2. `instance` is one VM; each callback has limits of fuel, time and calls, each VM one of memory.
//! 3. `session` starts a proxy with its threads, and plays steps on them.

pub mod cache;
mod engine;
mod instance;
mod limits;
mod load;
mod session;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;

pub use self::{
    engine::engine,
    limits::{Counts, Limits},
    load::{LARGEST, accept},
    session::{Refusal, Session},
};
use crate::{
    outcome::Outcome,
    scenario::Scenario,
    world::{Plugin, World, hazards::Watch, stream::Filter as _, trace::Entry},
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
    let chain = Plugin::chain(scenario);
    let plugin = chain.get(scenario.place()).ok_or("the scenario has no filter under test")?;
    let mut vm = instance::Instance::start(&loaded, &world, plugin, Limits::default())?;
    vm.start_root(plugin).map_err(|refused| refused.message)?;
    Ok(began.elapsed())
}

/// Whether Envoy would load a module.
///
/// # Errors
/// Envoy's reason not to.
pub fn check(module: &[u8]) -> Result<(), String> {
    load::load(module).map(drop)
}

/// Runs a scenario on the modules in files, one for each filter of its chain.
pub fn run(modules: &[PathBuf], scenario: &Scenario, limits: Limits) -> anyhow::Result<Outcome> {
    let read = |module: &PathBuf| fs::read(module).with_context(|| format!("can't read {}", module.display()));
    let modules = modules.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let modules: Vec<&[u8]> = modules.iter().map(Vec::as_slice).collect();
    Ok(played(Session::of_chain(&modules, scenario, limits), scenario, limits))
}

/// Runs a scenario of one filter on a module.
pub fn run_bytes(module: &[u8], scenario: &Scenario, limits: Limits) -> Outcome {
    played(Session::start(module, scenario, limits), scenario, limits)
}

fn played(session: Result<Session, Refusal>, scenario: &Scenario, limits: Limits) -> Outcome {
    let mut session = match session {
        Ok(session) => session,
        Err(Refusal { reason, log }) => {
            return Outcome { refused: Some(reason), startup_log: log, ..Outcome::default() };
        }
    };
    let mut outcome = Outcome { startup_log: session.startup_log().to_vec(), ..Outcome::default() };
    let traced = |session: &Session| session.world().borrow_mut().trace.take();
    // Of the VMs that were started only the last, the worker's, plays.
    let start = traced(&session).rsplit(Entry::is_creation).next().map(<[_]>::to_vec);
    let mut watch = Watch::new(scenario.given.held_at_most());
    outcome.hazards = start.as_deref().map(|start| watch.look(start)).unwrap_or_default();
    outcome.traces.extend(start.filter(|_| limits.trace));
    for (index, step) in scenario.steps.iter().enumerate() {
        for cut in step.cuts() {
            let (mut play, _) = session.play(step, cut);
            play.step = index;
            outcome.plays.push(play);
            let noticed = std::mem::take(&mut session.world().borrow_mut().noticed);
            if limits.trace || limits.watch {
                let trace = traced(&session);
                for hazard in watch.look(&trace).into_iter().chain(noticed) {
                    if !outcome.hazards.contains(&hazard) {
                        outcome.hazards.push(hazard);
                    }
                }
                outcome.traces.extend(Some(trace).filter(|_| limits.trace));
            }
            outcome.traps.extend(session.world().borrow_mut().trace.take_traps());
        }
    }
    if limits.watch
        && let Some(hazard) = watch.end().filter(|hazard| !outcome.hazards.contains(hazard))
    {
        outcome.hazards.push(hazard);
    }
    outcome.missed = session.world().borrow().faults.unmet();
    outcome
}
