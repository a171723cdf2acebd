//! What rate limits hold under load, in real Envoy with several workers.
//!
//! `PORTCULLIS_LONG=1` takes as much as it takes: a million keys.

use std::{
    env,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{Client, Edge, example, manager, plugin, read_head, status};

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
    // Of three VMs one speaks.
    assert_eq!(edge.log().matches("HEARTBEAT filter=rate_limit").count(), 1, "{}", edge.log());
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

#[test]
fn the_tiers_of_the_example_hold_and_nobody_locks_another_out() {
    let (workspace, _) = tests::built();
    let mut bootstrap = example(&workspace, Path::new("envoy/edge.yaml"));
    // Two clients on one machine.
    manager(&mut bootstrap)["xff_num_trusted_hops"] = json!(1);
    let edge = Edge::start_with(&bootstrap, 2);
    let mut client = Client::new(edge.port());
    let mut admitted = |method: &str, path: &str, address: &str, user: &str, times: u32| {
        let mut lines = vec![("x-forwarded-for", address), ("x-login-user", user)];
        lines.truncate(if user.is_empty() { 1 } else { 2 });
        (0..times).filter(|_| client.send(method, path, &lines) != 429).count()
    };
    let (one, other) = ("198.51.100.1", "203.0.113.9");
    assert_eq!(admitted("GET", "/api/orders", one, "", 105), 100);
    assert_eq!(admitted("POST", "/api/report", one, "", 3), 1);
    // A token comes back every eighth of a second.
    let hooks = admitted("POST", "/webhooks/github/hook", one, "", 1000);
    assert!((500..800).contains(&hooks), "{hooks}");
    assert_eq!(admitted("POST", "/auth/sign_in", one, "alice", 7), 5, "an account from one address");
    assert_eq!(admitted("POST", "/auth/sign_in.json", one, "bob", 7), 5, "the address itself has ten");
    for path in ["/auth/sign_in", "/auth/sign_in/", "/auth/sign_in;x=1", "/auth/sign_in%3Bx"] {
        assert_eq!(admitted("POST", path, one, "carol", 1), 0, "{path}");
    }
    assert_eq!(admitted("POST", "/auth/sign_in", other, "alice", 5), 5, "alice herself comes from elsewhere");
}

#[test]
fn a_websocket_is_in_flight_until_it_ends_badly_or_well() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = backend.local_addr().unwrap().port();
    thread::spawn(move || {
        // Whatever asks is upgraded, and kept until the other side goes.
        for stream in backend.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                read_head(&mut stream);
                let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.read(&mut [0; 64]);
            });
        }
    });
    let (workspace, _) = tests::built();
    let mut bootstrap = example(&workspace, Path::new("plugins/rate-limit/envoy.yaml"));
    let limit = json!({ "name": "sockets", "in_flight": 1, "key": ["remote_address"] });
    plugin(&mut bootstrap)["configuration"]["value"] =
        json!({ "policies": { "api": { "limits": [limit] } }, "default_policy": "api" });
    manager(&mut bootstrap)["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
    let address =
        "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    *bootstrap.pointer_mut(address).unwrap() = json!({ "address": "127.0.0.1", "port_value": port });
    let edge = Edge::start(&bootstrap);
    let ask = "GET /socket HTTP/1.1\r\nhost: edge.example\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let open = || {
        let mut stream = edge.connect();
        stream.write_all(ask.as_bytes()).unwrap();
        let answer = status(&read_head(&mut stream));
        (stream, answer)
    };
    for _ in 0..3 {
        // The client before went without a word; Envoy sees it at once, or a moment later.
        let since = Instant::now();
        let socket = loop {
            match open() {
                (socket, Some(101)) => break socket,
                (_, answer) => assert_eq!(answer, Some(429)),
            }
            assert!(since.elapsed() < Duration::from_secs(10), "the place of a socket that is gone stays taken");
        };
        assert_eq!(open().1, Some(429), "one is in flight");
        drop(socket);
    }
}

#[test]
fn fifty_forged_hops_are_one_client_where_the_edge_trusts_whom_it_sees() {
    let limit = json!({ "name": "l", "rate": "3/hour", "key": ["remote_address"] });
    let edge = edge(json!({ "policies": { "api": { "limits": [limit] } }, "default_policy": "api" }));
    let mut client = Client::new(edge.port());
    let names = ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "x-envoy-external-address"];
    let statuses = (0..50).map(|hop| {
        let hops: Vec<String> = (0..=hop).map(|hop| format!("198.51.100.{hop}")).collect();
        client.get("/", names[hop % names.len()], &hops.join(", "))
    });
    let admitted = statuses.filter(|status| *status == 200).count();
    assert_eq!(admitted, 3);
}

#[test]
fn with_envoys_own_normalisation_every_spelling_of_a_path_is_one_bucket_or_refused() {
    let limit = json!({ "name": "l", "rate": "1/hour", "match": { "path_template": ["/api/login"] } });
    let edge = edge(json!({ "policies": { "api": { "limits": [limit] } }, "default_policy": "api" }));
    assert_eq!(Client::new(edge.port()).get("/api/login", "x-a", "b"), 200);
    for path in [
        "/api/login",
        "/api/login/",
        "/api//login",
        "//api/login",
        "/./api/login",
        "/api/./login",
        "/api/x/../login",
        "/api/%6cogin",
        "/api/%6Cogin",
        "/%61pi/login",
        "/api/login?x=1",
        "/api/login?",
        "/api/login/?x",
        "/api///login",
        "/api/login/.",
        "/api/login/x/..",
        "/api/%2e/login",
        "/api/x/%2e%2e/login",
        "/api/x/.%2e/login",
        "/api/login;x",
        "/api/login;x=1",
        "/api;a=b/login",
        "/api\\login",
        "/api%5clogin",
        "/api%5Clogin",
        "/api%2flogin",
        "/api%2Flogin",
        "/api/login%00",
        "/api/login%",
        "/api/login%0",
        "/api/login%2",
        "/api/%256cogin",
        "/api/login%2f",
        "/api/login/%2e",
        "/api/log%69n",
        "/api/%6c%6f%67%69%6e",
        "/%2e/api/login",
        "/api/login//",
        "/api/login/./",
        "/x/../api/login",
    ] {
        // A connection each: Envoy closes those on which it refused something itself.
        let status = Client::new(edge.port()).get(path, "x-a", "b");
        // Envoy itself answers a path with an escaped slash by a redirect to the one without, and 400 for others.
        assert!(matches!(status, 429 | 400 | 307), "{path}: {status}");
    }
}
