//! No text that is given as a scenario breaks the reader, and what it takes can be played.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(scenario) = host_test::scenario::parse(text)
    {
        for step in &scenario.steps {
            assert!(!step.cuts().is_empty());
        }
    }
});
