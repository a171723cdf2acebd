//! A token bucket as GCRA: one number, the theoretical arrival time of the next request.
//!
//! 1. A token costs `interval`. The arrival time moves on by that for each token spent; it may run ahead
//!    of the clock by `burst` tokens at most. What lies behind the clock is a full bucket.
//! 2. `interval` is rounded up, so that no rounding admits more than the rate.
//! 3. An arrival time further ahead than a whole burst was written under another clock or another rate: the
//!    bucket is empty from now on, which admits no more than was promised, and whole again within one burst.

use super::rate::Rate;

/// A limit that lets bursts through and holds the rate over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds for one token.
    interval: u64,
    /// Nanoseconds for all tokens: how far the arrival time may run ahead.
    ahead: u64,
}

/// What a bucket answers. Times in nanoseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Admitted {
        /// Whole tokens left.
        left: u32,
        /// Until all tokens are there again.
        whole_in: u64,
    },
    Refused {
        /// Until the same request can be admitted; `None` for never.
        again_in: Option<u64>,
    },
}

impl Bucket {
    /// `None` where the rate is 0: nothing is ever admitted.
    pub fn new(rate: Rate, burst: u32) -> Option<Self> {
        if rate.requests == 0 || burst == 0 {
            return None;
        }
        let interval = rate.per.div_ceil(u64::from(rate.requests));
        Some(Self { interval, ahead: interval.saturating_mul(u64::from(burst)) })
    }

    /// How long an empty bucket takes to be whole again.
    pub fn ahead(&self) -> u64 {
        self.ahead
    }

    /// Spends `cost` tokens, or says when they will be there. Without a token spent the arrival time changes only
    /// by rule 3.
    pub fn spend(&self, arrival: &mut u64, now: u64, cost: u32) -> Answer {
        let most = now.saturating_add(self.ahead);
        let from = (*arrival).clamp(now, most);
        let price = self.interval.saturating_mul(u64::from(cost));
        let next = from.saturating_add(price);
        if next > most {
            if *arrival > most {
                *arrival = most;
            }
            let again_in = (price <= self.ahead).then(|| next - most);
            return Answer::Refused { again_in };
        }
        *arrival = next;
        let left = (most - next) / self.interval;
        Answer::Admitted { left: u32::try_from(left).unwrap_or(u32::MAX), whole_in: next - now }
    }

    /// Gives `cost` tokens back. Never more than a full bucket comes of it.
    pub fn refund(&self, arrival: &mut u64, cost: u32) {
        *arrival = arrival.saturating_sub(self.interval.saturating_mul(u64::from(cost)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate::SECOND;

    fn bucket(requests: u32, seconds: u64, burst: u32) -> Bucket {
        Bucket::new(Rate { requests, per: seconds * SECOND }, burst).unwrap()
    }

    fn admitted(bucket: Bucket, arrival: &mut u64, now: u64) -> bool {
        matches!(bucket.spend(arrival, now, 1), Answer::Admitted { .. })
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_admits_more_than_burst_and_rate(
            requests in 1u32..50, seconds in 1u64..100, burst in 1u32..50,
            steps in prop::collection::vec(0u64..3 * SECOND, 1..300),
        ) {
            let bucket = bucket(requests, seconds, burst);
            let (mut now, mut arrival) = (1_000 * SECOND, 0);
            let mut times = Vec::new();
            for step in steps {
                now += step;
                if admitted(bucket, &mut arrival, now) {
                    times.push(now);
                }
            }
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let most = u128::from(burst) + u128::from(to - from) * u128::from(requests) / u128::from(seconds * SECOND);
                    prop_assert!((last - first + 1) as u128 <= most);
                }
            }
        }

        #[test]
        fn what_is_refused_is_admitted_when_it_was_told(requests in 1u32..1000, seconds in 1u64..10_000, burst in 1u32..100) {
            let bucket = bucket(requests, seconds, burst);
            let (now, mut arrival) = (5_000 * SECOND, 0);
            for _ in 0..burst {
                prop_assert!(admitted(bucket, &mut arrival, now));
            }
            let Answer::Refused { again_in: Some(wait) } = bucket.spend(&mut arrival, now, 1) else { panic!("a burst was spent") };
            prop_assert!(!admitted(bucket, &mut arrival.clone(), now + wait - 1));
            prop_assert!(admitted(bucket, &mut arrival, now + wait));
        }
    }

    #[test]
    fn a_clock_that_steps_back_admits_nothing_more_and_recovers_within_a_burst() {
        let bucket = bucket(10, 1, 10);
        let (then, mut arrival) = (1_000_000 * SECOND, 0);
        assert!(admitted(bucket, &mut arrival, then));
        let now = then - 86_400 * SECOND;
        assert_eq!(bucket.spend(&mut arrival, now, 1), Answer::Refused { again_in: Some(SECOND / 10) });
        assert!(!admitted(bucket, &mut arrival, now + SECOND / 10 - 1));
        assert!(admitted(bucket, &mut arrival, now + SECOND / 10));
        let whole = (0..100).filter(|_| admitted(bucket, &mut arrival, now + SECOND + SECOND / 10)).count();
        assert_eq!(whole, 10);
    }

    #[test]
    fn a_cost_above_the_burst_can_never_be_paid() {
        assert_eq!(bucket(10, 1, 5).spend(&mut 0, SECOND, 6), Answer::Refused { again_in: None });
    }

    #[test]
    fn what_is_given_back_can_be_spent_again_and_no_more() {
        let bucket = bucket(1, 60, 2);
        let (now, mut arrival) = (600 * SECOND, 0);
        assert!(
            admitted(bucket, &mut arrival, now)
                && admitted(bucket, &mut arrival, now)
                && !admitted(bucket, &mut arrival, now)
        );
        bucket.refund(&mut arrival, 1);
        assert!(admitted(bucket, &mut arrival, now) && !admitted(bucket, &mut arrival, now));
        bucket.refund(&mut arrival, 2);
        bucket.refund(&mut arrival, 2);
        assert!(
            admitted(bucket, &mut arrival, now)
                && admitted(bucket, &mut arrival, now)
                && !admitted(bucket, &mut arrival, now)
        );
    }
}
