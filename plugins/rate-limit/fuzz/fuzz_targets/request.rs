//! No request breaks a policy that reads all of it: keys, paths, hosts, cookies, parameters, costs.
#![no_main]

use std::sync::LazyLock;

use portcullis_kit::{
    Policy, config,
    head::{Headers, RequestHead},
};
use rate_limit::config::RateLimit;

#[path = "world.rs"]
mod world;

const POLICY: &str = r#"{"limits": [
    {"name": "a", "rate": "5/s", "key": ["host", "path", "method"]},
    {"name": "b", "rate": "5/s", "key": [{"cookie": "s"}, {"query_parameter": "t"}, {"header": "h"}], "when_repeated": "all"},
    {"name": "c", "rate": "5/s", "algorithm": "sliding_window", "key": [{"path_template": "/a/:b"}],
     "match": {"path_template": ["/a/*"], "host": ["*.b"]}, "cost": {"header": "h", "most": 4}},
    {"name": "d", "rate": "5/s", "key": ["remote_address"], "cost": {"content_length_per": 3, "most": 4}, "block_for": "2s"}
]}"#;

static READ: LazyLock<RateLimit> =
    LazyLock::new(|| RateLimit::from_value(&config::read(POLICY.as_bytes()).unwrap()).unwrap());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Parts that a line feed parts: path, host, method, address, then names and values of headers.
    let mut parts = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    let (path, authority, method, address) = (next(), next(), next(), next());
    let rest: Vec<Vec<u8>> = parts.collect();
    let lines = rest.chunks_exact(2).map(|line| (line[0].clone(), line[1].clone()));
    let headers: Headers = lines.collect();
    let head = RequestHead { method, authority, path, headers };
    world::World { head, address, ..world::World::default() }.ask(&READ, 8);
});
