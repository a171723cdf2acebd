//! A path that has one reading keeps it: written plainly again, it has the same segments.
#![no_main]

use portcullis_kit::policies::path::{host, segments};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = host(bytes);
    if let Ok(found) = segments(bytes) {
        let encoded: String =
            found.iter().map(|part| format!("/{}", part.iter().map(|b| format!("%{b:02x}")).collect::<String>())).collect();
        let again = if encoded.is_empty() { "/".into() } else { encoded };
        assert_eq!(segments(again.as_bytes()).as_ref(), Ok(&found));
    }
});
