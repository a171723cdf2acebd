//! What a VM plays under: how much it may use, which Envoy it is in, whether its calls are kept; and how
//! much it used.

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
    /// The minor version of Envoy 1 that is played ([`crate::envoy::versions`]).
    pub envoy: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 4_000_000_000, memory: 1 << 30, trace: false, envoy: 40 }
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
