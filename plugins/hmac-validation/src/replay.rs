//! Which deliveries the backend took: a bounded memory in the store that all workers share.
//!
//! 1. A delivery is known by the MAC that was computed for it, and by its policy; never by an id that nobody signed, nor by the
//!    text that came. Only verified ones enter, so a stranger can't fill it.
//! 2. It is claimed when it is verified, once under races: the store is written over what was read. While it is in flight, a
//!    second one waits for the provider's next try.
//! 3. The backend's answer decides: a 2xx, and it stays until its time is over; anything else, or none, and it is
//!    forgotten, so that the provider's retry passes.
//! 4. Records lie sixteen to a value; their number is fixed by the configuration. One whose time is over is free.

use portcullis_kit::{
    reason::Reason,
    store::{Found, Over, Store, Written},
};

use crate::{
    decide::{DELIVERY_IN_FLIGHT, REPLAY_MEMORY_FULL, REPLAY_STORE_FAILED, REPLAYED},
    mac,
};

/// Milliseconds after which a delivery in flight is taken for lost with its worker.
pub const IN_FLIGHT: u64 = 120_000;

/// Records in one value.
const RECORDS: usize = 16;
const TAG: usize = 16;
/// Tag, milliseconds since 1970, whether it was taken.
const RECORD: usize = TAG + 8 + 1;
const PREFIX: &[u8] = b"portcullis.hmac_validation/1/";
const MAGIC: &[u8; 4] = b"PCHM";
/// Races that are lost before a delivery is given up.
const RACES: usize = 32;

/// How many values the memory has.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    lines: u32,
}

/// A delivery's place in the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    key: Vec<u8>,
    tag: [u8; TAG],
    /// Milliseconds; until when it is remembered once it was taken.
    until: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    tag: [u8; TAG],
    until: u64,
    taken: bool,
}

impl Memory {
    /// Room for so many deliveries.
    pub fn of(deliveries: u32) -> Self {
        Self { lines: deliveries.div_ceil(16).max(1) }
    }

    /// The place of a delivery, to be remembered until a time.
    pub fn place(self, policy: &str, mac: &[u8], until: u64) -> Claim {
        let digest = mac::digest(&[policy.as_bytes(), &[0], mac].concat());
        let number = digest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) % self.lines;
        let tag = digest.last_chunk().copied().unwrap_or_default();
        Claim { key: [PREFIX, &number.to_le_bytes()].concat(), tag, until }
    }
}

impl Claim {
    /// Takes the place. `again`: the proxy itself sent the request once more, to another route.
    ///
    /// # Errors
    /// The delivery was taken or is in flight, or the memory can't say.
    pub fn take(&self, store: &mut impl Store, now: u64, again: bool) -> Result<(), Reason> {
        self.change(store, now, |records| {
            if let Some(known) = records.iter_mut().find(|record| record.tag == self.tag) {
                if known.taken {
                    return Err(REPLAYED);
                }
                known.until = now + IN_FLIGHT;
                return if again { Ok(()) } else { Err(DELIVERY_IN_FLIGHT) };
            }
            if records.len() >= RECORDS {
                return Err(REPLAY_MEMORY_FULL);
            }
            records.push(Record { tag: self.tag, until: now + IN_FLIGHT, taken: false });
            Ok(())
        })
    }

    /// The backend has answered, or never will.
    pub fn settle(&self, store: &mut impl Store, now: u64, taken: bool) {
        // What can't be written is forgotten after `IN_FLIGHT`.
        let _ = self.change(store, now, |records| {
            records.retain(|record| record.tag != self.tag);
            if taken && records.len() < RECORDS {
                records.push(Record { tag: self.tag, until: self.until, taken: true });
            }
            Ok(())
        });
    }

    fn change(
        &self,
        store: &mut impl Store,
        now: u64,
        change: impl Fn(&mut Vec<Record>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        for _ in 0..RACES {
            let (records, over) = match store.get(&self.key) {
                Found::Nothing => (Some(Vec::new()), Over::Nothing),
                Found::Value(bytes, version) => (read(&bytes), Over::Version(version)),
                Found::Unreadable => return Err(REPLAY_STORE_FAILED),
            };
            let Some(mut records) = records else {
                // A stranger's value: the next delivery finds ours, and this one isn't known to be new.
                store.put(&self.key, &write(&[]), over);
                return Err(REPLAY_STORE_FAILED);
            };
            records.retain(|record| record.until > now);
            change(&mut records)?;
            match store.put(&self.key, &write(&records), over) {
                Written::Done => return Ok(()),
                Written::Lost => {}
                Written::Unwritable => return Err(REPLAY_STORE_FAILED),
            }
        }
        Err(REPLAY_STORE_FAILED)
    }
}

/// Of one size, whatever it holds.
fn write(records: &[Record]) -> Vec<u8> {
    let mut body = Vec::with_capacity(RECORDS * RECORD);
    for record in records {
        body.extend(record.tag);
        body.extend(record.until.to_le_bytes());
        body.push(record.taken.into());
    }
    body.resize(RECORDS * RECORD, 0);
    [MAGIC.as_slice(), &sum(&body).to_le_bytes(), &body].concat()
}

/// `None` for what no filter of ours wrote.
fn read(bytes: &[u8]) -> Option<Vec<Record>> {
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    if body.len() != RECORDS * RECORD || u32::from_le_bytes(*sum) != self::sum(body) {
        return None;
    }
    let record = |bytes: &[u8]| {
        let (tag, rest) = bytes.split_first_chunk()?;
        let (until, taken) = rest.split_first_chunk()?;
        Some(Record { tag: *tag, until: u64::from_le_bytes(*until), taken: taken == [1] })
    };
    Some(body.chunks_exact(RECORD).filter_map(record).filter(|record| record.until > 0).collect())
}

/// FNV-1a: tells a value that was written whole from one that wasn't.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_kit::store::Version;

    use super::*;

    #[derive(Default)]
    struct Shared {
        values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
        /// What others write between this one's next reads and writes.
        others: Vec<(Claim, u64)>,
    }

    impl Store for Shared {
        fn get(&mut self, key: &[u8]) -> Found {
            let found = self.values.get(key).cloned();
            if let Some((other, now)) = self.others.pop() {
                let _ = other.take(self, now, false);
            }
            found.map_or(Found::Nothing, |(value, version)| Found::Value(value, Version(version)))
        }

        fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
            let version = self.values.get(key).map(|(_, version)| Version(*version));
            let fits = match over {
                Over::Nothing => version.is_none(),
                Over::Version(read) => version == Some(read),
            };
            if !fits {
                return Written::Lost;
            }
            self.values.insert(key.to_vec(), (value.to_vec(), version.map_or(1, |Version(number)| number + 1)));
            Written::Done
        }
    }

    const NOW: u64 = 1_790_000_000_000;

    fn claim(mac: &[u8]) -> Claim {
        Memory::of(1).place("p", mac, NOW + 300_000)
    }

    #[test]
    fn one_that_the_backend_took_stays_out_until_its_time_is_over_and_one_that_it_failed_passes_again() {
        let (mut store, one) = (Shared::default(), claim(b"one"));
        assert_eq!(one.take(&mut store, NOW, false), Ok(()));
        assert_eq!(one.take(&mut store, NOW + 1, false), Err(DELIVERY_IN_FLIGHT));
        one.settle(&mut store, NOW + 2, false);
        assert_eq!(one.take(&mut store, NOW + 3, false), Ok(()));
        one.settle(&mut store, NOW + 4, true);
        assert_eq!(one.take(&mut store, NOW + 299_999, false), Err(REPLAYED));
        assert_eq!(one.take(&mut store, NOW + 300_000, false), Ok(()));
    }

    #[test]
    fn one_in_flight_is_free_again_when_its_worker_never_answers_and_passes_a_redirect_inside() {
        let (mut store, one) = (Shared::default(), claim(b"one"));
        assert_eq!(one.take(&mut store, NOW, false), Ok(()));
        assert_eq!(one.take(&mut store, NOW, true), Ok(()));
        assert_eq!(one.take(&mut store, NOW + IN_FLIGHT, false), Ok(()));
    }

    #[test]
    fn of_two_workers_that_race_for_one_delivery_one_has_it() {
        let (mut store, one) = (Shared::default(), claim(b"one"));
        store.others = vec![(one.clone(), NOW)];
        assert_eq!(one.take(&mut store, NOW, false), Err(DELIVERY_IN_FLIGHT));
        let two = claim(b"two");
        store.others = vec![(claim(b"three"), NOW)];
        assert_eq!(two.take(&mut store, NOW, false), Ok(()));
        assert_eq!(claim(b"three").take(&mut store, NOW, false), Err(DELIVERY_IN_FLIGHT));
    }

    #[test]
    fn a_memory_that_is_full_admits_nobody_that_it_could_not_remember_and_never_grows() {
        let mut store = Shared::default();
        for number in 0..16_u32 {
            assert_eq!(claim(&number.to_le_bytes()).take(&mut store, NOW, false), Ok(()));
        }
        assert_eq!(claim(b"one more").take(&mut store, NOW, false), Err(REPLAY_MEMORY_FULL));
        assert_eq!(store.values.len(), 1);
        assert_eq!(store.values.values().next().unwrap().0.len(), write(&[]).len());
        assert_eq!(claim(b"one more").take(&mut store, NOW + IN_FLIGHT, false), Ok(()));
    }

    #[test]
    fn the_same_delivery_under_another_policy_is_another_one() {
        let mut store = Shared::default();
        let of = |policy| Memory::of(100).place(policy, b"mac", NOW + 1000);
        assert_eq!(of("a").take(&mut store, NOW, false), Ok(()));
        assert_eq!(of("b").take(&mut store, NOW, false), Ok(()));
    }

    #[test]
    fn a_strangers_value_is_never_believed_and_gives_way() {
        let (mut store, one) = (Shared::default(), claim(b"one"));
        store.values.insert(one.key.clone(), (b"rubbish".to_vec(), 7));
        assert_eq!(one.take(&mut store, NOW, false), Err(REPLAY_STORE_FAILED));
        assert_eq!(one.take(&mut store, NOW, false), Ok(()));
    }
}
