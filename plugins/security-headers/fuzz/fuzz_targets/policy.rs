//! No configuration breaks the reader, and a policy that is taken sets no header twice, removes none
//! that it sets, and holds no byte that could split a response.
#![no_main]

use portcullis_kit::{Policy, config, head::Headers, verdict::{Edit, Verdict}};
use security_headers::{config::SecurityHeaders, decide::decide};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = config::read(bytes).and_then(|value| SecurityHeaders::from_value(&value)) else { return };
    let (Verdict::Edit(edits), _) = decide(&policy, Some(&Headers::default())) else { panic!("an edit") };
    let mut seen = Vec::new();
    for edit in edits {
        let Edit::Add(name, value) = edit else { panic!("nothing to remove from nothing") };
        assert!(!seen.contains(&name));
        assert!(!policy.removed.iter().any(|removed| removed.as_bytes() == name));
        assert!(value.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte)));
        seen.push(name);
    }
});
