//! The faults in force, and which of them came to pass.
//!
//! 1. They meet the filter under test alone, but for the clock, which is everyone's.
//! 2. Calls, allocations and reads are counted by VM, from when the fault came into force.
//! 3. Where several faults meet one call, each counts it and the first answers.

use std::collections::BTreeMap;

use super::status::Status;
use crate::scenario::{
    Fault, When,
    fault::{Allocation, Answers, CallFault, Race},
};

/// The VM that a fault may meet.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    pub vm: u32,
    /// Whether its configuration was taken.
    pub configured: bool,
}

#[derive(Debug)]
struct InForce {
    fault: Fault,
    /// What was counted, by VM.
    counts: BTreeMap<u32, u32>,
    happened: bool,
}

#[derive(Debug, Default)]
pub struct Faults {
    throughout: Vec<InForce>,
    of_step: Vec<InForce>,
}

impl Faults {
    /// Those of a scenario, from now on.
    pub fn of(faults: &[Fault]) -> Self {
        Self { throughout: begun(faults), of_step: Vec::new() }
    }

    /// A step begins.
    pub fn enter(&mut self, faults: &[Fault]) {
        self.of_step = begun(faults);
    }

    /// The step is over. What of its faults never came to pass, as sentences.
    pub fn leave(&mut self) -> Vec<String> {
        unmet(&std::mem::take(&mut self.of_step))
    }

    /// What of the scenario's faults never came to pass.
    pub fn unmet(&self) -> Vec<String> {
        unmet(&self.throughout)
    }

    pub fn clock_stands(&self) -> bool {
        self.throughout.iter().chain(&self.of_step).any(|fault| fault.fault == Fault::ClockStands)
    }

    /// What a call answers instead of doing its work.
    pub fn call(&mut self, met: Met, call: &str) -> Option<Status> {
        let mut answers = None;
        for in_force in self.all() {
            if let Fault::Call(CallFault { name, answers: status, nth, when }) = &in_force.fault
                && name == call
                && when.is(met)
            {
                let (status, nth) = (*status, *nth);
                if in_force.counted(met.vm, nth) {
                    answers.get_or_insert(status);
                }
            }
        }
        answers.map(Answers::status)
    }

    /// Whether the allocator has nothing.
    pub fn allocation(&mut self, met: Met) -> bool {
        let mut fails = false;
        for in_force in self.all() {
            if let Fault::Allocation(Allocation { nth, when }) = in_force.fault
                && when.is(met)
            {
                fails |= in_force.counted(met.vm, nth);
            }
        }
        fails
    }

    /// What somebody else writes behind this read of a key.
    pub fn raced(&mut self, met: Met, read: &[u8]) -> Option<Vec<u8>> {
        let mut written = None;
        for in_force in self.all() {
            if let Fault::Race(Race { key, value, nth }) = &in_force.fault
                && key.0 == read
            {
                let (value, nth) = (value.0.clone(), *nth);
                if in_force.counted(met.vm, nth) {
                    written.get_or_insert(value);
                }
            }
        }
        written
    }

    fn all(&mut self) -> impl Iterator<Item = &mut InForce> {
        self.of_step.iter_mut().chain(&mut self.throughout)
    }
}

impl InForce {
    /// Counts one more, and tells whether the fault comes to pass in it.
    fn counted(&mut self, vm: u32, nth: Option<u32>) -> bool {
        let count = self.counts.entry(vm).or_default();
        *count = count.saturating_add(1);
        let happens = nth.is_none_or(|nth| nth == *count);
        self.happened |= happens;
        happens
    }
}

impl When {
    fn is(self, met: Met) -> bool {
        match self {
            Self::Always => true,
            Self::Starting => !met.configured,
            Self::Configured => met.configured,
        }
    }
}

impl Answers {
    fn status(self) -> Status {
        match self {
            Self::NotFound => Status::NotFound,
            Self::BadArgument => Status::BadArgument,
            Self::SerializationFailure => Status::SerializationFailure,
            Self::ParseFailure => Status::ParseFailure,
            Self::BadExpression => Status::BadExpression,
            Self::InvalidMemoryAccess => Status::InvalidMemoryAccess,
            Self::Empty => Status::Empty,
            Self::CasMismatch => Status::CasMismatch,
            Self::ResultMismatch => Status::ResultMismatch,
            Self::InternalFailure => Status::InternalFailure,
            Self::BrokenConnection => Status::BrokenConnection,
            Self::Unimplemented => Status::Unimplemented,
        }
    }
}

fn begun(faults: &[Fault]) -> Vec<InForce> {
    faults.iter().map(|fault| InForce { fault: fault.clone(), counts: BTreeMap::new(), happened: false }).collect()
}

fn unmet(faults: &[InForce]) -> Vec<String> {
    let unmet = faults.iter().filter(|in_force| !in_force.happened && in_force.fault != Fault::ClockStands);
    unmet.map(InForce::told).collect()
}

impl InForce {
    /// What was waited for, and what there was.
    fn told(&self) -> String {
        let what = match &self.fault {
            Fault::Call(CallFault { name, .. }) => format!("calls of `{name}`"),
            Fault::Race(Race { key, .. }) => format!("reads of the key `{}`", key.display()),
            Fault::Allocation(_) => "allocations".into(),
            Fault::ClockStands => "times".into(),
        };
        let (most, name) = (self.counts.values().max().copied().unwrap_or(0), self.fault.name());
        let nth = self.fault.nth().map(|nth| format!(" has `nth: {nth}` and")).unwrap_or_default();
        format!("the fault `{name}`{nth} never came to pass: no VM had more than {most} {what} while it was in force")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(yaml: &str) -> Vec<Fault> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    const CONFIGURED: Met = Met { vm: 7, configured: true };

    #[test]
    fn the_nth_is_counted_by_vm_and_from_when_the_fault_came_into_force() {
        let written = "[{call: {name: proxy_done, answers: empty, nth: 2, when: configured}}]";
        let mut in_force = Faults::of(&faults(written));
        assert_eq!(in_force.call(Met { configured: false, ..CONFIGURED }, "proxy_done"), None);
        assert_eq!(in_force.call(CONFIGURED, "proxy_done"), None);
        assert_eq!(in_force.call(Met { vm: 8, ..CONFIGURED }, "proxy_done"), None, "another VM");
        assert_eq!(in_force.call(CONFIGURED, "proxy_log"), None);
        in_force.enter(&faults("[{call: {name: proxy_done, answers: not_found, nth: 1}}]"));
        assert_eq!(in_force.call(CONFIGURED, "proxy_done"), Some(Status::NotFound), "both meet it, the step's answers");
        assert_eq!(in_force.leave(), Vec::<String>::new());
        assert_eq!(in_force.call(CONFIGURED, "proxy_done"), None);
        assert_eq!(in_force.unmet(), Vec::<String>::new());
    }

    #[test]
    fn what_never_came_to_pass_is_told_with_what_there_was() {
        let written = "[{allocation: {nth: 3}}, {race: {key: a, value: b}}, clock_stands]";
        let mut in_force = Faults::of(&faults(written));
        assert!(!in_force.allocation(CONFIGURED));
        assert_eq!(in_force.raced(CONFIGURED, b"b"), None);
        assert_eq!(
            in_force.unmet(),
            [
                "the fault `allocation` has `nth: 3` and never came to pass: no VM had more than 1 allocations while it was in force",
                "the fault `race` never came to pass: no VM had more than 0 reads of the key `a` while it was in force",
            ]
        );
    }
}
