//! No body breaks the reader of JSON, and what it finds in a document is there.
#![no_main]

use hmac_validation::json::{Member, members};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let (a, b) = ([b"a".to_vec()], [b"a".to_vec(), b"b".to_vec()]);
    if let Ok(found) = members(body, &[&a, &b]) {
        assert_eq!(found.len(), 2);
        assert!(found[1].is_none() || found[0] == Some(Member::Other));
    }
});
