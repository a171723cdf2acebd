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

mod records;

pub use self::records::{Arrival, Tally};
use crate::{rate::LONGEST, window::PARTS};

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

/// Whether the record of a bucket or window says nothing any more.
fn is_free(record: &[u8], now: u64) -> bool {
    let until = word(record, 8).max(word(record, 16));
    // What is further ahead than any limit reaches was written under another clock.
    number(record) == NOBODY || until <= now || until > now.saturating_add(2 * LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
