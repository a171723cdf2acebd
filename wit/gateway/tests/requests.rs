//! The example gateway with a filter of this repository, and real requests through it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use host_test::build::{self, Workspace};

const WITHIN: Duration = Duration::from_secs(20);

/// What is chosen by the path: a policy under `/pages/`, and nothing elsewhere, which `require_policy` refuses.
const CONFIGURATION: &str = r#"{
    "policies": { "web": { "preset": "helmet", "headers": { "x-edge": "yes" }, "remove": ["server"] } },
    "require_policy": true,
    "routes": [{ "match": { "path_template": "/pages/*" }, "policy": "web" }]
}"#;

struct Gateway {
    process: Child,
    address: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gateway {
    fn start(backend: &str) -> Self {
        let built = build::build(&Workspace::find().unwrap()).unwrap();
        let built = built.iter().find(|built| built.plugin == "security-headers").unwrap();
        let configuration = folder().join(format!("policy-{}.json", backend.replace(':', "-")));
        fs::write(&configuration, CONFIGURATION).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["127.0.0.1:0", backend])
            .args([&built.component.path, &configuration])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        // It must be able to write on.
        thread::spawn(move || lines.for_each(drop));
        let address = first.strip_prefix("listening on ").unwrap().to_owned();
        Self { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream
    }

    /// The whole answer, to the end of the connection.
    fn send(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

/// A backend that answers each connection with the same bytes, and tells what it was sent, piece by piece, until
/// a piece ends in `end`.
fn backend(answer: Vec<u8>, end: &'static [u8]) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut all = Vec::new();
            let mut piece = [0; 65_536];
            while !all.ends_with(end) {
                let length = stream.read(&mut piece).unwrap();
                if length == 0 || tell.send(piece[..length].to_vec()).is_err() {
                    return;
                }
                all.extend_from_slice(&piece[..length]);
            }
            stream.write_all(&answer).unwrap();
        }
    });
    (address, told)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[track_caller]
fn assert_contains(bytes: &[u8], text: &[u8]) {
    assert!(contains(bytes, text), "no {:?} in {}", String::from_utf8_lossy(text), String::from_utf8_lossy(bytes));
}

/// Every byte above ASCII.
fn high() -> Vec<u8> {
    (0x80..=0xff).collect()
}

#[test]
fn a_page_gets_the_policys_headers_and_loses_what_it_removes() {
    let answer = b"HTTP/1.1 200 OK\r\nserver: backend\r\ncontent-length: 4\r\n\r\npage".to_vec();
    let (address, _told) = backend(answer, b"\r\n\r\n");
    let gateway = Gateway::start(&address);
    for _ in 0..3 {
        let answer = gateway.send(b"GET /pages/one HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        assert_contains(&answer, b"x-frame-options: SAMEORIGIN\r\n");
        assert_contains(&answer, b"x-edge: yes\r\n");
        assert!(!contains(&answer, b"server: backend"), "{}", String::from_utf8_lossy(&answer));
        assert!(answer.ends_with(b"\r\n\r\npage"));
    }
}

#[test]
fn a_refusal_is_answered_and_the_backend_is_not_reached() {
    let (address, told) = backend(Vec::new(), b"\r\n\r\n");
    let gateway = Gateway::start(&address);
    let answer = gateway.send(b"GET /elsewhere HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&answer));
    assert!(told.try_recv().is_err(), "the backend was reached");
}

#[test]
fn a_backend_that_is_gone_is_answered_with_the_policys_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let gateway = Gateway::start(&address);
    let answer = gateway.send(b"GET /pages/one HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&answer));
    assert_contains(&answer, b"x-edge: yes\r\n");
}

#[test]
fn bytes_above_ascii_pass_in_headers_of_both_directions() {
    let answer = [b"HTTP/1.1 200 OK\r\nx-back: ".to_vec(), high(), b"\r\ncontent-length: 0\r\n\r\n".to_vec()].concat();
    let (address, told) = backend(answer, b"\r\n\r\n");
    let gateway = Gateway::start(&address);
    let request = [
        b"GET /pages/one HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\nx-there: ".to_vec(),
        high(),
        b"\r\n\r\n".to_vec(),
    ]
    .concat();
    let answer = gateway.send(&request);
    assert_contains(&answer, &[b"x-back: ".to_vec(), high(), b"\r\n".to_vec()].concat());
    assert_contains(&told.recv_timeout(WITHIN).unwrap(), &[b"x-there: ".to_vec(), high(), b"\r\n".to_vec()].concat());
}

#[test]
fn what_belongs_to_the_clients_connection_stays_there() {
    let answer = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n".to_vec();
    let (address, told) = backend(answer, b"\r\n\r\n");
    let gateway = Gateway::start(&address);
    let answer = gateway.send(
        b"GET /pages/one HTTP/1.1\r\nhost: edge.example\r\nconnection: X-Hop, close\r\nx-hop: 1\r\nx-end: 1\r\n\r\n",
    );
    assert!(contains(&answer, b"x-kept: 1") && !contains(&answer, b"keep-alive"));
    let seen = told.recv_timeout(WITHIN).unwrap();
    assert!(contains(&seen, b"x-end: 1") && !contains(&seen, b"x-hop"), "{}", String::from_utf8_lossy(&seen));
}

#[test]
fn a_body_passes_as_it_comes_and_whole() {
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len());
    let (address, told) = backend([head.into_bytes(), large.clone()].concat(), b"last\r\n0\r\n\r\n");
    let gateway = Gateway::start(&address);
    let mut stream = gateway.connect();
    let head =
        "POST /pages/form HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes()).unwrap();
    let mut upstream = Vec::new();
    // The first piece is there although the rest was never sent.
    while !contains(&upstream, b"first") {
        upstream.extend(told.recv_timeout(WITHIN).unwrap());
    }
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&[b"\r\n\r\n".to_vec(), large].concat()));
    assert_contains(&answer, b"x-edge: yes\r\n");
}

#[test]
fn a_wrong_configuration_ends_the_gateway_before_it_listens() {
    let built = build::build(&Workspace::find().unwrap()).unwrap();
    let built = built.iter().find(|built| built.plugin == "security-headers").unwrap();
    let configuration = folder().join("wrong.json");
    fs::write(&configuration, r#"{"policies": {"web": {"preset": "helmte"}}}"#).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["127.0.0.1:0", "127.0.0.1:1"])
        .args([&built.component.path, &configuration])
        .output()
        .unwrap();
    assert!(!ended.status.success() && ended.stdout.is_empty());
    assert_contains(&ended.stderr, b"helmte");
}

/// A folder for files of these tests, under Cargo's own.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
