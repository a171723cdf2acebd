//! No configuration breaks the reader.
#![no_main]

use hmac_validation::config::HmacValidation;
use portcullis_kit::{Policy, config};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = config::read(bytes).and_then(|value| HmacValidation::from_value(&value));
});
