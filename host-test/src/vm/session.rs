//! A configured filter that plays one step after another.

use super::{
    instance::Instance,
    limits::{Counts, Limits},
    load::{self, Loaded},
};
use crate::{
    outcome::{Cut, Message, Play},
    scenario::{Scenario, Step},
    world::{Shared, World, flow, logs::Level},
};

/// Why a module or its configuration was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The log of the start with Envoy's message behind it.
    pub reason: String,
    pub log: Vec<String>,
}

/// A worker's VM with the world around it. It lives on, so that what a filter keeps, or leaks, over
/// many requests can be seen.
pub struct Session {
    module: Loaded,
    world: Shared,
    limits: Limits,
    /// `None` after a trap.
    worker: Option<Instance>,
    startup_log: Vec<String>,
}

impl Session {
    /// Starts the filter as an Envoy with one worker does: in a canary, which is dropped, in the main
    /// thread's VM and in the worker's. `on_configure` runs three times.
    pub fn start(module: &[u8], scenario: &Scenario, limits: Limits) -> Result<Self, Refusal> {
        let world = World::of(scenario);
        let started = load::load(module).and_then(|module| {
            let _canary = Instance::start(&module, &world, limits)?;
            let _main = Instance::start(&module, &world, limits)?;
            let worker = Instance::start(&module, &world, limits)?;
            Ok((module, worker))
        });
        let startup_log = world.borrow_mut().logs.take();
        match started {
            Ok((module, mut worker)) => {
                worker.take_counts();
                Ok(Self { module, world, limits, worker: Some(worker), startup_log })
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

    /// The world, to move its clock or to read its store.
    pub fn world(&self) -> &Shared {
        &self.world
    }

    /// Plays a step once.
    pub fn play(&mut self, step: &Step, cut: Cut) -> (Play, Counts) {
        let mut worker = match self.worker.take().map_or_else(|| self.reload(), Ok) {
            Ok(worker) => worker,
            Err(play) => return (*play, Counts::default()),
        };
        let play = flow::play(&self.world, &mut worker, step, cut);
        let counts = worker.take_counts();
        if !worker.trapped() {
            self.worker = Some(worker);
        }
        (play, counts)
    }

    /// A new VM after a trap. Envoy waits a second before it makes one, and a scenario waits with it.
    fn reload(&mut self) -> Result<Instance, Box<Play>> {
        self.world.borrow_mut().clock.advance(1_000_000_000);
        Instance::start(&self.module, &self.world, self.limits)
            .map(|mut worker| {
                worker.take_counts();
                worker
            })
            .map_err(|message| {
                let mut world = self.world.borrow_mut();
                world.logs.write(Level::Error, &message);
                let client = Message { start: "503".into(), complete: true, ..Message::default() };
                Box::new(Play { client: Some(client), log: world.logs.take(), ..Play::default() })
            })
    }
}
