//! proxy-wasm modules in Wasmtime, started and ended as Envoy does.
//!
//! 1. `load` refuses what Envoy refuses, in its words; compiled modules are kept in memory.
//! 2. `instance` is one VM; each callback has a limit of fuel, each VM one of memory.
//! 3. `session` starts a canary, the main thread's VM and a worker's, and plays steps on the last.
//!    A trap ends the worker's VM; the next step finds a new one (`failure_policy: FAIL_RELOAD`).

mod instance;
mod limits;
mod load;
mod session;

use std::{fs, path::PathBuf};

use anyhow::Context;

pub use self::{
    limits::{Counts, Limits},
    load::engine,
    session::{Refusal, Session},
};
use crate::{outcome::Outcome, scenario::Scenario};

/// Runs a scenario on the modules in files, one for each filter of its chain.
pub fn run(modules: &[PathBuf], scenario: &Scenario) -> anyhow::Result<Outcome> {
    let read = |module: &PathBuf| fs::read(module).with_context(|| format!("can't read {}", module.display()));
    let modules = modules.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let modules: Vec<&[u8]> = modules.iter().map(Vec::as_slice).collect();
    Ok(played(Session::of_chain(&modules, scenario, Limits::default()), scenario))
}

/// Runs a scenario of one filter on a module.
pub fn run_bytes(module: &[u8], scenario: &Scenario, limits: Limits) -> Outcome {
    played(Session::start(module, scenario, limits), scenario)
}

fn played(session: Result<Session, Refusal>, scenario: &Scenario) -> Outcome {
    let mut session = match session {
        Ok(session) => session,
        Err(Refusal { reason, log }) => {
            return Outcome { refused: Some(reason), startup_log: log, ..Outcome::default() };
        }
    };
    let mut outcome = Outcome { startup_log: session.startup_log().to_vec(), ..Outcome::default() };
    for (index, step) in scenario.steps.iter().enumerate() {
        for cut in step.cuts() {
            let (mut play, _) = session.play(step, cut);
            play.step = index;
            outcome.plays.push(play);
        }
    }
    outcome
}
