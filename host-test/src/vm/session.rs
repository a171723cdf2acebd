//! A configured filter that plays one step after another.

use super::{
    instance::Instance,
    limits::{Counts, Limits},
    load,
};
use crate::{
    outcome::{Cut, Play},
    scenario::{Scenario, Step},
    world::{Plugin, Shared, World, codec, proxy::Proxy, stream::Filter},
};

/// Why a module or its configuration was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The log of the start with Envoy's message behind it.
    pub reason: String,
    pub log: Vec<String>,
}

/// The proxy with its filter. It lives on, so that what a filter keeps, or leaks, over many requests
/// can be seen.
pub struct Session {
    proxy: Proxy,
    startup_log: Vec<String>,
    startup: Counts,
}

impl Session {
    /// Starts a filter as Envoy does.
    pub fn start(module: &[u8], scenario: &Scenario, limits: Limits) -> Result<Self, Refusal> {
        Self::of_chain(&[module], scenario, limits)
    }

    /// Starts a chain of filters: a module for each, in the order in which a request meets them.
    pub fn of_chain(modules: &[&[u8]], scenario: &Scenario, limits: Limits) -> Result<Self, Refusal> {
        let world = World::of(scenario);
        if let Err(reason) = codec::knows(scenario) {
            return Err(Refusal { reason, log: Vec::new() });
        }
        let modules: Result<Vec<_>, String> = modules.iter().map(|module| load::load(module)).collect();
        let started = modules.and_then(|modules| {
            let plugins = Plugin::chain(scenario);
            let workers = scenario.given.workers as usize;
            let around = Shared::clone(&world);
            let (bounded, under_test) = (limits.within(scenario.given.limits), scenario.place());
            let start = move |place: usize, plugin: &Plugin| {
                let module = modules.get(place).ok_or("the chain has no such filter")?;
                let limits = if place == under_test { bounded } else { limits };
                let vm = Instance::start(module, &around, plugin, limits)?;
                Ok(Box::new(vm) as Box<dyn Filter>)
            };
            Proxy::start(Shared::clone(&world), &plugins, scenario.place(), workers, Box::new(start))
        });
        let startup_log = world.borrow_mut().logs.take();
        match started {
            Ok(mut proxy) => {
                let startup = proxy.take_counts();
                Ok(Self { proxy, startup_log, startup })
            }
            Err(message) => {
                let reason = startup_log.iter().map(String::as_str).chain([message.as_str()]).collect::<Vec<_>>();
                Err(Refusal { reason: reason.join("\n"), log: startup_log })
            }
        }
    }

    /// What was logged until the worker was ready.
    pub fn startup_log(&self) -> &[String] {
        &self.startup_log
    }

    /// What the start cost.
    pub fn startup_counts(&self) -> &Counts {
        &self.startup
    }

    /// The world, to move its clock or to read its store.
    pub fn world(&self) -> &Shared {
        self.proxy.world()
    }

    /// Plays a step once.
    pub fn play(&mut self, step: &Step, cut: Cut) -> (Play, Counts) {
        let play = self.proxy.play(step, cut);
        (play, self.proxy.take_counts())
    }
}
