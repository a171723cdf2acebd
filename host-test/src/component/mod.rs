//! Policy components in Wasmtime: the world behind `wit/`. No rule of its own: a verdict becomes the
//! same changes that a proxy-wasm module would make. Responses' bodies pass, since the contract has none.

// What is generated there says `unsafe`; what is written here doesn't.
#[allow(unsafe_code)]
mod bindings;
mod contract;
mod host;
mod policy;

use std::{fs, path::PathBuf};

use anyhow::Context;

use self::policy::Policy;
use crate::{
    outcome::{Outcome, Play},
    scenario::Scenario,
    vm::Limits,
    world::{Plugin, Shared, World, codec, proxy::Proxy, stream::Filter},
};

/// Runs a scenario on the components in files, one for each filter of its chain.
pub fn run(components: &[PathBuf], scenario: &Scenario) -> anyhow::Result<Outcome> {
    codec::knows(scenario).map_err(anyhow::Error::msg)?;
    let load = |component: &PathBuf| {
        let bytes = fs::read(component).with_context(|| format!("can't read {}", component.display()))?;
        policy::load(&bytes).with_context(|| format!("{} is no head-policy", component.display()))
    };
    let components = components.iter().map(load).collect::<anyhow::Result<Vec<_>>>()?;
    let plugins = Plugin::chain(scenario);
    let world = World::of(scenario);
    let (limits, under_test) = (Limits::default(), scenario.place());
    let bounded = limits.within(scenario.given.limits);
    let around = Shared::clone(&world);
    let start = move |place: usize, plugin: &Plugin| {
        let component = components.get(place).ok_or("the chain has no such filter")?;
        let limits = if place == under_test { bounded } else { limits };
        let policy = Policy::start(component, &around, plugin, limits).map_err(|error| format!("{error:#}"))?;
        Ok(Box::new(policy) as Box<dyn Filter>)
    };
    let workers = scenario.given.workers as usize;
    let started = Proxy::start(Shared::clone(&world), &plugins, scenario.place(), workers, Box::new(start));
    let mut outcome = Outcome { startup_log: world.borrow_mut().logs.take(), ..Outcome::default() };
    let mut proxy = match started {
        Ok(proxy) => proxy,
        Err(reason) => {
            let lines: Vec<&str> = outcome.startup_log.iter().map(String::as_str).chain([reason.as_str()]).collect();
            return Ok(Outcome { refused: Some(lines.join("\n")), ..outcome });
        }
    };
    for (index, step) in scenario.steps.iter().enumerate() {
        for cut in step.cuts() {
            outcome.plays.push(Play { step: index, ..proxy.play(step, cut) });
        }
    }
    outcome.missed = world.borrow().faults.unmet();
    Ok(outcome)
}
