//! What security headers do to traffic that no scenario can write, in real Envoy over raw sockets.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    thread,
};

use serde_json::{Value, json};
use tests::{Edge, example, manager, plugin, read_head, status};

fn security_headers() -> Value {
    let (workspace, _) = tests::built();
    example(&workspace, Path::new("plugins/security-headers/envoy.yaml"))
}

/// Requests that no client of good will sends. Each is one connection.
fn hostile() -> Vec<Vec<u8>> {
    let head = |lines: &[&[u8]]| {
        let mut request = b"GET /api/ HTTP/1.1\r\nhost: edge.example\r\n".to_vec();
        for line in lines {
            request.extend(*line);
            request.extend(b"\r\n");
        }
        request.extend(b"connection: close\r\n\r\n");
        request
    };
    let every_byte: Vec<u8> = [b"x-bytes: ".to_vec(), (0x80..=0xff).collect()].concat();
    vec![
        head(&[&every_byte]),
        head(&[b"x-a: \xff", b"x-a: \xfe", b"cookie: \xff=\xff", b"user-agent: \xc3\x28"]),
        head(&[b"x-nul: a\0b"]),
        head(&[b"bad name: x"]),
        head(&[b"content-length: 1", b"content-length: 2"]),
        head(&[b"content-length: 5", b"transfer-encoding: chunked"]),
        head(&[&[b"x-long: ".to_vec(), vec![b'a'; 50_000]].concat()]),
        head(&[&[b"x-too-long: ".to_vec(), vec![b'a'; 100_000]].concat()]),
        [b"GET /".to_vec(), (0x80..=0xff).collect(), b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec()]
            .concat(),
        b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\nconnection: close\r\n\r\n".to_vec(),
        b"GET /%00%ff%2f..%2f..\\..//;x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(),
        b"POST /api/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ]
}

#[test]
fn after_a_thousand_hostile_requests_envoy_answers_as_before_and_no_vm_was_restarted() {
    let edge = Edge::start(&security_headers());
    let hostile = hostile();
    let ordinary = |edge: &Edge| {
        let answer = edge.send(&hostile[0]);
        assert_eq!(status(&answer), Some(200), "{}", String::from_utf8_lossy(&answer));
        assert!(String::from_utf8_lossy(&answer).contains("x-frame-options: deny"));
    };
    ordinary(&edge);
    let created = edge.count("wasm.*created");
    for round in 0..1_000 {
        let request = &hostile[round % hostile.len()];
        // A connection that leaves before the answer is hostile, too; every third does. What isn't a
        // whole request would keep its connection open until a time-out.
        let whole = request.ends_with(b"\r\n\r\n") || request.ends_with(b"zz\r\n");
        if round % 3 == 0 || !whole {
            edge.connect().write_all(request).unwrap();
        } else {
            assert!(status(&edge.head(request)).is_some(), "{}", String::from_utf8_lossy(request));
        }
    }
    ordinary(&edge);
    assert_eq!(edge.count("wasm.*created"), created);
    assert_eq!(edge.count("vm_reload"), 0);
    assert!(!edge.log().contains("Function: proxy_on"), "a trap:\n{}", edge.log());
}

#[test]
fn an_upgraded_connection_passes_unharmed_in_both_directions() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bootstrap = security_headers();
    manager(&mut bootstrap)["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
    let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
    *bootstrap.pointer_mut(endpoint).unwrap() = json!(upstream.local_addr().unwrap().port());
    // The stand-in backend would want the same port.
    bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().truncate(1);
    let edge = Edge::start(&bootstrap);

    let echo = thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        stream.set_read_timeout(Some(tests::ANSWER_WITHIN)).unwrap();
        read_head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-powered-by: demo\r\n\r\n")
            .unwrap();
        let mut frame = [0; 256];
        stream.read_exact(&mut frame).unwrap();
        frame.reverse();
        stream.write_all(&frame).unwrap();
    });
    let mut client = edge.connect();
    client
        .write_all(b"GET /cable HTTP/1.1\r\nhost: edge.example\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ZmFrZSBrZXkgMTIzNDU2Nw==\r\n\r\n")
        .unwrap();
    let text = String::from_utf8_lossy(&read_head(&mut client)).into_owned();
    assert!(text.starts_with("HTTP/1.1 101") && text.contains("x-frame-options: SAMEORIGIN"), "{text}");
    assert!(!text.contains("x-powered-by"), "{text}");
    let frame: Vec<u8> = (0..=255).collect();
    client.write_all(&frame).unwrap();
    let mut echoed = [0; 256];
    client.read_exact(&mut echoed).unwrap();
    assert!(frame.iter().rev().eq(echoed.iter()));
    echo.join().unwrap();
}

#[test]
fn the_error_pages_of_envoy_itself_get_the_headers() {
    let mut bootstrap = security_headers();
    // Nothing listens there, and no route leads to /nowhere.
    bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().truncate(1);
    manager(&mut bootstrap)["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap().pop();
    let edge = Edge::start(&bootstrap);
    for (path, line) in [("/nowhere", "HTTP/1.1 404"), ("/api/", "HTTP/1.1 503")] {
        let answer = edge.get(path);
        assert!(answer.starts_with(line), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        assert_eq!(answer.matches("x-frame-options:").count(), 1, "{answer}");
        assert!(!answer.contains("server:"), "{answer}");
    }
}

#[test]
fn a_capability_list_that_forgets_the_configuration_refuses_rather_than_opens() {
    let mut bootstrap = security_headers();
    let list = "/vm_config/capability_restriction_config/allowed_capabilities";
    plugin(&mut bootstrap).pointer_mut(list).unwrap().as_object_mut().unwrap().remove("proxy_on_configure");
    let edge = Edge::start(&bootstrap);
    assert!(edge.get("/").starts_with("HTTP/1.1 503"));
}
