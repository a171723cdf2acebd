//! Everything that a test host fakes around a filter, and every rule of how Envoy 1.40 behaves. No
//! Wasmtime in here: `abi` and `component` translate calls into this module and decide nothing.
//!
//! 1. A [`World`] outlives the filter's VMs, as Envoy's process does: clock, store, stats, log.
//! 2. An [`Exchange`] is one request with its response, as this filter sees it.
//! 3. A [`stream`] takes an exchange through a chain of filters in Envoy's order of callbacks; the
//!    [`proxy`] holds the filters' VMs, the streams in flight, and lets time pass.

pub mod body;
pub mod callouts;
pub mod cel;
pub mod clock;
pub mod codec;
mod date;
pub mod exchange;
pub mod faults;
pub mod filter_state;
pub mod foreign;
pub mod grpc;
pub mod hazards;
pub mod head;
pub mod headers;
mod heard;
pub mod logs;
pub mod maps;
pub mod metrics;
pub mod pairs;
pub mod plugin;
pub mod properties;
pub mod protobuf;
pub mod proxy;
pub mod queues;
pub mod random;
pub mod reply;
pub mod room;
pub mod signatures;
pub mod status;
pub mod store;
pub mod stream;
pub mod timers;
pub mod trace;
pub mod value;
pub mod wire;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

pub use self::{
    callouts::Callouts,
    clock::Clock,
    exchange::{Exchange, Phase, Side},
    faults::Faults,
    headers::Headers,
    logs::Logs,
    metrics::Metrics,
    plugin::Plugin,
    queues::Queues,
    random::Random,
    status::Status,
    store::Store,
    timers::Timers,
    trace::Trace,
};
use crate::scenario::{Given, Scenario};

/// The world as the filter's VMs share it, one after another and on one thread.
pub type Shared = Rc<RefCell<World>>;

/// What Envoy's process holds around one filter.
#[derive(Debug, Default)]
pub struct World {
    pub clock: Clock,
    pub store: Store,
    pub queues: Queues,
    pub metrics: Metrics,
    pub logs: Logs,
    pub random: Random,
    pub trace: Trace,
    /// The minor version of Envoy 1 that is played.
    pub envoy: u32,
    pub given: Given,
    pub faults: Faults,
    pub room: room::Room,
    /// The place of the filter under test in its chain.
    pub under_test: usize,
    /// `vm_config.environment_variables`.
    pub environment: BTreeMap<String, String>,
    /// The plugin under test, which names its record.
    pub plugin: String,
    pub callouts: Callouts,
    pub grpc: grpc::Calls,
    pub timers: Timers,
    /// The streams in flight by VM and context.
    pub exchanges: HashMap<(u32, u32), Rc<RefCell<Exchange>>>,
    /// Whether a connection to the upstream stands idle, so that a request need not wait for one.
    pub connected: bool,
    /// Whether each piece of a message waits until Envoy has worked off the one before; then each stream has a connection
    /// of its own to the upstream, too.
    pub pieces_wait: bool,
    /// What contexts did to the streams of others, in order.
    pub acts: std::collections::VecDeque<stream::Acted>,
    /// What a filter did that ends Envoy's process; no step in which it happens passes.
    pub fatal: Vec<String>,
    /// What is dangerous in what became of messages, whatever a scenario expects.
    pub noticed: Vec<String>,
    /// How many VMs were made.
    vms: u32,
}

impl World {
    /// The world before the first step.
    pub fn of(scenario: &Scenario) -> Shared {
        let mut world = Self {
            given: scenario.given.clone(),
            plugin: scenario.plugin.clone(),
            faults: Faults::of(&scenario.faults),
            under_test: scenario.place(),
            environment: environment(scenario),
            pieces_wait: scenario.needs_connections(),
            ..Self::default()
        };
        world.told_time_stands();
        Rc::new(RefCell::new(world))
    }

    /// Another thread of the proxy runs; 0 is the main one.
    pub fn enter(&mut self, thread: usize) {
        self.logs.thread = thread;
        self.trace.enter(thread);
    }

    /// What a VM that is gone asked for doesn't come.
    pub fn forget(&mut self, vm: u32) {
        self.timers.forget(vm);
        self.callouts.forget(vm);
        self.grpc.forget(vm);
    }

    /// Lets the time that filters are told stand or go on, as the faults in force say.
    pub fn told_time_stands(&mut self) {
        self.clock.stand(self.faults.clock_stands());
    }

    /// A filter has read a key; somebody else may be faster than its write.
    pub fn raced(&mut self, met: faults::Met, vm_id: &str, key: &[u8]) {
        if let Some(value) = self.faults.raced(met, key) {
            // The number 0 always wins.
            let _ = self.store.set(vm_id, key, &value, 0);
        }
    }

    /// Writes a key. `Err` with the reason of a trap: no room for it.
    pub fn write(&mut self, vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> Result<Result<(), Status>, String> {
        let length = key.len() + value.len();
        let before = self.store.get(vm_id, key).map(|(value, _)| key.len() + value.len());
        before.into_iter().for_each(|before| self.room.free(before));
        let written = self.room.keep(length).map(|()| self.store.set(vm_id, key, value, cas));
        if !matches!(written, Ok(Ok(()))) {
            self.room.free(length);
            // It was there, so there is room for it.
            before.into_iter().for_each(|before| drop(self.room.keep(before)));
        }
        written
    }

    /// A number for a new VM.
    pub fn next_vm(&mut self) -> u32 {
        self.vms += 1;
        self.vms
    }

    /// The name under which this filter leaves its record in filter state.
    pub fn record_name(&self) -> String {
        format!("portcullis_{}", self.plugin.replace('-', "_"))
    }
}

/// What a bootstrap gives, and what a scenario does.
fn environment(scenario: &Scenario) -> BTreeMap<String, String> {
    let mut environment = scenario.around.environment.clone();
    environment.extend(scenario.given.environment.clone());
    environment
}
