//! One thread of the proxy, the main one or a worker: its root contexts, and what holds them.
//!
//! 1. A configuration that is already there is not started again: its root context serves on.
//! 2. A new one gets a root context in the VM that is there; with another VM configuration, or behind a
//!    trap, a VM of its own.
//! 3. A root context ends when no configuration and no stream holds it: `on_done`, and `on_delete` unless
//!    `on_done` asked to wait for `proxy_done`. Meanwhile its ticks go on.
//! 4. A root context that refuses its configuration where others live in the VM stays as long as the VM does, with its
//!    ticks, and is told of its end behind the others.
//! 5. A VM goes with the last root context that something holds, whatever waits in it.

use std::rc::Rc;

use super::{
    Start,
    root::{Root, Vm},
};
use crate::world::{Plugin, Shared, logs::Level};

/// What a filter of the chain is to new streams of this thread.
#[derive(Clone)]
pub struct Slot {
    pub plugin: Rc<Plugin>,
    /// `None` where the filter refused its configuration on this thread alone: Envoy leaves the filter out.
    pub root: Option<Rc<Root>>,
    /// When Envoy last made a VM here, or tried; `None`: long ago. Nanoseconds since the epoch.
    pub loaded_at: Option<u64>,
}

/// A chain that takes no new streams.
struct Old {
    generation: u32,
    /// Its root contexts live as long.
    chain: Vec<Slot>,
}

/// A VM that was made here, dead or alive.
struct Made {
    vm: u32,
    place: usize,
    configuration: Vec<u8>,
}

pub struct Thread {
    /// 0 is the main one.
    number: usize,
    pub chain: Vec<Slot>,
    old: Vec<Old>,
    made: Vec<Made>,
    /// The root contexts that live here, oldest first.
    roots: Vec<Rc<Root>>,
    /// Those that refused their configuration in a VM in which others live.
    refused: Vec<Rc<Root>>,
    /// Those whose filter asked to wait for `proxy_done`.
    ending: Vec<Rc<Root>>,
}

impl Thread {
    pub fn new(number: usize) -> Self {
        let (made, roots, refused, ending) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { number, chain: Vec::new(), old: Vec::new(), made, roots, refused, ending }
    }

    /// Remembers what a VM is for.
    pub fn made(&mut self, vm: u32, place: usize, plugin: &Plugin) {
        self.made.push(Made { vm, place, configuration: plugin.vm_configuration.clone() });
    }

    /// The filter's root context on this thread, made where there is none. The error is that of its start.
    pub fn hold(
        &mut self,
        world: &Shared,
        start: &Start,
        place: usize,
        plugin: &Rc<Plugin>,
    ) -> Result<Rc<Root>, String> {
        world.borrow_mut().enter(self.number);
        if let Some(root) = self.roots.iter().find(|root| root.is_for(place, plugin)) {
            return Ok(Rc::clone(root));
        }
        let shared = self.roots.iter().find(|root| root.vm.is_for(place, plugin) && root.vm.takes_another());
        let (vm, is_new) = match shared {
            Some(root) => (Rc::clone(&root.vm), false),
            None => (Rc::new(Vm::new(place, plugin, start(place, plugin)?)), true),
        };
        if is_new {
            self.made(vm.number, place, plugin);
        }
        match vm.call(|filter| filter.start_root(plugin)) {
            Some(Ok(id)) => {
                let root = Rc::new(Root::new(&vm, id, plugin));
                self.roots.push(Rc::clone(&root));
                Ok(root)
            }
            Some(Err(refused)) => {
                if let Some(trap) = &refused.trap {
                    vm.trapped(world, trap);
                } else if is_new {
                    // The VM goes, and with it every root context that began in it.
                    Root::new(&vm, refused.root, plugin).end(world);
                }
                if is_new {
                    world.borrow_mut().forget(vm.number);
                } else if vm.is_alive() {
                    self.refused.push(Rc::new(Root::new(&vm, refused.root, plugin)));
                }
                Err(refused.message)
            }
            None => Err("the VM is gone".into()),
        }
    }

    /// The same, as Envoy's threads do it: who refuses has no root context, and says so in the log.
    pub fn slot(&mut self, world: &Shared, start: &Start, place: usize, plugin: &Rc<Plugin>) -> Slot {
        let root = self.hold(world, start, place, plugin);
        if let Err(message) = &root {
            world.borrow_mut().logs.write(Level::Error, message);
        }
        Slot { plugin: Rc::clone(plugin), root: root.ok(), loaded_at: None }
    }

    /// New streams meet this chain; the one before it stays for those that it has.
    pub fn change(&mut self, generation: u32, chain: Vec<Slot>) {
        let before = std::mem::replace(&mut self.chain, chain);
        self.old.push(Old { generation, chain: before });
    }

    /// The chain of a generation.
    pub fn chain_of(&self, generation: u32) -> &[Slot] {
        self.old.iter().find(|old| old.generation == generation).map_or(&self.chain, |old| &old.chain)
    }

    /// Drops the chain of a generation.
    pub fn drop_old(&mut self, generation: u32) {
        self.old.retain(|old| old.generation != generation);
    }

    /// Whether a configuration that this thread has or had needs this VM configuration.
    pub fn uses(&self, place: usize, vm_configuration: &[u8]) -> bool {
        let mut chains = self.old.iter().map(|old| &old.chain).chain([&self.chain]);
        chains.any(|chain| chain.get(place).is_some_and(|slot| slot.plugin.vm_configuration == vm_configuration))
    }

    /// The VM that lives here in the place of one, which may be gone: what is posted to a VM is posted to whichever
    /// has its code and configuration.
    pub fn successor(&self, vm: u32) -> Option<Rc<Vm>> {
        let made = self.made.iter().find(|made| made.vm == vm)?;
        let all = self.roots.iter().chain(&self.ending).map(|root| &root.vm);
        all.rev().find(|vm| vm.serves(made.place, &made.configuration)).map(Rc::clone)
    }

    /// A root context by its VM, also one that is ending.
    pub fn root_in(&self, vm: u32) -> Option<Rc<Root>> {
        let mut all = self.roots.iter().chain(&self.ending);
        all.find(|root| root.vm_number() == vm && root.vm.is_alive()).cloned()
    }

    /// Ends the root contexts that nothing holds any more.
    pub fn sweep(&mut self, world: &Shared) {
        world.borrow_mut().enter(self.number);
        while let Some(place) = self.roots.iter().position(|root| Rc::strong_count(root) == 1) {
            let root = self.roots.remove(place);
            if !root.end(world) {
                self.ending.push(root);
            }
        }
        let held: Vec<u32> = self.roots.iter().map(|root| root.vm_number()).collect();
        for root in self.refused.extract_if(.., |root| !held.contains(&root.vm_number())).collect::<Vec<_>>() {
            if !root.end(world) {
                self.ending.push(root);
            }
        }
        for root in self.ending.extract_if(.., |root| !held.contains(&root.vm_number())) {
            world.borrow_mut().forget(root.vm_number());
        }
    }
}
