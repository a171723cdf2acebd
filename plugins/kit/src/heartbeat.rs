//! A line in the proxy's log every five minutes, from one VM of all: its absence is an alarm.
//!
//! 1. The time of the last beat stands in the store. Whoever finds it too old writes the new one over it; who is
//!    first speaks, and the others wait for the next.
//! 2. A time in the future, or a value that isn't one, was written under another clock or by a stranger: too old.

use crate::{
    host::{Host, Level},
    store::{Found, Over, Store, Written},
};

/// Nanoseconds between two beats.
pub const EVERY: u64 = 300 * 1_000_000_000;

const MAGIC: [u8; 4] = *b"PCHB";

#[derive(Clone, Debug)]
pub struct Heartbeat {
    filter: &'static str,
    key: Vec<u8>,
    /// Before this time nobody has to look.
    next: u64,
}

impl Heartbeat {
    pub fn new(filter: &'static str) -> Self {
        Self { filter, key: format!("portcullis.{filter}/heartbeat").into_bytes(), next: 0 }
    }

    /// To be called now and then, as with each tick.
    pub fn beat(&mut self, host: &mut (impl Host + Store)) {
        let now = host.now();
        // A clock that stepped back far must not silence it.
        if now < self.next && self.next - now <= EVERY {
            return;
        }
        let (last, over) = match host.get(&self.key) {
            Found::Unreadable => return,
            Found::Nothing => (None, Over::Nothing),
            Found::Value(value, version) => (read(&value), Over::Version(version)),
        };
        if let Some(last) = last.filter(|last| (last.saturating_sub(EVERY)..last.saturating_add(EVERY)).contains(&now))
        {
            self.next = last.saturating_add(EVERY);
            return;
        }
        if host.put(&self.key, &[MAGIC.as_slice(), &now.to_le_bytes()].concat(), over) == Written::Done {
            host.log(Level::Warn, &format!("HEARTBEAT filter={}", self.filter));
            self.next = now.saturating_add(EVERY);
        }
    }
}

fn read(value: &[u8]) -> Option<u64> {
    let time = value.strip_prefix(&MAGIC)?;
    Some(u64::from_le_bytes(*time.first_chunk()?)).filter(|_| time.len() == 8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        host::{Clock, CounterId, RouteProperty},
        store::Version,
    };

    /// A proxy with a clock that can be turned.
    #[derive(Default)]
    struct Proxy {
        now: u64,
        values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
        lines: usize,
    }

    impl Store for Proxy {
        fn get(&mut self, key: &[u8]) -> Found {
            let value = self.values.get(key);
            value.map_or(Found::Nothing, |(value, version)| Found::Value(value.clone(), Version(*version)))
        }

        fn put(&mut self, key: &[u8], value: &[u8], _: Over) -> Written {
            let version = self.values.len() as u32 + 1;
            self.values.insert(key.to_vec(), (value.to_vec(), version));
            Written::Done
        }
    }

    impl Clock for Proxy {
        fn now(&mut self) -> u64 {
            self.now
        }
    }

    impl Host for Proxy {
        fn route(&mut self, _: RouteProperty) -> Vec<u8> {
            Vec::new()
        }

        fn define_counter(&mut self, _: &str) -> CounterId {
            CounterId(0)
        }

        fn increment(&mut self, _: CounterId) {}

        fn leave_record(&mut self, _: &str, _: &str) {}

        fn log(&mut self, _: Level, line: &str) {
            assert_eq!(line, "HEARTBEAT filter=paint");
            self.lines += 1;
        }
    }

    #[test]
    fn of_several_vms_one_speaks_every_five_minutes() {
        let mut proxy = Proxy { now: 1_000 * EVERY, ..Proxy::default() };
        let mut vms = [Heartbeat::new("paint"), Heartbeat::new("paint"), Heartbeat::new("paint")];
        for _ in 0..10 {
            for step in 0..30 {
                proxy.now += EVERY / 30;
                vms.iter_mut().for_each(|vm| vm.beat(&mut proxy));
                assert!(step > 0 || proxy.lines > 0);
            }
        }
        assert_eq!(proxy.lines, 10);
    }

    #[test]
    fn neither_a_clock_that_steps_back_nor_a_foreign_value_silences_it() {
        let mut proxy = Proxy { now: 1_000 * EVERY, ..Proxy::default() };
        let mut vm = Heartbeat::new("paint");
        vm.beat(&mut proxy);
        proxy.now = 10 * EVERY;
        vm.beat(&mut proxy);
        assert_eq!(proxy.lines, 2);
        proxy.values.insert(b"portcullis.paint/heartbeat".to_vec(), (b"PCHBrubbish".to_vec(), 9));
        proxy.now += EVERY;
        vm.beat(&mut proxy);
        assert_eq!(proxy.lines, 3);
    }
}
