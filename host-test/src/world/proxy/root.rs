//! A root context in a VM: what a configuration is to one thread of the proxy.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use crate::world::{
    Plugin, Shared,
    logs::Level,
    stream::{Filter, Trap},
};

/// A VM of one thread. Filters of one place in the chain share it while its configuration is the same.
pub struct Vm {
    pub number: u32,
    place: usize,
    configuration: Vec<u8>,
    /// `None` once it trapped.
    filter: RefCell<Option<Box<dyn Filter>>>,
    /// Whether more than one root context can live in it.
    is_shared: bool,
}

impl Vm {
    pub fn new(place: usize, plugin: &Plugin, filter: Box<dyn Filter>) -> Self {
        let (number, is_shared) = (filter.vm(), filter.is_shared());
        let configuration = plugin.vm_configuration.clone();
        Self { number, place, configuration, filter: RefCell::new(Some(filter)), is_shared }
    }

    pub fn is_for(&self, place: usize, plugin: &Plugin) -> bool {
        self.serves(place, &plugin.vm_configuration)
    }

    pub fn serves(&self, place: usize, vm_configuration: &[u8]) -> bool {
        self.is_alive() && self.place == place && self.configuration == vm_configuration
    }

    pub fn takes_another(&self) -> bool {
        self.is_shared
    }

    pub fn is_alive(&self) -> bool {
        self.filter.borrow().is_some()
    }

    /// A callback; `None` where the VM is gone.
    pub fn call<T>(&self, callback: impl FnOnce(&mut dyn Filter) -> T) -> Option<T> {
        self.filter.borrow_mut().as_mut().map(|filter| callback(filter.as_mut()))
    }

    /// Ends the VM. Nothing comes to it any more: no tick, no callout's answer.
    pub fn end(&self, world: &Shared) {
        self.filter.take();
        world.borrow_mut().forget(self.number);
    }

    /// Ends the VM, and says why.
    pub fn trapped(&self, world: &Shared, Trap { callback, message }: &Trap) {
        world.borrow_mut().logs.write(Level::Error, &format!("Function: {callback} failed: {message}"));
        self.end(world);
    }
}

/// Lives while a thread's configuration or a stream holds it.
pub struct Root {
    pub vm: Rc<Vm>,
    pub id: u32,
    plugin: Rc<Plugin>,
    /// Whether its end was announced to the filter, which has asked to go on for a while.
    ending: Cell<bool>,
}

impl Root {
    pub fn new(vm: &Rc<Vm>, id: u32, plugin: &Rc<Plugin>) -> Self {
        Self { vm: Rc::clone(vm), id, plugin: Rc::clone(plugin), ending: Cell::new(false) }
    }

    /// The number of its VM.
    pub fn vm_number(&self) -> u32 {
        self.vm.number
    }

    pub fn is_for(&self, place: usize, plugin: &Plugin) -> bool {
        self.vm.is_for(place, plugin) && self.plugin.configuration == plugin.configuration && !self.ending.get()
    }

    /// A callback; `None` where the VM is gone.
    pub fn call<T>(&self, callback: impl FnOnce(&mut dyn Filter) -> T) -> Option<T> {
        self.vm.call(callback)
    }

    /// Tells the filter that this root context ends; whether it is over at once.
    pub fn end(&self, world: &Shared) -> bool {
        self.ending.set(true);
        match self.call(|filter| filter.end_root(self.id)) {
            Some(Ok(over)) => over,
            Some(Err(trap)) => {
                self.vm.trapped(world, &trap);
                true
            }
            None => true,
        }
    }
}
