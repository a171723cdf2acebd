//! How many lines a second a filter may write to the proxy's log, which belongs to no request.

/// Lines in one second of one VM; what is more is dropped and counted.
pub const LINES_PER_SECOND: u32 = 10;

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct LogBudget {
    second: u64,
    used: u32,
}

impl LogBudget {
    /// Whether one line more may be written at `now` (nanoseconds since the epoch). A clock that steps
    /// back begins a new second.
    pub fn admit(&mut self, now: u64) -> bool {
        if now / SECOND != self.second {
            *self = Self { second: now / SECOND, used: 0 };
        }
        self.used += 1;
        self.used <= LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_the_next_second_begins_anew() {
        let mut budget = LogBudget::default();
        let admitted = |budget: &mut LogBudget, now| (0..1000).filter(|_| budget.admit(now)).count();
        assert_eq!(admitted(&mut budget, 5 * SECOND), 10);
        assert_eq!(admitted(&mut budget, 6 * SECOND - 1), 0);
        assert_eq!(admitted(&mut budget, 6 * SECOND), 10);
        assert_eq!(admitted(&mut budget, 2 * SECOND), 10);
    }
}
