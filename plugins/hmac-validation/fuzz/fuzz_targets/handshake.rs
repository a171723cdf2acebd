//! Whatever stands in a query or a body, what is sent back holds nothing that a page or a signed delivery is made of.
#![no_main]

use std::sync::LazyLock;

use hmac_validation::{
    handshake::{DROPBOX, Handshake, META, SLACK, ZOOM},
    keys::{Key, Lock},
    mac::{self, Algorithm, Schedule},
};
use portcullis_kit::head::RequestHead;

static ALL: LazyLock<Vec<Handshake>> =
    LazyLock::new(|| [DROPBOX, META, SLACK, ZOOM].map(|preset| preset.read().unwrap()).into());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let head = RequestHead { method: b"GET".to_vec(), path: bytes.to_vec(), ..RequestHead::default() };
    let key = Key { index: 0, from: 0, until: u64::MAX, lock: Lock::Mac(Schedule::new(Algorithm::Sha256, b"key")) };
    let token = mac::digest(b"a");
    for handshake in ALL.iter() {
        let answers = [handshake.in_head(&head, Some(&token)), handshake.in_body(bytes, &key)];
        for reply in answers.into_iter().flatten().flatten() {
            let is_json = reply.body.starts_with(b"{\"plainToken\":\"");
            assert!(reply.body.len() <= if is_json { 512 } else { 256 });
            assert!(!reply.body.iter().any(|byte| b"<>&'\\ \r\n".contains(byte)));
            assert!(is_json || !reply.body.iter().any(|byte| b":\"{}".contains(byte)));
        }
    }
});
