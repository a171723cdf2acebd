//! What rate limits hold under load, in real Envoy with several workers.
//!
//! `PORTCULLIS_LONG=1` takes as much as it takes: a million keys.

use std::{
    env,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{Client, Edge, example, plugin};

fn edge(configuration: Value) -> Edge {
    let (workspace, _) = tests::built();
    let mut bootstrap = example(&workspace, Path::new("plugins/rate-limit/envoy.yaml"));
    plugin(&mut bootstrap)["configuration"]["value"] = configuration;
    Edge::start_with(&bootstrap, 2)
}

#[test]
fn two_clients_on_one_key_and_two_workers_get_the_rate_and_the_burst_and_no_more() {
    const RATE: f64 = 300.0;
    const BURST: f64 = 60.0;
    let limit = json!({ "name": "l", "rate": "300/s", "burst": 60, "key": [{ "header": "x-key" }] });
    let edge = edge(json!({ "policies": { "api": { "limits": [limit] } }, "default_policy": "api" }));
    let (admitted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    thread::scope(|scope| {
        // Two clients with three connections each, so that both workers have some.
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::new(edge.port());
                while begin.elapsed() < Duration::from_secs(10) {
                    match client.get("/", "x-key", "same") {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    let most = BURST + RATE * begin.elapsed().as_secs_f64();
    let least = 0.99 * (BURST + RATE * 10.0);
    let admitted = admitted.into_inner() as f64;
    assert!(admitted <= most, "{admitted} of at most {most}");
    assert!(admitted >= least, "{admitted} of at least {least}; refused: {refused:?}");
    assert!(refused.into_inner() > 0);
}

#[test]
fn a_flood_of_strange_keys_neither_grows_the_proxy_nor_frees_a_client_that_is_limited() {
    let keys: u64 = if env::var_os("PORTCULLIS_LONG").is_some() { 1_000_000 } else { 40_000 };
    let limit = json!({ "name": "l", "rate": "1/hour", "key": [{ "header": "x-key" }], "when_full": "share" });
    let configuration = json!({
        "policies": { "api": { "limits": [limit] } }, "default_policy": "api",
        "store": { "invented": 4096 },
    });
    let edge = edge(configuration);
    let mut victim = Client::new(edge.port());
    assert_eq!(victim.get("/", "x-key", "limited"), 200);
    assert_eq!(victim.get("/", "x-key", "limited"), 429);
    let flood = |round: u64, keys: u64| {
        thread::scope(|scope| {
            for part in 0..4 {
                let port = edge.port();
                scope.spawn(move || {
                    let mut client = Client::new(port);
                    for key in (part..keys).step_by(4) {
                        client.get("/", "x-key", &format!("{round}-{key}"));
                    }
                });
            }
        });
    };
    // The first pass fills every record there is.
    flood(0, 20_000);
    let before = edge.resident();
    flood(1, keys);
    let grown = edge.resident().saturating_sub(before);
    assert!(grown <= 1024, "grew by {grown} KiB");
    assert_eq!(victim.get("/", "x-key", "limited"), 429);
    assert_eq!(edge.count("vm_reload"), 0);
}
