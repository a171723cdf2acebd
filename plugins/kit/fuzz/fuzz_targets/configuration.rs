//! No bytes that stand under `configuration` break the reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_kit::config::read(bytes);
});
