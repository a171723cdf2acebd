//! The MAC itself: the key's schedule is computed once, when the configuration is read, and a delivery begins with a
//! copy of it.

use portcullis_kit::{secret::Secret, words};
use sha1::Sha1;
use sha2::{Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::sha256::{self, Sha256};

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

/// A hash function.
pub trait Hash: Clone + Default {
    /// Bytes of a block.
    const BLOCK: usize;

    fn update(&mut self, bytes: &[u8]);

    fn finish(self) -> Vec<u8>;
}

impl Hash for Sha256 {
    const BLOCK: usize = sha256::BLOCK;

    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self) -> Vec<u8> {
        Self::finish(self).to_vec()
    }
}

macro_rules! hashes {
    ($($hash:ty: $block:literal)*) => {$(
        impl Hash for $hash {
            const BLOCK: usize = $block;

            fn update(&mut self, bytes: &[u8]) {
                sha2::Digest::update(self, bytes);
            }

            fn finish(self) -> Vec<u8> {
                sha2::Digest::finalize(self).to_vec()
            }
        }
    )*};
}

hashes! { Sha1: 64 Sha384: 128 Sha512: 128 }

/// RFC 2104 over one hash. The crate `hmac` isn't used: it switches on a feature of `digest`, which Wasmtime hashes with as
/// well, and everything that stands on it would be built twice.
#[derive(Clone)]
pub struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: Hash> Hmac<H> {
    fn new(key: &[u8]) -> Self {
        let mut block = key.to_vec();
        if key.len() > H::BLOCK {
            let mut hash = H::default();
            hash.update(key);
            block = hash.finish();
        }
        block.resize(H::BLOCK, 0);
        let padded = |pad: u8| {
            let block = Secret::new(block.iter().map(|byte| byte ^ pad).collect());
            let mut hash = H::default();
            hash.update(block.reveal());
            hash
        };
        let both = Self { inner: padded(0x36), outer: padded(0x5c) };
        drop(Secret::new(block));
        both
    }

    fn finish(mut self) -> Vec<u8> {
        self.outer.update(&self.inner.finish());
        self.outer.finish()
    }
}

/// A MAC in the making.
#[derive(Clone)]
pub enum Mac {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
}

impl Mac {
    /// A key of any length.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Box::new(Hmac::new(key))),
            Algorithm::Sha256 => Self::Sha256(Box::new(Hmac::new(key))),
            Algorithm::Sha384 => Self::Sha384(Box::new(Hmac::new(key))),
            Algorithm::Sha512 => Self::Sha512(Box::new(Hmac::new(key))),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.inner.update(bytes),
            Self::Sha256(mac) => mac.inner.update(bytes),
            Self::Sha384(mac) => mac.inner.update(bytes),
            Self::Sha512(mac) => mac.inner.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finish(),
            Self::Sha256(mac) => mac.finish(),
            Self::Sha384(mac) => mac.finish(),
            Self::Sha512(mac) => mac.finish(),
        }
    }
}

/// Whether two values are the same, in a time that says nothing about where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The digest of a token: values of unlike length become alike before they are compared.
pub fn digest(token: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::default();
    hash.update(token);
    hash.finish().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::to_hex;

    fn mac(algorithm: Algorithm, key: &[u8], text: &[u8]) -> String {
        let mut mac = Mac::new(algorithm, key);
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
            let schedule = Mac::new(algorithm, &[7; 200]);
            let whole = mac(algorithm, &[7; 200], b"a text of some length");
            assert_eq!(whole.len(), algorithm.size() * 2);
            for cut in 0..21 {
                let mut copy = schedule.clone();
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
}
