//! What a VM plays under: how much it may use, which Envoy it is in, whether its calls are kept; and how
//! much it used.

use std::{collections::BTreeMap, time::Duration};

use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};

use super::engine::TICK;
use crate::scenario::Bounds;

/// Elements of a table, as in V8.
const TABLE: usize = 10_000_000;
/// Tables of a module; compilers make one or two.
const TABLES: usize = 8;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fuel of one callback, about one unit for each instruction. Envoy has no such limit: there an
    /// endless loop blocks the worker for ever.
    pub fuel: u64,
    /// Bytes of linear memory; growing beyond fails, as in Envoy.
    pub memory: usize,
    /// Time of one callback; fuel ends nearly everything much sooner.
    pub time: Duration,
    /// Whether each call between host and guest is kept ([`crate::world::Trace`]).
    pub trace: bool,
    /// Whether calls are looked through for hazards ([`crate::world::hazards`]).
    pub watch: bool,
    /// The minor version of Envoy 1 that is played ([`crate::envoy::versions`]).
    pub envoy: u32,
}

impl Limits {
    /// The same with what a scenario allows, where that is less.
    pub fn within(self, bounds: Bounds) -> Self {
        Self {
            fuel: bounds.fuel.map_or(self.fuel, |fuel| fuel.min(self.fuel)),
            memory: bounds.memory.map_or(self.memory, |memory| memory.min(self.memory)),
            ..self
        }
    }

    /// What a VM may hold.
    pub fn of_store(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.memory)
            .memories(1)
            .table_elements(TABLE)
            .tables(TABLES)
            .instances(1)
            .build()
    }

    /// Lets a callback begin: with all its fuel and all its time.
    pub fn arm<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        store.set_epoch_deadline(self.time.as_secs().div_ceil(TICK.as_secs()).max(1));
        store.set_fuel(self.fuel)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 4_000_000_000,
            memory: 1 << 30,
            time: Duration::from_secs(60),
            trace: false,
            watch: false,
            envoy: 40,
        }
    }
}

/// What a step cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often each call to the host was made.
    pub hostcalls: BTreeMap<String, u64>,
    pub fuel: u64,
    /// The size of the linear memory after the step; it never shrinks.
    pub memory_bytes: u64,
}
