//! How much all callbacks of a step, and what outlives them, may make the host keep. A single callback has
//! its own bounds; without these a filter that is called often would still fill the host's memory, or
//! never be done. Envoy has no such limits: there it is Envoy's memory that fills.

use std::time::{Duration, Instant};

/// Bytes that calls carry from or to guests in one step.
const OF_STEP: usize = 1 << 30;
/// Bytes in the store, in queues and in names, all together.
const LASTING: usize = 256 << 20;
/// What is kept beside the bytes of each.
const BESIDE: usize = 64;
/// Ticks, answers and notices of queues in one step, and how long they may take.
const EVENTS: u32 = 200_000;
const EVENTS_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Room {
    carried: usize,
    lasting: usize,
    events: u32,
    began: Option<Instant>,
}

impl Room {
    /// A step begins.
    pub fn begin(&mut self) {
        (self.carried, self.events, self.began) = (0, 0, Some(Instant::now()));
    }

    /// `Err` with the reason of the trap.
    pub fn carry(&mut self, bytes: usize) -> Result<(), String> {
        self.carried = self.carried.saturating_add(bytes);
        if self.carried > OF_STEP {
            return Err(full(OF_STEP, "carried by calls to the host in one step"));
        }
        Ok(())
    }

    /// `Err` with the reason of the trap.
    pub fn keep(&mut self, bytes: usize) -> Result<(), String> {
        self.lasting = self.lasting.saturating_add(bytes.saturating_add(BESIDE));
        if self.lasting > LASTING {
            return Err(full(LASTING, "kept in the store, in queues and in names"));
        }
        Ok(())
    }

    pub fn free(&mut self, bytes: usize) {
        self.lasting = self.lasting.saturating_sub(bytes.saturating_add(BESIDE));
    }

    /// Whether one more event may be played.
    pub fn event(&mut self) -> bool {
        self.events = self.events.saturating_add(1);
        !self.events_are_spent()
    }

    /// Why later events of the step were left out.
    pub fn left_out(&self) -> Option<String> {
        self.events_are_spent().then(|| {
            format!(
                "more than {EVENTS} ticks, answers and notices of queues came in one step, or they took more than {} s; \
                 the rest is left out: let less time pass, or tick less often",
                EVENTS_WITHIN.as_secs()
            )
        })
    }

    fn events_are_spent(&self) -> bool {
        self.events > EVENTS || self.events > 0 && self.began.is_some_and(|began| began.elapsed() > EVENTS_WITHIN)
    }
}

fn full(bytes: usize, what: &str) -> String {
    format!("more than {} MiB {what}; in Envoy it would fill the proxy's memory", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_carries_so_much_and_the_next_one_again() {
        let mut room = Room::default();
        room.begin();
        assert_eq!(room.carry(OF_STEP), Ok(()));
        assert!(room.carry(1).unwrap_err().contains("1024 MiB carried"));
        room.begin();
        assert_eq!(room.carry(1), Ok(()));
    }

    #[test]
    fn what_is_taken_out_makes_room() {
        let mut room = Room::default();
        assert_eq!(room.keep(LASTING - BESIDE), Ok(()));
        assert!(room.keep(0).is_err());
        room.free(0);
        room.free(LASTING - BESIDE);
        assert_eq!(room.keep(LASTING - BESIDE), Ok(()));
    }

    #[test]
    fn events_are_counted_by_step_and_one_too_many_is_told() {
        let mut room = Room::default();
        room.begin();
        assert!((0..EVENTS).all(|_| room.event()));
        assert_eq!(room.left_out(), None);
        assert!(!room.event());
        assert!(room.left_out().unwrap().contains("let less time pass"));
    }
}
