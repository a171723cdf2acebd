//! Random bytes that repeat from run to run, so that a failing scenario fails again.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Default)]
pub struct Random(u64);

impl Random {
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 8);
        while out.len() < length {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.extend((mixed ^ (mixed >> 31)).to_le_bytes());
        }
        out.truncate(length);
        out
    }
}
