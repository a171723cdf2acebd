//! `interface host`: the world's clock, log, counters, route and filter state.

use std::{cell::RefCell, rc::Rc};

use wasmtime::StoreLimits;

use super::bindings::portcullis::policy::{
    host::{Host, Level, RouteProperty},
    types,
};
use crate::world::{Exchange, Plugin, Shared, logs, metrics::Defined};

/// What the host keeps for one instance.
pub struct Guest {
    pub world: Shared,
    pub plugin: Rc<Plugin>,
    pub metrics: Defined,
    pub limits: StoreLimits,
    /// The instance's number in the world.
    pub vm: u32,
    /// The stream whose verdict is asked for.
    pub exchange: Option<u32>,
    /// Whether `configure` runs.
    pub configuring: bool,
}

impl Guest {
    fn current(&self) -> Option<Rc<RefCell<Exchange>>> {
        self.world.borrow().exchanges.get(&(self.vm, self.exchange?)).cloned()
    }
}

impl types::Host for Guest {}

impl Host for Guest {
    fn now(&mut self) -> u64 {
        self.world.borrow().clock.of_day()
    }

    fn log(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Trace => logs::Level::Trace,
            Level::Debug => logs::Level::Debug,
            Level::Info => logs::Level::Info,
            Level::Warn => logs::Level::Warn,
            Level::Error => logs::Level::Error,
        };
        self.world.borrow_mut().logs.said(level, &message);
    }

    /// Outside of `configure` the id is 0, which no counter has.
    fn define_counter(&mut self, name: String) -> u32 {
        if !self.configuring {
            return 0;
        }
        self.metrics.define(&mut self.world.borrow_mut().metrics, 0, &name).unwrap_or(0)
    }

    fn increment(&mut self, counter: u32, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        // An unknown counter is passed over.
        let _ = self.metrics.increment(&mut self.world.borrow_mut().metrics, counter, by);
    }

    fn route(&mut self, property: RouteProperty) -> Option<Vec<u8>> {
        let path: &[u8] = match property {
            RouteProperty::RouteName => b"xds\0route_name",
            RouteProperty::VirtualHostName => b"xds\0virtual_host_name",
            RouteProperty::RouteMetadata => b"xds\0route_metadata",
            RouteProperty::VirtualHostMetadata => b"xds\0virtual_host_metadata",
        };
        let exchange = self.current()?;
        let found = self.world.borrow().property(&self.plugin, Some(&exchange.borrow()), path);
        found.ok().filter(|value| !value.is_empty())
    }

    fn leave_record(&mut self, name: String, text: String) {
        if let Some(exchange) = self.current() {
            exchange.borrow_mut().set_property(name.as_bytes(), text.as_bytes());
        }
    }
}
