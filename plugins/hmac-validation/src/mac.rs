//! The MAC itself, by crates that stand alone and are named after what they do: `hmac-sha256`, `hmac-sha512`,
//! `hmac-sha1-compact`. Those on `digest` would switch on features that Wasmtime hashes with as well, and everything that
//! stands on it would be built twice.
//!
//! 1. A key's [`Schedule`] is made once, when the configuration is read; a delivery begins with a copy of it.
//! 2. SHA-256 is what nearly all providers sign with. In V8, compiled with the flags of modules, it hashes 235 MB/s (crate `sha2`: 131).
//! 3. The crates count bits in a word of 32: no body may be longer than [`LONGEST`].

use hmac_sha1_compact::Hash as Sha1;
use hmac_sha256::{HMAC as HmacSha256, Hash as Sha256};
use hmac_sha512::{HMAC as HmacSha512, sha384::HMAC as HmacSha384};
use portcullis_kit::{secret::Secret, words};
use subtle::ConstantTimeEq;

/// Bytes of a body. What is signed beside it isn't near the other half.
pub const LONGEST: u32 = 256 << 20;

words! {
    /// The hash under the HMAC.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Algorithm {
        #[default]
        Sha256 = "sha256",
        Sha384 = "sha384",
        Sha512 = "sha512",
        /// Only where a provider has nothing better.
        Sha1 = "sha1",
    }
}

impl Algorithm {
    /// Bytes of a MAC.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A key, ready to begin MACs with.
pub enum Schedule {
    Sha1(HmacSha1),
    Sha256(Box<HmacSha256>),
    /// The crate's states have no copies; each delivery begins with the key.
    Sha384(Secret),
    Sha512(Secret),
}

impl Schedule {
    /// A key of any length.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(HmacSha1::new(key)),
            Algorithm::Sha256 => Self::Sha256(Box::new(HmacSha256::new(key))),
            Algorithm::Sha384 => Self::Sha384(Secret::new(key.to_vec())),
            Algorithm::Sha512 => Self::Sha512(Secret::new(key.to_vec())),
        }
    }

    pub fn begin(&self) -> Mac {
        match self {
            Self::Sha1(mac) => Mac::Sha1(Box::new(*mac)),
            Self::Sha256(mac) => Mac::Sha256(mac.clone()),
            Self::Sha384(key) => Mac::Sha384(Box::new(HmacSha384::new(key.reveal()))),
            Self::Sha512(key) => Mac::Sha512(Box::new(HmacSha512::new(key.reveal()))),
        }
    }
}

/// A MAC in the making.
pub enum Mac {
    Sha1(Box<HmacSha1>),
    Sha256(Box<HmacSha256>),
    Sha384(Box<HmacSha384>),
    Sha512(Box<HmacSha512>),
}

impl Mac {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.inner.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha384(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finish().to_vec(),
            Self::Sha256(mac) => mac.finalize().to_vec(),
            Self::Sha384(mac) => mac.finalize().to_vec(),
            Self::Sha512(mac) => mac.finalize().to_vec(),
        }
    }
}

/// RFC 2104 over the crate's SHA-1: its own HMAC takes the whole text at once, and a body of 25 MiB would be kept once for
/// each key. Equal to it by property test.
#[derive(Clone, Copy)]
pub struct HmacSha1 {
    inner: Sha1,
    outer: Sha1,
}

impl HmacSha1 {
    fn new(key: &[u8]) -> Self {
        let block = Secret::new(if key.len() > 64 { Sha1::hash(key).to_vec() } else { key.to_vec() });
        let padded = |pad: u8| {
            let block = Secret::new((0..64).map(|at| block.reveal().get(at).unwrap_or(&0) ^ pad).collect());
            let mut hash = Sha1::new();
            hash.update(block.reveal());
            hash
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn finish(mut self) -> [u8; 20] {
        self.outer.update(self.inner.finalize());
        self.outer.finalize()
    }
}

/// Whether two values are the same, in a time that says nothing about where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The digest of a token: values of unlike length become alike before they are compared.
pub fn digest(token: &[u8]) -> Vec<u8> {
    Sha256::hash(token).to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encoding::to_hex;

    fn mac(algorithm: Algorithm, key: &[u8], text: &[u8]) -> String {
        let mut mac = Schedule::new(algorithm, key).begin();
        mac.update(text);
        to_hex(&mac.finish())
    }

    /// RFC 4231 §4.3 and RFC 2202 §3, test case 2.
    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        let of = |algorithm| mac(algorithm, b"Jefe", b"what do ya want for nothing?");
        assert_eq!(of(Algorithm::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(of(Algorithm::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(of(Algorithm::Sha384).starts_with("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"));
        assert!(of(Algorithm::Sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"));
    }

    #[test]
    fn a_copy_of_the_schedule_hashes_as_the_key_does_however_the_text_is_cut() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let schedule = Schedule::new(algorithm, &[7; 200]);
            let whole = mac(algorithm, &[7; 200], b"a text of some length");
            assert_eq!(whole.len(), algorithm.size() * 2);
            for cut in 0..21 {
                let mut copy = schedule.begin();
                let (head, tail) = b"a text of some length".split_at(cut);
                copy.update(head);
                copy.update(tail);
                assert_eq!(to_hex(&copy.finish()), whole);
            }
        }
    }

    #[test]
    fn neither_a_part_nor_another_value_is_the_same() {
        assert!(same(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(b"abc", other));
        }
    }

    proptest! {
        #[test]
        fn hmac_sha1_in_pieces_is_that_of_the_crate(key: Vec<u8>, text: Vec<u8>, cut: usize) {
            let (head, tail) = text.split_at(cut % (text.len() + 1));
            let mut mac = Schedule::new(Algorithm::Sha1, &key).begin();
            mac.update(head);
            mac.update(tail);
            prop_assert_eq!(&mac.finish()[..], &hmac_sha1_compact::HMAC::mac(&text, &key)[..]);
        }
    }
}
