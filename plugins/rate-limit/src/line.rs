//! A line of the pool: one value of the store, in which several keys have a record each.
//!
//! 1. A line is 24 bytes of head and a fixed number of records: its size never changes.
//!    Head: magic (4), version (1), kind (1), 0 (2), check (8), the time at which it was spoilt or 0 (8).
//! 2. A record belongs to a tag, a 64-bit keyed hash of the limit and its key; tag 0 is nobody's.
//! 3. A record is free once it says nothing any more: a bucket that is whole, a window that is empty. One that
//!    says something is never given away, so no flood of strange keys pushes out one that is being limited.
//! 4. A value that isn't a line of ours is no line. What stands in its place counts as spent at that moment.
//!
//! Numbers are little-endian, times nanoseconds since the epoch.

use crate::{
    rate::LONGEST,
    window::{PARTS, Spent},
};

/// What the records of a line hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// tag, arrival, blocked until
    Bucket,
    /// tag, blocked until, over at, newest part, counts
    Window,
    /// tag, lease, streams
    InFlight,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Bucket, Self::Window, Self::InFlight];

    /// Records in a line.
    pub const fn records(self) -> usize {
        match self {
            Self::Bucket => 16,
            Self::Window => 8,
            Self::InFlight => 64,
        }
    }

    const fn record_size(self) -> usize {
        match self {
            Self::Bucket => 24,
            Self::Window => 32 + 4 * PARTS,
            Self::InFlight => 16,
        }
    }

    /// Bytes of a line.
    pub const fn line_size(self) -> usize {
        HEAD + self.records() * self.record_size()
    }

    /// The first eight bytes of a line.
    const fn head(self) -> u64 {
        let [a, b, c, d] = MAGIC;
        u64::from_le_bytes([a, b, c, d, VERSION, self.letter(), 0, 0])
    }

    /// In the names of metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bucket => "token_bucket",
            Self::Window => "sliding_window",
            Self::InFlight => "in_flight",
        }
    }

    /// In the names of lines.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Bucket => b'b',
            Self::Window => b'w',
            Self::InFlight => b'f',
        }
    }
}

const HEAD: usize = 24;
const MAGIC: [u8; 4] = *b"PCRL";
/// Of the layout; it stands in the names of lines as well.
pub const VERSION: u8 = 1;

/// Nobody's.
pub const NOBODY: u64 = 0;

/// A value that isn't a line of ours: another plugin's, or one that was cut or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    kind: Kind,
    bytes: Vec<u8>,
    changes: u32,
    /// Records that were taken from a tag that no longer needed them.
    pub evictions: u32,
}

impl Line {
    pub fn empty(kind: Kind) -> Self {
        let mut line = Self { kind, bytes: vec![0; kind.line_size()], changes: 0, evictions: 0 };
        line.put(0, kind.head());
        line
    }

    /// An empty line in place of a foreign value: its keys count as spent at `now`.
    pub fn spoilt(kind: Kind, now: u64) -> Self {
        let mut line = Self::empty(kind);
        line.put(16, now);
        line
    }

    /// # Errors
    /// The value isn't a line of this kind, written by whoever knows `secret`.
    pub fn read(kind: Kind, bytes: Vec<u8>, secret: u64) -> Result<Self, Foreign> {
        let line = Self { kind, bytes, changes: 0, evictions: 0 };
        let is_ours =
            line.bytes.len() == kind.line_size() && line.at(0) == kind.head() && line.at(8) == line.check(secret);
        if is_ours { Ok(line) } else { Err(Foreign) }
    }

    /// The bytes to be written.
    pub fn sealed(&mut self, secret: u64) -> &[u8] {
        self.put(8, self.check(secret));
        &self.bytes
    }

    /// How often a record was changed since the line was read.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Guards against accidents and strangers, not against one who reads the store.
    fn check(&self, secret: u64) -> u64 {
        let (words, _) = self.bytes.as_chunks();
        let words = words.get(2..).unwrap_or_default().iter().map(|word| u64::from_le_bytes(*word));
        words.fold(secret, |hash, word| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
    }

    /// When the line was put in a foreign value's place; 0 for never.
    fn spoilt_at(&self) -> u64 {
        self.at(16)
    }

    /// Whether a record is this tag's.
    pub fn knows(&self, tag: u64) -> bool {
        self.find(tag).is_some()
    }

    fn start(&self, record: usize) -> usize {
        HEAD + record * self.kind.record_size()
    }

    fn tag(&self, record: usize) -> u64 {
        self.at(self.start(record))
    }

    fn records(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.bytes.get(HEAD..).unwrap_or_default().chunks_exact(self.kind.record_size()).enumerate()
    }

    fn find(&self, tag: u64) -> Option<usize> {
        self.records().find(|(_, record)| number(record) == tag).map(|(place, _)| place)
    }

    /// The record of `tag`, or one that is free.
    fn place(&self, tag: u64, now: u64) -> Option<usize> {
        let mut free = None;
        for (place, record) in self.records() {
            let found = number(record);
            if found == tag {
                return Some(place);
            }
            if free.is_none() && is_free(record, now) {
                free = Some(place);
            }
        }
        free
    }

    /// How many records are held.
    pub fn held(&self, now: u64) -> u32 {
        let held = self.records().filter(|(_, record)| match self.kind {
            Kind::InFlight => number(record) != NOBODY,
            Kind::Bucket | Kind::Window => !is_free(record, now),
        });
        u32::try_from(held.count()).unwrap_or(u32::MAX)
    }

    /// Gives the record to `tag`.
    fn claim(&mut self, record: usize, tag: u64) {
        let before = self.tag(record);
        if before != tag {
            self.evictions += u32::from(before != NOBODY);
            self.put(self.start(record), tag);
        }
    }

    fn at(&self, offset: usize) -> u64 {
        word(&self.bytes, offset)
    }

    fn put(&mut self, offset: usize, value: u64) {
        if let Some(place) = self.bytes.get_mut(offset..).and_then(|bytes| bytes.first_chunk_mut()) {
            *place = value.to_le_bytes();
        }
    }
}

/// The first eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).map_or(0, number)
}

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

/// Whether the record of a bucket or window says nothing any more.
fn is_free(record: &[u8], now: u64) -> bool {
    let until = word(record, 8).max(word(record, 16));
    // What is further ahead than any limit reaches was written under another clock.
    number(record) == NOBODY || until <= now || until > now.saturating_add(2 * LONGEST)
}

/// A record's lease and number of streams.
fn streams(record: &[u8]) -> (u32, u32) {
    let word = word(record, 8);
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::SECOND;

    const SECRET: u64 = 7;

    #[test]
    fn a_line_is_read_as_it_was_written_and_no_other_value_is_one() {
        for kind in Kind::ALL {
            let bytes = Line::empty(kind).sealed(SECRET).to_vec();
            assert_eq!(bytes.len(), kind.line_size());
            assert!(Line::read(kind, bytes.clone(), SECRET).is_ok());
            assert_eq!(Line::read(kind, bytes.clone(), SECRET + 1), Err(Foreign));
            for place in 0..bytes.len() {
                let mut other = bytes.clone();
                other[place] ^= 1;
                assert_eq!(Line::read(kind, other, SECRET), Err(Foreign), "{kind:?} {place}");
            }
            assert_eq!(Line::read(kind, bytes[..bytes.len() - 1].to_vec(), SECRET), Err(Foreign));
            assert_eq!(Line::read(kind, Vec::new(), SECRET), Err(Foreign));
        }
    }

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
