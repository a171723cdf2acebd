//! Chunk by chunk: the next one leaves when Envoy has read the one before, so that each reaches the
//! filter in a call of its own.

use std::time::{Duration, Instant};

use crate::envoy::Admin;

/// How long a chunk may stay unread before the next one follows. Envoy doesn't read while a filter
/// holds more than the buffers take.
const READ_WITHIN: Duration = Duration::from_millis(20);
/// The same, once a chunk has stayed unread.
const READ_WITHIN_AFTERWARDS: Duration = Duration::from_millis(2);

/// Watches Envoy's counter of bytes read, of one listener or cluster. The default watches nothing
/// and never waits.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Where to ask, and the full name of the statistic.
    counter: Option<(Admin, String)>,
    /// The counter must reach this.
    target: Option<u64>,
    within: Duration,
}

impl Pace {
    /// `counter` is the full name of a statistic.
    pub fn new(admin: Admin, counter: String) -> Self {
        Self { counter: Some((admin, counter)), ..Self::default() }
    }

    /// Begins to count: whatever is written from here on.
    pub async fn begin(&mut self) {
        self.target = self.read().await;
        self.within = READ_WITHIN;
    }

    /// Waits until Envoy has read all that was written since [`Self::begin`], `written` bytes more
    /// than at the last call. Gives up in silence after 20 ms.
    pub async fn read_up(&mut self, written: usize) {
        let Some(target) = &mut self.target else { return };
        *target += written as u64;
        let target = *target;
        let end = Instant::now() + self.within;
        while self.read().await.is_some_and(|read| read < target) {
            if Instant::now() > end {
                self.within = READ_WITHIN_AFTERWARDS;
                return;
            }
        }
    }

    async fn read(&self) -> Option<u64> {
        let (admin, counter) = self.counter.as_ref()?;
        let pattern = format!("^{}$", counter.replace('.', "\\."));
        let counters = admin.counters(&pattern).await.ok()?;
        Some(counters.get(counter).copied().unwrap_or_default())
    }
}
