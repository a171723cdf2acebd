//! What goes wrong around the filter under test, as data.
//!
//! 1. A [`Fault`] is in force throughout (`faults` of the scenario) or in one step (`faults` of the step).
//! 2. A [`Mishap`] happened between the last step and this one (`meanwhile` of the step).
//! 3. [`Bounds`] hold for each VM of the filter from its start (`given.limits`).
//! 4. Real Envoy can be made to have none of them, and a component makes no calls by name, which most faults are about: a
//!    scenario isn't played where its faults can't be, and the report says why.
//! 5. A fault that never came to pass fails the scenario: it would show nothing.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HostKind, Scenario, bytes::Bytes, span::Span};
use crate::world::trace;

/// What goes wrong while it is in force.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A call to the host answers a status instead of doing its work, and writes nothing.
    Call(CallFault),
    /// Another writer is faster: behind a read of the key, before the filter can write it. A write with
    /// the number of that read then answers `cas_mismatch`, and the next read sees the other's value.
    Race(Race),
    /// The filter's allocator has no memory: the host takes its answer for null.
    Allocation(Allocation),
    /// The time that filters are told stands still, that of day and the monotonic one of WASI. Ticks and
    /// callouts go on.
    ClockStands,
}

/// A call that fails.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CallFault {
    /// The call as the ABI names it: `proxy_get_shared_data`.
    pub name: String,
    /// The status that the filter is told.
    pub answers: Answers,
    /// Only this one, from 1, of those that each VM makes while the fault is in force. Default: every one.
    #[serde(default)]
    pub nth: Option<u32>,
    /// In which part of a VM's life calls are counted and fail. Default: `always`.
    #[serde(default)]
    pub when: When,
}

/// Somebody else writes a key, too.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Race {
    pub key: Bytes,
    /// What the other writes.
    pub value: Bytes,
    /// Only behind this read of the key, from 1, of those that each VM makes while the fault is in force.
    /// Default: behind every one, so that a filter which never gives up never ends.
    #[serde(default)]
    pub nth: Option<u32>,
}

/// An allocation that fails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Allocation {
    /// Only this one, from 1, of those that the host asks of each VM while the fault is in force. Default:
    /// every one.
    pub nth: Option<u32>,
    /// In which part of a VM's life allocations are counted and fail. Default: `always`.
    pub when: When,
}

/// A part of a VM's life.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Always,
    /// Until its configuration was taken.
    Starting,
    /// From then on.
    Configured,
}

/// The ABI's statuses, but OK.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    BadExpression = 5,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    ResultMismatch = 9,
    InternalFailure = 10,
    BrokenConnection = 11,
    Unimplemented = 12,
}

/// What happened between two steps.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mishap {
    /// The VM of the filter on this step's worker ended without a word and a new one was started, as Envoy
    /// does after a trap. What it held is gone, its open streams are strangers to the new one; the store stays.
    VmRestarted,
    /// The store is empty, as behind a restart of the proxy.
    StoreEmptied,
    /// A key isn't in the store any more.
    KeyLost(Bytes),
    /// Somebody else wrote a key.
    KeyWritten(Written),
    /// The time of day stepped back by so much. The monotonic clock of WASI went on, and so do ticks and
    /// callouts.
    ClockBack(Span),
}

/// A key and what it holds.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub key: Bytes,
    pub value: Bytes,
}

/// How much each VM of the filter may use.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Bytes of linear memory. Growing beyond answers -1; a module that begins with more isn't taken.
    /// Default: 1 GiB, as in Envoy.
    pub memory: Option<usize>,
    /// Fuel of one callback, about one unit for each instruction; a callback that needs more traps.
    /// Default: 4 000 000 000.
    pub fuel: Option<u64>,
}

impl Scenario {
    /// Every fault, those of the scenario first.
    pub fn all_faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().chain(self.steps.iter().flat_map(|step| &step.faults))
    }

    fn mishaps(&self) -> impl Iterator<Item = &Mishap> {
        self.steps.iter().flat_map(|step| &step.meanwhile)
    }

    /// Why a host can't be made to have the scenario's faults.
    pub fn unplayable(&self, host: HostKind) -> Option<String> {
        let faults = self.all_faults().map(Fault::name).chain(self.mishaps().map(Mishap::name));
        match host {
            HostKind::Wasm => None,
            HostKind::Component => {
                let name = self.all_faults().map(Fault::name).find(|name| *name != "clock_stands")?;
                Some(format!("a component makes no calls by name, so the fault `{name}` isn't played"))
            }
            HostKind::Envoy => {
                let limits = (self.given.limits != Bounds::default()).then_some("limits");
                let name = faults.chain(limits).next()?;
                Some(format!("Envoy can't be made to have the fault `{name}`"))
            }
        }
    }

    /// Whether it matters to a fault how often the filter calls.
    pub fn counts_calls(&self) -> bool {
        self.all_faults().any(|fault| fault.nth().is_some())
    }
}

impl Fault {
    /// As a scenario writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Race(_) => "race",
            Self::Allocation(_) => "allocation",
            Self::ClockStands => "clock_stands",
        }
    }

    pub fn nth(&self) -> Option<u32> {
        match self {
            Self::Call(CallFault { nth, .. }) | Self::Race(Race { nth, .. }) => *nth,
            Self::Allocation(Allocation { nth, .. }) => *nth,
            Self::ClockStands => None,
        }
    }

    /// Why it could never come to pass.
    pub fn wrong(&self) -> Option<String> {
        if self.nth() == Some(0) {
            return Some(format!("the fault `{}` has `nth: 0`; the first is 1", self.name()));
        }
        let Self::Call(CallFault { name, .. }) = self else { return None };
        if trace::hostcalls().any(|known| known == name) {
            return None;
        }
        let near = trace::hostcalls().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        Some(format!("no call to the host is named `{name}`; is it `{}`?", near.unwrap_or_default()))
    }
}

impl Mishap {
    /// As a scenario writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VmRestarted => "vm_restarted",
            Self::StoreEmptied => "store_emptied",
            Self::KeyLost(_) => "key_lost",
            Self::KeyWritten(_) => "key_written",
            Self::ClockBack(_) => "clock_back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(yaml: &str) -> Result<Scenario, String> {
        crate::scenario::parse(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn faults_are_read_by_their_names() {
        let written = "{scenario: s, given: {limits: {memory: 65536, fuel: 9}}, faults: [clock_stands,
            {call: {name: proxy_get_property, answers: internal_failure, nth: 2, when: configured}}],
            steps: [{faults: [{race: {key: a, value: b}}, {allocation: {}}],
                meanwhile: [vm_restarted, store_emptied, {key_lost: a}, {key_written: {key: a, value: b}}, {clock_back: 2s}]}]}";
        let scenario = scenario(written).unwrap();
        let names: Vec<&str> =
            scenario.all_faults().map(Fault::name).chain(scenario.mishaps().map(Mishap::name)).collect();
        assert_eq!(
            names,
            [
                "clock_stands",
                "call",
                "race",
                "allocation",
                "vm_restarted",
                "store_emptied",
                "key_lost",
                "key_written",
                "clock_back"
            ]
        );
        assert!(scenario.counts_calls());
    }

    #[test]
    fn a_fault_that_could_never_come_to_pass_is_refused() {
        for (fault, reason) in [
            ("{call: {name: proxy_get_shared_dada, answers: empty}}", "is it `proxy_get_shared_data`?"),
            ("{call: {name: proxy_done, answers: empty, nth: 0}}", "the first is 1"),
            ("{call: {name: proxy_done, answers: ok}}", "ok"),
            ("{call: {name: proxy_done, answers: empty, ntn: 1}}", "ntn"),
            ("clock_stops", "clock_stops"),
        ] {
            let error = scenario(&format!("{{scenario: s, faults: [{fault}], steps: [{{}}]}}")).unwrap_err();
            assert!(error.contains(reason), "{fault}: {error}");
        }
    }

    #[test]
    fn a_host_that_cannot_have_a_fault_does_not_play_it_and_says_so() {
        let of = |faults: &str| scenario(&format!("{{scenario: s, {faults}}}")).unwrap();
        let stands = of("faults: [clock_stands], steps: [{}]");
        assert_eq!(stands.unplayable(HostKind::Wasm), None);
        assert_eq!(stands.unplayable(HostKind::Component), None);
        let reason = stands.unplayable(HostKind::Envoy).unwrap();
        assert_eq!(reason, "Envoy can't be made to have the fault `clock_stands`");
        let lost = of("steps: [{meanwhile: [vm_restarted, store_emptied]}]");
        assert_eq!(lost.unplayable(HostKind::Component), None);
        assert!(lost.unplayable(HostKind::Envoy).unwrap().contains("`vm_restarted`"));
        let raced = of("faults: [{race: {key: k, value: v}}], steps: [{}]");
        assert!(raced.unplayable(HostKind::Component).unwrap().contains("`race`"));
        let limited = of("given: {limits: {fuel: 1}}, steps: [{}]");
        assert!(limited.unplayable(HostKind::Envoy).unwrap().contains("`limits`"));
        assert_eq!(of("steps: [{}]").unplayable(HostKind::Envoy), None);
    }
}
