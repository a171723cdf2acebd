//! The clock: it moves only when it is told to.

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(u64);

/// 2025-01-01T00:00:00Z, so that a filter never sees a clock that was not set.
const START: u64 = 1_735_689_600_000_000_000;

impl Default for Clock {
    fn default() -> Self {
        Self(START)
    }
}

impl Clock {
    pub fn now(self) -> u64 {
        self.0
    }

    /// Moves on to a time, unless it is past.
    pub fn reach(&mut self, time: u64) {
        self.0 = self.0.max(time);
    }

    pub fn advance(&mut self, nanoseconds: u64) {
        self.0 = self.0.saturating_add(nanoseconds);
    }
}
