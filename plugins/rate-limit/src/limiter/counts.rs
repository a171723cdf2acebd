//! Counters beside those of the decisions.

use portcullis_kit::{
    Filter,
    host::{CounterId, StatefulHost},
};

use crate::{config::RateLimit, debit::Seen, decide::Said};

pub struct Counts {
    /// By policy, limit, and what the limit said.
    limits: Vec<Vec<[CounterId; 4]>>,
    lost_races: CounterId,
    evictions: CounterId,
    kept_back: CounterId,
}

const SAID: [(Said, &str); 4] =
    [(Said::Admits, "admits"), (Said::Refuses, "refuses"), (Said::Exempts, "exempts"), (Said::Full, "full")];

impl Counts {
    pub fn define(host: &mut impl StatefulHost, filter: &Filter<RateLimit>) -> Self {
        let mut limits = Vec::new();
        for named in filter.policies() {
            let mut counters = Vec::new();
            for limit in &named.policy.limits {
                let mode = limit.mode.name();
                let of = [
                    "portcullis.limits.filter.rate_limit.policy.",
                    &named.name,
                    ".limit.",
                    &limit.name,
                    ".mode.",
                    mode,
                ];
                let of = of.concat();
                let mut all = [CounterId::default(); 4];
                for (counter, (_, said)) in all.iter_mut().zip(SAID) {
                    *counter = host.define_counter(&[&of, ".said.", said].concat());
                }
                counters.push(all);
            }
            limits.push(counters);
        }
        let mut store = |event: &str| {
            let name = ["portcullis.store.filter.rate_limit.event.", event].concat();
            host.define_counter(&name)
        };
        Self { limits, lost_races: store("lost_race"), evictions: store("eviction"), kept_back: store("kept_back") }
    }

    pub fn note(&self, host: &mut impl StatefulHost, seen: &Seen) {
        for (counter, amount) in
            [(self.lost_races, seen.lost_races), (self.evictions, seen.evictions), (self.kept_back, seen.kept_back)]
        {
            if amount > 0 {
                host.add(counter, amount.into());
            }
        }
    }

    pub fn said(&self, host: &mut impl StatefulHost, policy: usize, said: &[Option<Said>]) {
        let Some(limits) = self.limits.get(policy) else { return };
        for (counters, said) in limits.iter().zip(said) {
            let place = SAID.iter().position(|(known, _)| Some(known) == said.as_ref());
            if let Some(counter) = place.and_then(|place| counters.get(place)) {
                host.increment(*counter);
            }
        }
    }
}
