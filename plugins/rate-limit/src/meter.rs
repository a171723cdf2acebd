//! One limit at one line: what it admits, and what it takes or gives back for it. Pure.

use crate::{
    bucket::{Answer, Bucket},
    line::{Kind, Line},
    rate::Rate,
    window::Window,
};

/// How a limit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Nothing is admitted, and nothing is kept.
    Never,
    Bucket(Bucket),
    Window(Window),
    /// So many streams at once.
    InFlight(u32),
}

/// What a request asks of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub meter: Meter,
    /// Nanoseconds that a key is blocked for once it was refused; 0 for not.
    pub block_for: u64,
    /// The longest that anything blocks it, at least `block_for`: a service's answer may, too.
    pub longest_block: u64,
    /// Whom the record belongs to.
    pub tag: u64,
    pub cost: u32,
}

/// What a limit says to it. Times in nanoseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Admitted {
        left: u32,
        whole_in: u64,
    },
    Refused {
        /// Until the same request can be admitted; `None` where nobody can tell.
        again_in: Option<u64>,
        /// Refused for an earlier refusal.
        blocked: bool,
        /// The record says something else now, so it is to be written although nothing was taken.
        is_news: bool,
    },
    /// Every record that the key may use is held by another.
    Full,
}

impl Decision {
    /// Nothing ever passes.
    pub const NEVER: Self = Self::Refused { again_in: None, blocked: false, is_news: false };

    pub fn refuses(&self) -> bool {
        !matches!(self, Self::Admitted { .. })
    }

    fn as_news(self) -> Self {
        match self {
            Self::Refused { again_in, blocked, .. } => Self::Refused { again_in, blocked, is_news: true },
            other => other,
        }
    }

    pub fn is_news(&self) -> bool {
        matches!(self, Self::Refused { is_news: true, .. })
    }
}

/// Which of the VMs that hold streams still live.
pub trait Leases {
    fn lives(&self, lease: u32) -> bool;

    /// The own one.
    fn own(&self) -> u32;
}

impl Meter {
    /// A rate as token bucket.
    pub fn bucket(rate: Rate, burst: u32) -> Self {
        Bucket::new(rate, burst).map_or(Self::Never, Self::Bucket)
    }

    /// A rate as sliding window.
    pub fn window(rate: Rate) -> Self {
        Window::new(rate).map_or(Self::Never, Self::Window)
    }

    /// What its line holds; `None` where it needs none.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Never => None,
            Self::Bucket(_) => Some(Kind::Bucket),
            Self::Window(_) => Some(Kind::Window),
            Self::InFlight(_) => Some(Kind::InFlight),
        }
    }
}

impl Ask {
    /// Takes what the request costs out of its record, or leaves it and says why. A refusal that blocks the key
    /// is written, too.
    pub fn take(&self, line: &mut Line, now: u64, leases: &impl Leases) -> Decision {
        match self.meter {
            Meter::Never => Decision::NEVER,
            Meter::Bucket(bucket) => self.take_tokens(line, now, bucket),
            Meter::Window(window) => self.take_room(line, now, window),
            Meter::InFlight(most) => {
                let streams = line.in_flight(self.tag, |lease| leases.lives(lease));
                if streams >= most {
                    Decision::NEVER
                } else if line.add_stream(self.tag, leases.own(), |lease| leases.lives(lease)) {
                    Decision::Admitted { left: most - streams - 1, whole_in: 0 }
                } else {
                    Decision::Full
                }
            }
        }
    }

    /// Gives back what was taken at `then`. By `whole_at` it had come back by itself: a token that was kept so long can't be had twice.
    pub fn give_back(&self, line: &mut Line, then: u64, whole_at: u64, now: u64, leases: &impl Leases) {
        match self.meter {
            Meter::Never => {}
            Meter::Bucket(_) if now >= whole_at => {}
            Meter::Bucket(bucket) => {
                if let Some((record, mut kept)) = line.bucket(self.tag, now, 0).filter(|_| line.knows(self.tag)) {
                    bucket.refund(&mut kept.arrival, self.cost);
                    line.put_bucket(record, self.tag, kept);
                }
            }
            Meter::Window(window) => {
                let kept = line.window(self.tag, now, |at| window.all_spent(at)).filter(|_| line.knows(self.tag));
                if let Some((record, mut tally)) = kept {
                    window.refund(&mut tally.spent, then, self.cost);
                    line.put_window(record, self.tag, &tally);
                }
            }
            Meter::InFlight(_) => line.end_stream(self.tag, leases.own()),
        }
    }

    /// Keeps the key out for so long, whatever its record has left.
    pub fn block(&self, line: &mut Line, now: u64, wait: u64) {
        let until = now.saturating_add(wait.min(self.longest_block));
        match self.meter {
            Meter::Bucket(bucket) => {
                if let Some((record, mut kept)) = line.bucket(self.tag, now, bucket.ahead()) {
                    kept.blocked_until = until;
                    line.put_bucket(record, self.tag, kept);
                }
            }
            Meter::Window(window) => {
                if let Some((record, mut tally)) = line.window(self.tag, now, |at| window.all_spent(at)) {
                    tally.blocked_until = until;
                    line.put_window(record, self.tag, &tally);
                }
            }
            Meter::Never | Meter::InFlight(_) => {}
        }
    }

    fn take_tokens(&self, line: &mut Line, now: u64, bucket: Bucket) -> Decision {
        let Some((record, mut kept)) = line.bucket(self.tag, now, bucket.ahead()) else { return Decision::Full };
        let before = kept;
        if let Some(refusal) = self.blocked(&mut kept.blocked_until, now) {
            if kept == before {
                return refusal;
            }
            line.put_bucket(record, self.tag, kept);
            return refusal.as_news();
        }
        let answer = bucket.spend(&mut kept.arrival, now, self.cost);
        let decision = self.decided(answer, &mut kept.blocked_until, now);
        if kept == before {
            return decision;
        }
        line.put_bucket(record, self.tag, kept);
        decision.as_news()
    }

    fn take_room(&self, line: &mut Line, now: u64, window: Window) -> Decision {
        let Some((record, mut tally)) = line.window(self.tag, now, |at| window.all_spent(at)) else {
            return Decision::Full;
        };
        let before = tally;
        if let Some(refusal) = self.blocked(&mut tally.blocked_until, now) {
            if tally == before {
                return refusal;
            }
            line.put_window(record, self.tag, &tally);
            return refusal.as_news();
        }
        let answer = window.spend(&mut tally.spent, now, self.cost);
        tally.over_at = window.over(&tally.spent);
        let decision = self.decided(answer, &mut tally.blocked_until, now);
        let is_news = tally.blocked_until != before.blocked_until || tally.spent.newest < before.spent.newest;
        if decision.refuses() && !is_news {
            return decision;
        }
        line.put_window(record, self.tag, &tally);
        decision.as_news()
    }

    /// The refusal of a key that is blocked. What is further ahead than a block can reach was written under
    /// another clock, and ends now.
    fn blocked(&self, until: &mut u64, now: u64) -> Option<Decision> {
        if *until > now.saturating_add(self.longest_block) {
            *until = now.saturating_add(self.longest_block);
        }
        let wait = until.checked_sub(now).filter(|wait| *wait > 0)?;
        Some(Decision::Refused { again_in: Some(wait), blocked: true, is_news: false })
    }

    fn decided(&self, answer: Answer, blocked_until: &mut u64, now: u64) -> Decision {
        match answer {
            Answer::Admitted { left, whole_in } => Decision::Admitted { left, whole_in },
            Answer::Refused { again_in } if self.block_for == 0 => {
                Decision::Refused { again_in, blocked: false, is_news: false }
            }
            Answer::Refused { again_in } => {
                *blocked_until = now.saturating_add(self.block_for);
                let again_in = again_in.map(|wait| wait.max(self.block_for));
                Decision::Refused { again_in, blocked: false, is_news: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::SECOND;

    struct Nobody;

    impl Leases for Nobody {
        fn lives(&self, _: u32) -> bool {
            false
        }

        fn own(&self) -> u32 {
            1
        }
    }

    const NOW: u64 = 1_000_000 * SECOND;

    fn asks() -> [Ask; 2] {
        let rate = Rate { requests: 5, per: 60 * SECOND };
        [Meter::bucket(rate, 5), Meter::window(rate)].map(|meter| Ask {
            meter,
            block_for: 0,
            longest_block: 100 * SECOND,
            tag: 7,
            cost: 1,
        })
    }

    fn again_in(ask: &Ask, line: &mut Line, now: u64) -> Option<u64> {
        match ask.take(line, now, &Nobody) {
            Decision::Refused { again_in, blocked: true, .. } => again_in,
            decision => {
                assert!(!decision.refuses(), "{decision:?}");
                None
            }
        }
    }

    #[test]
    fn a_key_that_is_blocked_from_outside_stays_out_as_long_as_was_said_with_nothing_taken() {
        for ask in asks() {
            let mut line = Line::empty(ask.meter.kind().unwrap());
            ask.block(&mut line, NOW, 30 * SECOND);
            assert_eq!(again_in(&ask, &mut line, NOW), Some(30 * SECOND));
            assert_eq!(again_in(&ask, &mut line, NOW + 30 * SECOND - 1), Some(1));
            assert!(matches!(ask.take(&mut line, NOW + 30 * SECOND, &Nobody), Decision::Admitted { left: 4, .. }));
        }
    }

    #[test]
    fn no_block_is_longer_than_the_longest_by_what_was_said_or_by_a_clock_that_steps_back() {
        for ask in asks() {
            let mut line = Line::empty(ask.meter.kind().unwrap());
            ask.block(&mut line, NOW, u64::MAX);
            assert_eq!(again_in(&ask, &mut line, NOW), Some(100 * SECOND));
            let earlier = NOW - 86_400 * SECOND;
            assert_eq!(again_in(&ask, &mut line, earlier), Some(100 * SECOND));
            assert_eq!(again_in(&ask, &mut line, earlier + 99 * SECOND), Some(SECOND));
        }
    }
}
