//! Everything that a test host fakes around a filter, and every rule of how Envoy 1.40 behaves. No
//! Wasmtime in here: `abi` and `component` translate calls into this module and decide nothing.
//!
//! 1. A [`World`] outlives the filter's VMs, as Envoy's process does: clock, store, stats, log.
//! 2. An [`Exchange`] is one request with its response, as this filter sees it.
//! 3. A [`stream`] takes an exchange through a chain of filters in Envoy's order of callbacks; the
//!    [`proxy`] holds the filters' VMs, the streams in flight, and lets time pass.

pub mod body;
pub mod callouts;
pub mod clock;
pub mod exchange;
pub mod filter_state;
pub mod foreign;
pub mod head;
pub mod headers;
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
    /// `vm_config.environment_variables`.
    pub environment: BTreeMap<String, String>,
    /// The plugin under test, which names its record.
    pub plugin: String,
    pub callouts: Callouts,
    pub timers: Timers,
    /// The streams in flight by VM and context.
    pub exchanges: HashMap<(u32, u32), Rc<RefCell<Exchange>>>,
    /// How many VMs were made.
    vms: u32,
}

impl World {
    /// The world before the first step.
    pub fn of(scenario: &Scenario) -> Shared {
        Rc::new(RefCell::new(Self {
            given: scenario.given.clone(),
            plugin: scenario.plugin.clone(),
            ..Self::default()
        }))
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
