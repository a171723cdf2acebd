//! A new configuration for the filter under test, while streams are in flight.
//!
//! 1. Envoy tries it in a canary first. One that is refused there leaves everything as it was, and isn't tried
//!    again while its VM configuration is in use.
//! 2. One that is taken is started on each thread, main first. New streams meet it; the chain before it drains:
//!    its streams keep their root contexts.
//! 3. When the time to drain is over, the connections of the old chain are closed, and its root contexts end.
//! 4. A filter that refuses on a thread alone spoils its VM configuration: no further update of it is taken.

use std::rc::Rc;

use super::Proxy;
use crate::{
    scenario::Update,
    world::{Plugin, logs::Level},
};

/// What was found out about configurations, while the VM configuration that they came with is in use.
#[derive(Default)]
pub struct Tried {
    /// Each with whether a canary took it.
    canaries: Vec<(usize, Rc<Plugin>, bool)>,
    /// VM configurations with which a thread refused what the canary took.
    spoilt: Vec<(usize, Vec<u8>)>,
}

impl Tried {
    /// A thread refused what the canary took.
    pub fn spoil(&mut self, place: usize, plugin: &Plugin) {
        self.spoilt.push((place, plugin.vm_configuration.clone()));
    }
}

/// An old chain that still has streams.
pub struct Drain {
    pub generation: u32,
    /// Nanoseconds since the epoch.
    pub until: u64,
}

impl Proxy {
    /// Whether the filter under test takes a new configuration.
    pub fn update(&mut self, update: &Update) -> bool {
        let place = self.under_test;
        let Some(plugin) = self.threads.first().and_then(|main| main.chain.get(place)).map(|slot| &slot.plugin) else {
            return false;
        };
        let plugin = Rc::new(plugin.updated(update));
        if let Err(message) = self.try_out(place, &plugin) {
            self.world.borrow_mut().logs.write(Level::Error, &message);
            return false;
        }
        let (generation, now) = (self.generation, self.world.borrow().clock.now());
        self.generation += 1;
        let mut is_spoilt = false;
        for thread in &mut self.threads {
            let mut chain = Vec::new();
            for (other, slot) in thread.chain.clone().iter().enumerate() {
                let plugin = if other == place { &plugin } else { &slot.plugin };
                let mut slot = thread.slot(&self.world, &self.start, other, plugin);
                slot.loaded_at = Some(now);
                is_spoilt |= slot.root.is_none();
                chain.push(slot);
            }
            thread.change(generation, chain);
        }
        if is_spoilt {
            self.tried.spoil(place, &plugin);
        }
        let until = now.saturating_add(self.world.borrow().given.drain.0);
        self.drains.push(Drain { generation, until });
        true
    }

    /// Tries a configuration in a canary. The error is why it isn't taken.
    pub(super) fn try_out(&mut self, place: usize, plugin: &Rc<Plugin>) -> Result<(), String> {
        self.world.borrow_mut().enter(0);
        let vm = |other: &Plugin| other.vm_configuration == plugin.vm_configuration;
        let in_use = self.threads.first().is_some_and(|main| main.uses(place, &plugin.vm_configuration));
        if !in_use {
            self.tried.canaries.retain(|(other, tried, _)| *other != place || !vm(tried));
            self.tried.spoilt.retain(|(other, spoilt)| *other != place || *spoilt != plugin.vm_configuration);
            // The VM that others are made from: it begins, and is never called.
            let base = (self.start)(place, plugin)?;
            self.world.borrow_mut().forget(base.vm());
        }
        let same = |(other, tried, _): &&(usize, Rc<Plugin>, bool)| {
            *other == place && vm(tried) && tried.configuration == plugin.configuration
        };
        let known = self.tried.canaries.iter().find(same).map(|(.., taken)| *taken);
        match known {
            Some(true) => {}
            Some(false) => return Err("Unable to create Wasm plugin: it was refused before".into()),
            None => {
                let mut canary = (self.start)(place, plugin)?;
                if let Some(main) = self.threads.first_mut() {
                    main.made(canary.vm(), place, plugin);
                }
                let started = canary.start_root(plugin);
                self.world.borrow_mut().forget(canary.vm());
                self.tried.canaries.push((place, Rc::clone(plugin), started.is_ok()));
                started.map_err(|refused| refused.message)?;
            }
        }
        if self.tried.spoilt.contains(&(place, plugin.vm_configuration.clone())) {
            return Err("Unable to create Wasm plugin: a thread refused what its canary had taken".into());
        }
        Ok(())
    }

    /// Closes what is left of an old chain whose time is over.
    pub(super) fn drained(&mut self, generation: u32) {
        self.drains.retain(|drain| drain.generation != generation);
        let old = self.open.iter().filter(|(_, open)| open.generation == generation && !open.stream.ended);
        let old: Vec<_> = old.map(|(name, open)| (name.clone(), open.thread)).collect();
        for (name, thread) in old {
            self.world.borrow_mut().enter(thread);
            if let Some(mut run) = self.running(&name) {
                let left = run.client_leaves();
                run.settle(left);
            }
        }
        self.threads.iter_mut().for_each(|thread| thread.drop_old(generation));
        self.sweep();
    }
}
