//! The clock: it moves only when it is told to.
//!
//! 1. Ticks, callouts and back-off go by the proxy's own time, `now`, which only grows.
//! 2. Filters are told the time of day and, by WASI, a monotonic one. Faults act on these: both may stand
//!    still, and the time of day may step back.

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: u64,
    /// How far the time of day lies behind.
    behind: u64,
    /// When what is told came to a stand.
    stands: Option<u64>,
}

/// 2025-01-01T00:00:00Z, so that a filter never sees a clock that was not set.
const START: u64 = 1_735_689_600_000_000_000;

impl Default for Clock {
    fn default() -> Self {
        Self { now: START, behind: 0, stands: None }
    }
}

impl Clock {
    pub fn now(self) -> u64 {
        self.now
    }

    /// What filters are told as time of day.
    pub fn of_day(self) -> u64 {
        self.monotonic().saturating_sub(self.behind)
    }

    /// What filters are told as monotonic time.
    pub fn monotonic(self) -> u64 {
        self.stands.unwrap_or(self.now)
    }

    /// Moves on to a time, unless it is past.
    pub fn reach(&mut self, time: u64) {
        self.now = self.now.max(time);
    }

    pub fn advance(&mut self, nanoseconds: u64) {
        self.now = self.now.saturating_add(nanoseconds);
    }

    /// The time of day steps back.
    pub fn step_back(&mut self, nanoseconds: u64) {
        self.behind = self.behind.saturating_add(nanoseconds);
    }

    /// Lets what is told stand still, or go on from where time has come meanwhile.
    pub fn stand(&mut self, stands: bool) {
        self.stands = stands.then(|| self.monotonic());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_may_stand_and_step_back_while_time_goes_on() {
        let mut clock = Clock::default();
        clock.stand(true);
        clock.advance(10);
        assert_eq!((clock.now(), clock.of_day(), clock.monotonic()), (START + 10, START, START));
        clock.step_back(3);
        assert_eq!((clock.of_day(), clock.monotonic()), (START - 3, START));
        clock.stand(false);
        assert_eq!((clock.now(), clock.of_day(), clock.monotonic()), (START + 10, START + 7, START + 10));
    }
}
