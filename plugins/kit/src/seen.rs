//! How a decision is seen: the counter that it moves and the record that it leaves.
//!
//! Counters are named like Envoy's own, `word.value` by `word.value`, and read well as they are:
//! `portcullis.decisions.filter.security_headers.policy.web.mode.enforce.reason.headers_applied`. The
//! `stats_tags` of `envoy/edge.yaml` turn the pairs into labels. The record is one line of
//! `name=value` fields for the access log: `policy=web mode=enforce reason=security_headers.headers_applied`.

use crate::{
    host::{CounterId, Host},
    mode::Mode,
    reason::Reason,
};

/// Stands for a policy's name where none was chosen. No policy can be called so.
pub const NO_NAME: &str = "none";

/// The counter and the record of one decision, both made when the configuration is read.
#[derive(Clone, Debug)]
pub struct Seen {
    mode: Mode,
    reason: Reason,
    counter: CounterId,
    pub record: String,
}

/// All decisions that can be made under one policy, or under none.
#[derive(Clone, Debug, Default)]
pub struct SeenDecisions(Vec<Seen>);

impl SeenDecisions {
    /// Defines a counter for each of the modes and reasons.
    pub fn define(host: &mut impl Host, filter: &str, policy: &str, modes: &[Mode], reasons: &[Reason]) -> Self {
        let pairs = modes.iter().flat_map(|mode| reasons.iter().map(move |reason| (*mode, *reason)));
        let seen = pairs.map(|(mode, reason)| {
            let (mode_name, Reason(code)) = (mode.name(), reason);
            let counter = host.define_counter(&format!(
                "portcullis.decisions.filter.{filter}.policy.{policy}.mode.{mode_name}.reason.{code}"
            ));
            let record = format!("policy={policy} mode={mode_name} reason={filter}.{code}");
            Seen { mode, reason, counter, record }
        });
        Self(seen.collect())
    }

    /// Counts the decision and gives how it is recorded. `None` only for a decision that wasn't
    /// defined, which the filter's own list of reasons forbids.
    pub fn count(&self, host: &mut impl Host, mode: Mode, reason: Reason) -> Option<&Seen> {
        // The same constant stands mostly at the same place, and need not be read.
        let is_it = |known: Reason| std::ptr::eq(known.0, reason.0) || known == reason;
        let seen = self.0.iter().find(|seen| seen.mode == mode && is_it(seen.reason))?;
        host.increment(seen.counter);
        Some(seen)
    }
}
