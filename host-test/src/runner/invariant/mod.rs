//! Laws that hold for any module, whatever it decides. They are tried in Wasmtime, on a scenario's own
//! configuration and steps.

mod chunking;
mod hostile;
mod message;
mod no_trap;
mod random;
mod yaml;

use std::time::Instant;

use clap::ValueEnum;

use super::{Failure, Report, Verdict};
use crate::{
    scenario::{HostKind, Scenario},
    vm::{Limits, Refusal, Session},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Invariant {
    /// However a body is cut, client, upstream and record see the same.
    Chunking,
    /// No message that a proxy lets through makes the module trap.
    NoTrap,
}

impl Invariant {
    fn name(self) -> &'static str {
        match self {
            Self::Chunking => "chunking",
            Self::NoTrap => "no-trap",
        }
    }
}

/// How hostile messages are made.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The same seed gives the same messages.
    pub seed: u64,
    /// Messages for each scenario.
    pub plays: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { seed: 1, plays: 200 }
    }
}

/// Tries a law on a scenario and the modules of its chain. It is skipped where it can't fail: on a
/// scenario that must be refused, isn't played in Wasmtime, or has nothing to cut; and where streams
/// stay open, because a law plays each step by itself.
pub fn hold(
    invariant: Invariant,
    scenario: &Scenario,
    modules: anyhow::Result<Vec<Vec<u8>>>,
    traffic: Traffic,
) -> Report {
    let began = Instant::now();
    let skipped = scenario.skip.get(&HostKind::Wasm).cloned();
    let verdict = if let Some(reason) = skipped.or_else(|| scenario.envoy.skipped(Limits::default().envoy)) {
        Verdict::Skipped(reason)
    } else if scenario.steps.is_empty() {
        Verdict::Skipped("the configuration must be refused".into())
    } else if scenario.in_flight() {
        Verdict::Skipped("its streams stay open from step to step, and a law plays each step by itself".into())
    } else if invariant == Invariant::Chunking && scenario.counts_calls() {
        Verdict::Skipped("its faults count calls, and a filter makes others when a body is split".into())
    } else if invariant == Invariant::Chunking && !chunking::applies(scenario) {
        Verdict::Skipped("no step has a body that can be cut".into())
    } else {
        let failures = match modules {
            Ok(modules) => match invariant {
                Invariant::Chunking => chunking::violations(scenario, &modules),
                Invariant::NoTrap => no_trap::violations(scenario, &modules, traffic),
            },
            Err(error) => Err(format!("{error:#}")),
        };
        Verdict::of(failures.unwrap_or_else(|error| vec![Failure::whole(vec![error])]))
    };
    Report {
        scenario: scenario.scenario.clone(),
        plugin: scenario.plugin.clone(),
        file: scenario.file.clone(),
        hosts: vec![HostKind::Wasm],
        check: Some(invariant.name()),
        verdict,
        took: began.elapsed(),
        hazards: Vec::new(),
    }
}

/// A filter that has played nothing yet; the error is why it doesn't start.
fn fresh(scenario: &Scenario, modules: &[Vec<u8>]) -> Result<Session, String> {
    let modules: Vec<&[u8]> = modules.iter().map(Vec::as_slice).collect();
    Session::of_chain(&modules, scenario, Limits::default())
        .map_err(|Refusal { reason, .. }| format!("the configuration is refused: {reason}"))
}
