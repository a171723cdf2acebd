//! Ticks: each VM's root context asks for its own, and each is armed again when its callback has run.

use std::collections::BTreeMap;

const MILLISECOND: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct Timer {
    /// Nanoseconds.
    period: u64,
    /// Nanoseconds since the epoch.
    due: u64,
}

/// By the number of the VM and its root context.
#[derive(Debug, Default)]
pub struct Timers(BTreeMap<(u32, u32), Timer>);

impl Timers {
    /// Asks for ticks; a period of 0 ends them.
    pub fn set(&mut self, vm: u32, root: u32, now: u64, period_ms: u32) {
        if period_ms == 0 {
            self.0.remove(&(vm, root));
        } else {
            let period = u64::from(period_ms) * MILLISECOND;
            self.0.insert((vm, root), Timer { period, due: now.saturating_add(period) });
        }
    }

    pub fn next_due(&self) -> Option<u64> {
        self.0.values().map(|timer| timer.due).min()
    }

    /// The root context whose tick is due. It is armed again from `now`.
    pub fn take_due(&mut self, now: u64) -> Option<(u32, u32)> {
        let (root, timer) =
            self.0.iter_mut().filter(|(_, timer)| timer.due <= now).min_by_key(|(_, timer)| timer.due)?;
        timer.due = now.saturating_add(timer.period);
        Some(*root)
    }

    pub fn forget(&mut self, vm: u32) {
        self.0.retain(|(other, _), _| *other != vm);
    }

    pub fn forget_root(&mut self, vm: u32, root: u32) {
        self.0.remove(&(vm, root));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_again_a_period_after_it_was_served_and_0_ends_it() {
        let mut timers = Timers::default();
        timers.set(1, 2, 0, 10);
        assert_eq!(timers.take_due(9 * MILLISECOND), None);
        assert_eq!(timers.take_due(12 * MILLISECOND), Some((1, 2)));
        assert_eq!(timers.next_due(), Some(22 * MILLISECOND));
        timers.set(1, 2, 0, 0);
        assert_eq!(timers.next_due(), None);
    }
}
