//! No configuration breaks the reader, and a policy that is taken decides about a plain request without writing a
//! value that isn't a line.
#![no_main]

use portcullis_kit::{Policy, config};
use rate_limit::config::RateLimit;

#[path = "world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = config::read(bytes).and_then(|value| RateLimit::from_value(&value)) else { return };
    world::World::default().ask(&policy, 3);
});
