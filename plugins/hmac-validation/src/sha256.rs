//! SHA-256 (FIPS 180-4), since every delivery is hashed with it.
//!
//! The crate `sha2` builds its rounds of small functions, which aren't inlined in modules of ours (`-inline-threshold=25`). In V8
//! it comes to 133 MB/s so, to 159 with its compact rounds, to 248 where all is inlined, and this to 238: the rounds are
//! written out. Equal to the crate by property test.

/// Bytes of a block.
pub const BLOCK: usize = 64;

const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

/// A hash in the making.
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    /// What isn't a whole block yet.
    rest: [u8; BLOCK],
    length: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        let state = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
        Self { state, rest: [0; BLOCK], length: 0 }
    }
}

impl Sha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        let kept = (self.length % BLOCK as u64) as usize;
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut bytes = bytes;
        if kept > 0 {
            let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - kept));
            self.rest.iter_mut().skip(kept).zip(first).for_each(|(place, byte)| *place = *byte);
            if kept + first.len() < BLOCK {
                return;
            }
            let block = self.rest;
            compress(&mut self.state, &block);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks();
        blocks.iter().for_each(|block| compress(&mut self.state, block));
        self.rest.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    }

    pub fn finish(mut self) -> [u8; 32] {
        let bits = self.length.wrapping_mul(8).to_be_bytes();
        let kept = (self.length % BLOCK as u64) as usize;
        let zeros = if kept < 56 { 55 - kept } else { 119 - kept };
        let mut padding = [0; BLOCK];
        padding[0] = 0x80;
        // The mark and 55 or 63 zeros at most.
        let (padding, _) = padding.split_at(zeros.min(BLOCK - 1) + 1);
        self.update(padding);
        self.update(&bits);
        let mut digest = [0; 32];
        let bytes = self.state.into_iter().flat_map(u32::to_be_bytes);
        digest.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        digest
    }
}

macro_rules! rounds {
    ($w:ident $k:ident; $([$a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident $i:literal])*) => {$(
        $h = $h
            .wrapping_add($e.rotate_right(6) ^ $e.rotate_right(11) ^ $e.rotate_right(25))
            .wrapping_add($g ^ ($e & ($f ^ $g)))
            .wrapping_add($k[$i])
            .wrapping_add($w[$i]);
        $d = $d.wrapping_add($h);
        $h = $h
            .wrapping_add($a.rotate_right(2) ^ $a.rotate_right(13) ^ $a.rotate_right(22))
            .wrapping_add(($a & $b) ^ ($a & $c) ^ ($b & $c));
    )*};
}

macro_rules! schedule {
    ($w:ident; $([$i:literal $one:literal $nine:literal $fourteen:literal])*) => {$({
        let (one, fourteen) = ($w[$one], $w[$fourteen]);
        $w[$i] = $w[$i]
            .wrapping_add(one.rotate_right(7) ^ one.rotate_right(18) ^ (one >> 3))
            .wrapping_add($w[$nine])
            .wrapping_add(fourteen.rotate_right(17) ^ fourteen.rotate_right(19) ^ (fourteen >> 10));
    })*};
}

/// FIPS 180-4 §6.2.2, with the message schedule in sixteen words that are overwritten.
fn compress(state: &mut [u32; 8], block: &[u8; BLOCK]) {
    let Some(words) = block.as_chunks().0.first_chunk::<16>() else { return };
    // Written out, so that the words lie in registers.
    let mut w = [
        words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8], words[9], words[10],
        words[11], words[12], words[13], words[14], words[15],
    ]
    .map(u32::from_be_bytes);
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    let (constants, _) = K.as_chunks::<16>();
    for (turn, k) in constants.iter().enumerate() {
        if turn > 0 {
            schedule!(w;
                [0 1 9 14] [1 2 10 15] [2 3 11 0] [3 4 12 1] [4 5 13 2] [5 6 14 3] [6 7 15 4] [7 8 0 5]
                [8 9 1 6] [9 10 2 7] [10 11 3 8] [11 12 4 9] [12 13 5 10] [13 14 6 11] [14 15 7 12] [15 0 8 13]);
        }
        rounds!(w k;
            [a b c d e f g h 0] [h a b c d e f g 1] [g h a b c d e f 2] [f g h a b c d e 3]
            [e f g h a b c d 4] [d e f g h a b c 5] [c d e f g h a b 6] [b c d e f g h a 7]
            [a b c d e f g h 8] [h a b c d e f g 9] [g h a b c d e f 10] [f g h a b c d e 11]
            [e f g h a b c d 12] [d e f g h a b c 13] [c d e f g h a b 14] [b c d e f g h a 15]);
    }
    let after = [a, b, c, d, e, f, g, h];
    state.iter_mut().zip(after).for_each(|(word, after)| *word = word.wrapping_add(after));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Digest;

    use super::*;

    fn of(pieces: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::default();
        pieces.iter().for_each(|piece| hash.update(piece));
        hash.finish()
    }

    #[test]
    fn every_length_around_a_block_is_hashed_as_the_crate_does() {
        let text: Vec<u8> = (0..=255).collect();
        for length in 0..=256 {
            assert_eq!(of(&[&text[..length]])[..], sha2::Sha256::digest(&text[..length])[..], "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_hashed_and_wherever_it_is_cut_the_crate_says_the_same(text: Vec<u8>, a: usize, b: usize) {
            let (a, b) = (a % (text.len() + 1), b % (text.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(&of(&[&text[..a], &text[a..b], &text[b..]])[..], &sha2::Sha256::digest(&text)[..]);
        }
    }
}
