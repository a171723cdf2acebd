//! No template breaks the reader, nor one that is read any request.
#![no_main]

use hmac_validation::template::{self, Facts};
use portcullis_kit::head::RequestHead;

libfuzzer_sys::fuzz_target!(|text: (String, Vec<u8>, Vec<u8>)| {
    let (text, path, body) = text;
    let Ok(template) = template::read(&text) else { return };
    let head = RequestHead { path, ..RequestHead::default() };
    let facts = Facts { public_url: "https://a.b", timestamp: b"1", id: b"2" };
    for part in template.parts(&head, facts).into_iter().flatten() {
        let _ = part.bytes(&body);
    }
});
