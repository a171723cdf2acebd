//! No bytes that a guest hands over as pairs break the reader, and what it reads is written again as
//! it was.
#![no_main]

use host_test::world::pairs::{deserialise, serialise};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let pairs = deserialise(bytes);
    let lengths: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(lengths <= bytes.len());
    let written = serialise(pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
    assert_eq!(deserialise(&written), pairs);
    assert!(pairs.is_empty() || bytes.starts_with(&written));
});
