//! How much a VM may use, how much it used, and whether its calls are kept.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fuel of one callback, about one unit for each instruction. Envoy has no such limit: there an
    /// endless loop blocks the worker for ever.
    pub fuel: u64,
    /// Bytes of linear memory; growing beyond fails, as in Envoy.
    pub memory: usize,
    /// Whether each call between host and guest is kept ([`crate::world::Trace`]).
    pub trace: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 4_000_000_000, memory: 1 << 30, trace: false }
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
