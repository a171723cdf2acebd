//! Hands for tests that need a whole Envoy: an example of this repository, changed a little, started
//! on free ports and asked over raw sockets. Anything that goes wrong here panics: it is a test.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use host_test::{
    build::{self, Built, Workspace},
    envoy::{self, Options, Process},
};
use serde_json::{Value, json};

/// How long any answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The repository, with every plugin built.
pub fn built() -> (Workspace, Vec<Built>) {
    let workspace = Workspace::find().unwrap();
    let built = build::build(&workspace).unwrap();
    (workspace, built)
}

/// An example, with modules by their full path and ports that are free. A listener `backend` keeps
/// serving the cluster `backend`.
pub fn example(workspace: &Workspace, file: &Path) -> Value {
    let text = fs::read_to_string(workspace.root.join(file)).unwrap();
    let mut bootstrap: Value = serde_saphyr::from_str(&text).unwrap();
    envoy::edge::rewrite(&mut bootstrap, &workspace.root, &workspace.target_directory, free_port()).unwrap();
    let backend = bootstrap["static_resources"]["clusters"][0]
        .pointer("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address")
        .cloned()
        .unwrap();
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        if listener["name"] == "backend" {
            listener["address"] = backend.clone();
        } else {
            listener["address"]["socket_address"]["port_value"] = json!(0);
        }
    }
    bootstrap
}

/// The HTTP connection manager of the first listener, to be changed.
pub fn manager(bootstrap: &mut Value) -> &mut Value {
    bootstrap.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap()
}

/// The configuration of the first HTTP filter that is a wasm filter, to be changed.
pub fn plugin(bootstrap: &mut Value) -> &mut Value {
    manager(bootstrap).pointer_mut("/http_filters/0/typed_config/config").unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every example of the repository.
pub fn examples(workspace: &Workspace) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("envoy/edge.yaml")];
    for plugin in workspace.plugins().unwrap() {
        files.push(plugin.folder.strip_prefix(&workspace.root).unwrap().join("envoy.yaml"));
    }
    files
}

/// A running Envoy.
pub struct Edge {
    runtime: tokio::runtime::Runtime,
    process: Process,
    port: u16,
}

impl Edge {
    /// Starts it; requests go to the first listener.
    pub fn start(bootstrap: &Value) -> Self {
        Self::start_with(bootstrap, 1)
    }

    /// The same with so many workers.
    pub fn start_with(bootstrap: &Value, workers: u32) -> Self {
        let binary = envoy::find(None, None).unwrap().binary;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = Options { concurrency: workers, ..Options::default() };
        let process = runtime.block_on(Process::start(&binary, bootstrap, &options)).unwrap();
        let name = bootstrap["static_resources"]["listeners"][0]["name"].as_str().unwrap();
        let port = runtime.block_on(process.admin().listeners()).unwrap()[name];
        Self { runtime, process, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resident memory of the process, in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and gives all that comes back until it is closed.
    pub fn send(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is an end as well.
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Sends bytes on a connection of their own and gives the head of the answer. Envoy keeps a
    /// connection that it refuses open for a second more; this doesn't wait for it.
    pub fn head(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        read_head(&mut stream)
    }

    /// A plain `GET`, as text.
    pub fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n\r\n");
        String::from_utf8_lossy(&self.send(request.as_bytes())).into_owned()
    }

    /// The sum of all counters whose name matches the pattern (RE2).
    pub fn count(&self, pattern: &str) -> u64 {
        self.runtime.block_on(self.process.admin().counters(pattern)).unwrap().values().sum()
    }

    /// What it runs on, as it tells itself.
    pub fn config_dump(&self) -> Vec<u8> {
        self.runtime.block_on(self.process.admin().get("/config_dump")).unwrap().to_vec()
    }

    /// Envoy's log.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// A client that keeps its connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// A `GET` with a header more; gives the status of the answer, whose body is read.
    pub fn get(&mut self, path: &str, name: &str, value: &str) -> u16 {
        self.send("GET", path, &[(name, value)])
    }

    /// A request without a body; gives the status of the answer, whose body is read.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if method == "GET" { "" } else { "content-length: 0\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: edge.example\r\n{length}{lines}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut first, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "Envoy closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            first = first.or_else(|| status(line.to_ascii_uppercase().as_bytes()));
            length = line.strip_prefix("content-length: ").map_or(length, |value| value.parse().unwrap());
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        first.unwrap()
    }
}

/// Reads up to the end of a head, or of the connection.
pub fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    head
}

/// The status of an answer.
pub fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}
