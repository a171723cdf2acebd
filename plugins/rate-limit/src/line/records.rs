//! What a record of each kind holds, read and written.

use super::{Line, NOBODY, number, word};
use crate::window::{PARTS, Spent};

/// A bucket's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    pub arrival: u64,
    pub blocked_until: u64,
}

impl Line {
    /// The bucket of `tag` and where it stands; `None` where every record is held. `ahead`: how far an empty
    /// bucket's arrival time runs ahead.
    pub fn bucket(&self, tag: u64, now: u64, ahead: u64) -> Option<(usize, Arrival)> {
        let record = self.place(tag, now)?;
        let start = self.start(record);
        if self.tag(record) == tag {
            return Some((record, Arrival { arrival: self.at(start + 8), blocked_until: self.at(start + 16) }));
        }
        let arrival = if self.spoilt_at() == 0 { 0 } else { self.spoilt_at().saturating_add(ahead) };
        Some((record, Arrival { arrival, blocked_until: 0 }))
    }

    pub fn put_bucket(&mut self, record: usize, tag: u64, bucket: Arrival) {
        self.changes += 1;
        self.claim(record, tag);
        let start = self.start(record);
        self.put(start + 8, bucket.arrival);
        self.put(start + 16, bucket.blocked_until);
    }
}

/// A window's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub blocked_until: u64,
    /// When nothing of it counts any more.
    pub over_at: u64,
    pub spent: Spent,
}

impl Line {
    /// The window of `tag` and where it stands; `None` where every record is held.
    pub fn window(&self, tag: u64, now: u64, spoilt: impl FnOnce(u64) -> Spent) -> Option<(usize, Tally)> {
        let record = self.place(tag, now)?;
        let start = self.start(record);
        if self.tag(record) != tag {
            let spent = if self.spoilt_at() == 0 { Spent::default() } else { spoilt(self.spoilt_at()) };
            return Some((record, Tally { spent, ..Tally::default() }));
        }
        let mut counts = [0; PARTS];
        for (index, count) in counts.iter_mut().enumerate() {
            // The lower half of a word.
            *count = self.at(start + 32 + 4 * index) as u32;
        }
        let spent = Spent { newest: self.at(start + 24), counts };
        Some((record, Tally { blocked_until: self.at(start + 8), over_at: self.at(start + 16), spent }))
    }

    pub fn put_window(&mut self, record: usize, tag: u64, tally: &Tally) {
        self.changes += 1;
        self.claim(record, tag);
        let start = self.start(record);
        self.put(start + 8, tally.blocked_until);
        self.put(start + 16, tally.over_at);
        self.put(start + 24, tally.spent.newest);
        for (pair, counts) in tally.spent.counts.chunks_exact(2).enumerate() {
            if let [low, high] = counts {
                self.put(start + 32 + 8 * pair, u64::from(*high) << 32 | u64::from(*low));
            }
        }
    }
}

impl Line {
    /// How many streams of `tag` are in flight, by the leases that `lives`.
    pub fn in_flight(&self, tag: u64, lives: impl Fn(u32) -> bool) -> u32 {
        let own = self.records().filter(|(_, record)| number(record) == tag).map(|(_, record)| streams(record));
        own.filter(|(lease, _)| lives(*lease)).fold(0, |sum, (_, streams)| sum.saturating_add(streams))
    }

    /// Adds to the streams of `tag` under `lease`; `false` where every record is held. Records of leases that
    /// ended are free.
    pub fn add_stream(&mut self, tag: u64, lease: u32, lives: impl Fn(u32) -> bool) -> bool {
        if let Some((place, running)) = self.own_streams(tag, lease) {
            self.put_streams(place, tag, lease, running.saturating_add(1));
            return true;
        }
        let free = self.records().find(|(_, record)| number(record) == NOBODY || !lives(streams(record).0));
        let Some(place) = free.map(|(place, _)| place) else { return false };
        self.put_streams(place, tag, lease, 1);
        true
    }

    /// Takes one of them away; nothing where there is none.
    pub fn end_stream(&mut self, tag: u64, lease: u32) {
        match self.own_streams(tag, lease) {
            None => {}
            Some((place, 0 | 1)) => self.put_streams(place, NOBODY, 0, 0),
            Some((place, more)) => self.put_streams(place, tag, lease, more - 1),
        }
    }

    fn own_streams(&self, tag: u64, lease: u32) -> Option<(usize, u32)> {
        let mut records = self.records();
        let own = records.find(|(_, record)| number(record) == tag && streams(record).0 == lease);
        own.map(|(place, record)| (place, streams(record).1))
    }

    fn put_streams(&mut self, record: usize, tag: u64, lease: u32, streams: u32) {
        self.changes += 1;
        let start = self.start(record);
        self.put(start, tag);
        self.put(start + 8, u64::from(streams) << 32 | u64::from(lease));
    }
}

/// A record's lease and number of streams.
fn streams(record: &[u8]) -> (u32, u32) {
    let word = word(record, 8);
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::{super::Kind, *};
    use crate::rate::SECOND;

    #[test]
    fn a_record_that_says_something_is_never_given_away() {
        let mut line = Line::empty(Kind::Bucket);
        let now = 1000 * SECOND;
        for tag in 1..=16 {
            let (record, _) = line.bucket(tag, now, 0).unwrap();
            line.put_bucket(record, tag, Arrival { arrival: now + tag * SECOND, blocked_until: 0 });
        }
        assert_eq!((line.bucket(99, now, 0), line.held(now), line.held(now + 4 * SECOND)), (None, 16, 12));
        assert!(line.bucket(3, now, 0).is_some());
        let (record, fresh) = line.bucket(99, now + SECOND, 0).unwrap();
        assert_eq!(fresh, Arrival::default());
        line.put_bucket(record, 99, Arrival { arrival: now + 9 * SECOND, blocked_until: 0 });
        assert_eq!((line.evictions, line.bucket(1, now + SECOND, 0)), (1, None));
        line.put_bucket(5, 6, Arrival { arrival: 0, blocked_until: now + 9 * SECOND });
        assert_eq!(line.bucket(98, now + SECOND, 0), None, "a key that is blocked is held");
    }

    #[test]
    fn windows_are_read_as_they_were_written() {
        let mut line = Line::empty(Kind::Window);
        let mut spent = Spent { newest: 77, counts: [0; PARTS] };
        spent.counts.iter_mut().enumerate().for_each(|(index, count)| *count = u32::MAX - index as u32);
        let tally = Tally { blocked_until: 5, over_at: 9 * SECOND, spent };
        let (record, _) = line.window(4, 0, |_| Spent::default()).unwrap();
        line.put_window(record, 4, &tally);
        assert_eq!(line.window(4, 0, |_| Spent::default()), Some((record, tally)));
    }

    #[test]
    fn streams_are_counted_by_lease_and_those_of_a_lease_that_ended_no_more() {
        let mut line = Line::empty(Kind::InFlight);
        let lives = |lease| lease != 13;
        assert!(
            line.add_stream(1, 12, |_| true) && line.add_stream(1, 12, |_| true) && line.add_stream(1, 13, |_| true)
        );
        assert_eq!((line.in_flight(1, |_| true), line.in_flight(1, lives)), (3, 2));
        line.end_stream(1, 12);
        line.end_stream(1, 99);
        assert_eq!(line.in_flight(1, lives), 1);
        for tag in 2..=63 {
            assert!(line.add_stream(tag, 12, |_| true));
        }
        assert!(!line.add_stream(99, 12, |_| true));
        assert!(line.add_stream(99, 12, lives));
    }

    #[test]
    fn in_a_foreign_values_place_every_key_is_spent() {
        let line = Line::spoilt(Kind::Bucket, 50 * SECOND);
        assert_eq!(line.bucket(1, 51 * SECOND, 10 * SECOND).unwrap().1.arrival, 60 * SECOND);
    }
}
