//! A sliding window: no stretch of time as long as the window ever holds more than the limit.
//!
//! 1. The window is cut into fifteen parts, and sixteen are counted: the one under way, too. So at any
//!    moment all of the last window is counted, and at most one part more.
//! 2. What was spent is given back when its part has left: up to a fifteenth of the window late, never early.
//! 3. A time before the newest part (another worker read its clock later) counts for the newest. One more than
//!    a window before it was written under another clock: all is spent as of now, and whole again within a window.

use super::{bucket::Answer, rate::Rate};

/// Counters of a window, that of the part under way among them.
pub const PARTS: usize = 16;

const BEHIND: u64 = PARTS as u64;

/// A limit over the last so many seconds, without bursts beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    requests: u32,
    /// Nanoseconds of a part.
    part: u64,
}

/// What was spent, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The number of the newest part since the epoch.
    pub newest: u64,
    /// By the number of the part, modulo [`PARTS`].
    pub counts: [u32; PARTS],
}

impl Window {
    /// `None` where the limit is 0: nothing is ever admitted.
    pub fn new(rate: Rate) -> Option<Self> {
        (rate.requests > 0).then(|| Self { requests: rate.requests, part: rate.per.div_ceil(BEHIND - 1) })
    }

    /// How long a window that is spent takes to be whole again.
    pub fn whole_after(&self) -> u64 {
        self.part * BEHIND
    }

    /// When nothing of `spent` counts any more.
    pub fn over(&self, spent: &Spent) -> u64 {
        spent.newest.saturating_add(BEHIND).saturating_mul(self.part)
    }

    /// A window of which all was spent at a time.
    pub fn all_spent(&self, at: u64) -> Spent {
        let mut spent = Spent { newest: at / self.part, counts: [0; PARTS] };
        spent.change(spent.newest, |_| self.requests);
        spent
    }

    /// Spends `cost`, or says when it can be.
    pub fn spend(&self, spent: &mut Spent, now: u64, cost: u32) -> Answer {
        self.advance(spent, now);
        let sum = spent.sum();
        let after = sum.saturating_add(u64::from(cost));
        if after > u64::from(self.requests) {
            return Answer::Refused { again_in: self.until_room(spent, now, after - u64::from(self.requests)) };
        }
        spent.change(spent.newest, |count| count.saturating_add(cost));
        let left = u64::from(self.requests) - after;
        let whole_in = if after == 0 { 0 } else { self.over(spent).saturating_sub(now) };
        Answer::Admitted { left: u32::try_from(left).unwrap_or(u32::MAX), whole_in }
    }

    /// Gives back what was spent at `then`, if it still counts.
    pub fn refund(&self, spent: &mut Spent, then: u64, cost: u32) {
        let part = then / self.part;
        if part <= spent.newest && spent.newest - part < BEHIND {
            spent.change(part, |count| count.saturating_sub(cost));
        }
    }

    /// Brings the counters up to `now`.
    fn advance(&self, spent: &mut Spent, now: u64) {
        let part = now / self.part;
        if spent.newest > part.saturating_add(BEHIND) {
            *spent = self.all_spent(now);
        } else if part > spent.newest {
            if part - spent.newest >= BEHIND {
                spent.counts = [0; PARTS];
            } else {
                (spent.newest + 1..=part).for_each(|left| spent.change(left, |_| 0));
            }
            spent.newest = part;
        }
    }

    /// How long until `missing` have left the window.
    fn until_room(&self, spent: &Spent, now: u64, missing: u64) -> Option<u64> {
        let oldest = (spent.newest + 1).saturating_sub(BEHIND);
        let mut freed = 0;
        for part in oldest..=spent.newest {
            freed += u64::from(spent.at(part));
            if freed >= missing {
                return Some((part + BEHIND).saturating_mul(self.part).saturating_sub(now));
            }
        }
        None
    }
}

impl Spent {
    fn sum(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    fn at(&self, part: u64) -> u32 {
        self.counts.get((part % BEHIND) as usize).copied().unwrap_or_default()
    }

    fn change(&mut self, part: u64, change: impl FnOnce(u32) -> u32) {
        if let Some(count) = self.counts.get_mut((part % BEHIND) as usize) {
            *count = change(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate::SECOND;

    fn window(requests: u32, seconds: u64) -> Window {
        Window::new(Rate { requests, per: seconds * SECOND }).unwrap()
    }

    fn admitted(window: Window, spent: &mut Spent, now: u64) -> bool {
        matches!(window.spend(spent, now, 1), Answer::Admitted { .. })
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit_and_one_a_fifteenth_longer_frees_it(
            requests in 1u32..20, seconds in 1u64..60,
            steps in prop::collection::vec(0u64..2 * SECOND, 1..300),
        ) {
            let window = window(requests, seconds);
            let (mut now, mut spent) = (100_000 * SECOND, Spent::default());
            let mut times: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                let within = |length: u64| times.iter().filter(|time| now - **time < length).count();
                let (strict, late) = (within(seconds * SECOND), within(window.whole_after()));
                if admitted(window, &mut spent, now) {
                    prop_assert!(strict < requests as usize);
                    times.push(now);
                } else {
                    prop_assert!(late >= requests as usize);
                }
            }
        }

        #[test]
        fn what_is_refused_is_admitted_when_it_was_told(
            requests in 1u32..10, steps in prop::collection::vec(0u64..10 * SECOND, 1..60),
        ) {
            let window = window(requests, 60);
            let (mut now, mut spent) = (100_000 * SECOND, Spent::default());
            for step in steps {
                now += step;
                if let Answer::Refused { again_in } = window.spend(&mut spent, now, 1) {
                    let wait = again_in.unwrap();
                    prop_assert!(!admitted(window, &mut spent.clone(), now + wait - 1));
                    prop_assert!(admitted(window, &mut spent.clone(), now + wait));
                }
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_admits_nothing_more_and_recovers_within_a_window() {
        let window = window(3, 60);
        let (then, mut spent) = (1_000_000 * SECOND, Spent::default());
        assert!(admitted(window, &mut spent, then));
        assert!(admitted(window, &mut spent, then - 10 * SECOND), "counts for the newest part");
        let now = then - 86_400 * SECOND;
        assert!(!admitted(window, &mut spent, now));
        assert!(!admitted(window, &mut spent, now + 59 * SECOND));
        assert_eq!((0..9).filter(|_| admitted(window, &mut spent, now + 64 * SECOND)).count(), 3);
    }

    #[test]
    fn a_refund_frees_its_own_part_while_that_counts() {
        let window = window(2, 60);
        let (now, mut spent) = (600 * SECOND, Spent::default());
        assert!(
            admitted(window, &mut spent, now)
                && admitted(window, &mut spent, now)
                && !admitted(window, &mut spent, now)
        );
        window.refund(&mut spent, now, 1);
        assert!(admitted(window, &mut spent, now) && !admitted(window, &mut spent, now));
        window.refund(&mut spent, now - 70 * SECOND, 1);
        assert!(!admitted(window, &mut spent, now));
    }
}
