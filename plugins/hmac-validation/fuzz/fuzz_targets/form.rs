//! No body breaks the reader of forms.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = hmac_validation::form::sorted(body);
});
