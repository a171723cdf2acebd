//! No bytes that a host hands over as header pairs break the reader, and what it reads fits in them.
#![no_main]

use portcullis_kit::head::{Headers, RequestHead};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(headers) = Headers::from_pairs(bytes.to_vec()) {
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(size <= bytes.len());
        let _ = RequestHead::from_headers(headers);
    }
});
