//! Where in the store a key's record lies.
//!
//! 1. A pool has a fixed number of lines for each kind of limit and each [`Partition`], and their names are their
//!    numbers: neither traffic nor a thousand configurations can make the store grow beyond it.
//! 2. Limit and key are hashed with a random secret (SipHash-1-3, 128 bits), made once and kept in the store: nobody
//!    can look for keys that fall on one line. Half of the hash chooses the line, half is the tag.
//! 3. A limit is known by its policy's name, its own, how it measures and by what: as long as these stay, a new
//!    configuration goes on with the old counts.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::line::{Kind, NOBODY, VERSION};

/// Who can make keys that fall here. Each has lines of its own, so that a flood of one can't take those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// The configuration alone: no key at all, a route, a name that is listed.
    Reserved,
    /// Whoever another filter lets through: a value that it left.
    Metadata,
    /// Whoever has addresses.
    Addresses,
    /// Anybody: a header, a cookie, a path.
    Invented,
}

impl Partition {
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Metadata, Self::Addresses, Self::Invented];

    /// As the configuration calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Metadata => "metadata",
            Self::Addresses => "addresses",
            Self::Invented => "invented",
        }
    }

    const fn letter(self) -> u8 {
        match self {
            Self::Reserved => b'r',
            Self::Metadata => b'm',
            Self::Addresses => b'a',
            Self::Invented => b'i',
        }
    }
}

/// How many records each partition has, for each kind of limit in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub reserved: u32,
    pub metadata: u32,
    pub addresses: u32,
    pub invented: u32,
}

impl Sizes {
    fn records(self, partition: Partition) -> u32 {
        match partition {
            Partition::Reserved => self.reserved,
            Partition::Metadata => self.metadata,
            Partition::Addresses => self.addresses,
            Partition::Invented => self.invented,
        }
    }

    /// Lines of a partition; one at least.
    pub fn lines(self, kind: Kind, partition: Partition) -> u32 {
        let records = u32::try_from(kind.records()).unwrap_or(u32::MAX);
        self.records(partition).div_ceil(records).max(1)
    }

    /// The most that the store ever holds of these, names included: bytes.
    pub fn bytes(self, Parts(parts): &Parts) -> u64 {
        let size =
            |(kind, part): &(Kind, Partition)| u64::from(self.lines(*kind, *part)) * (kind.line_size() + NAME) as u64;
        parts.iter().map(size).sum()
    }
}

/// The parts of the store in use, each once.
#[derive(Clone, Debug, Default)]
pub struct Parts(pub Vec<(Kind, Partition)>);

impl Parts {
    /// Limits of no kind keep nothing.
    pub fn note(&mut self, kind: Option<Kind>, partition: Partition) {
        if let Some(part) = kind.map(|kind| (kind, partition))
            && !self.0.contains(&part)
        {
            self.0.push(part);
        }
    }
}

/// All names of this filter begin so.
const PREFIX: &[u8; 24] = &[
    b'p',
    b'o',
    b'r',
    b't',
    b'c',
    b'u',
    b'l',
    b'l',
    b'i',
    b's',
    b'.',
    b'r',
    b'a',
    b't',
    b'e',
    b'_',
    b'l',
    b'i',
    b'm',
    b'i',
    b't',
    b'/',
    b'0' + VERSION,
    b'/',
];
/// Bytes of a line's name.
const NAME: usize = PREFIX.len() + 2 + 4;

/// Which line of the pool. Compared as numbers: bytes are compared one by one in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineName {
    pub kind: Kind,
    pub partition: Partition,
    /// Below [`Sizes::lines`].
    pub number: u32,
}

/// What makes places unpredictable; the same in all VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret {
    /// For places.
    pub hash: [u8; 16],
    /// For the check of lines.
    pub check: u64,
}

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: LineName,
    pub tag: u64,
}

/// The place of a key of a limit: `named` is the limit's identity, what it was made for, and the key.
pub fn place(secret: &Secret, sizes: Sizes, kind: Kind, partition: Partition, named: &[u8]) -> Place {
    let mut hasher = SipHasher13::new_with_key(&secret.hash);
    hasher.write(named);
    let hash = hasher.finish128();
    let lines = u64::from(sizes.lines(kind, partition));
    // Below the number of lines, which fits.
    let number = (hash.h1 % lines) as u32;
    Place { line: LineName { kind, partition, number }, tag: if hash.h2 == NOBODY { 1 } else { hash.h2 } }
}

/// What makes a limit known, in few bytes: they are hashed with each request.
pub fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish128().as_bytes()
}

impl LineName {
    /// As the store knows it.
    pub fn bytes(self) -> [u8; NAME] {
        let mut name = [0; NAME];
        if let Some((prefix, [kind, partition, number @ ..])) = name.split_first_chunk_mut() {
            *prefix = *PREFIX;
            (*kind, *partition) = (self.kind.letter(), self.partition.letter());
            number.iter_mut().zip(self.number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
        }
        name
    }
}

/// The name of a value that stands by itself.
pub fn name_of(what: &str) -> Vec<u8> {
    let mut name = PREFIX.to_vec();
    name.extend(what.as_bytes());
    name
}

/// FNV-1a: tells a value that was written whole from one that wasn't.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl Secret {
    const MAGIC: &[u8] = b"PCRS";

    pub const SIZE: usize = 24;

    pub fn new(random: &[u8; Self::SIZE]) -> Self {
        let [hash @ .., a, b, c, d, e, f, g, h] = *random;
        Self { hash, check: u64::from_le_bytes([a, b, c, d, e, f, g, h]) }
    }

    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Self::MAGIC.to_vec();
        bytes.extend(self.hash);
        bytes.extend(self.check.to_le_bytes());
        let sum = sum(bytes.get(Self::MAGIC.len()..).unwrap_or_default());
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// `None` for what no filter of ours wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let secret = Self::new(bytes.get(4..4 + Self::SIZE)?.first_chunk()?);
        (secret.to_bytes() == bytes).then_some(secret)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SECRET: Secret = Secret { hash: [7; 16], check: 9 };
    const SIZES: Sizes = Sizes { reserved: 16, metadata: 16, addresses: 1000, invented: 100 };

    #[test]
    fn whatever_the_keys_are_called_there_are_no_more_lines_than_were_sized() {
        let mut lines = HashSet::new();
        for key in 0..20_000_u32 {
            let place = place(&SECRET, SIZES, Kind::Bucket, Partition::Addresses, &key.to_le_bytes());
            lines.insert(place.line.bytes());
        }
        assert_eq!(lines.len(), 63);
    }

    #[test]
    fn no_partition_meets_another() {
        let at = |partition| place(&SECRET, SIZES, Kind::Bucket, partition, b"key").line.bytes();
        assert_ne!(at(Partition::Invented), at(Partition::Addresses));
    }

    #[test]
    fn a_secret_is_read_as_it_was_written_and_nothing_else_is_one() {
        let bytes = SECRET.to_bytes();
        assert_eq!(Secret::from_bytes(&bytes), Some(SECRET));
        for other in [&bytes[1..], &bytes[..bytes.len() - 1], b"", b"something of another plugin, long enough"] {
            assert_eq!(Secret::from_bytes(other), None);
        }
    }
}
