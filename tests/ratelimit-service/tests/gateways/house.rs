//! Redis, the service and two Envoys on ports of their own. All end with the test.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, arguments: &[&str], log: &Path) -> Process {
    let log = fs::File::create(log).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("can't start {}: {error}", program.display()));
    Process(child)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens.
fn await_port(port: u16, what: &str, log: &Path) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(30) {
            panic!("{what} doesn't listen:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub struct House {
    pub gateways: [Gateway; 2],
    service: Option<Process>,
    service_port: u16,
    redis_port: u16,
    quota: usize,
    _redis: Process,
    folder: TempDir,
}

impl House {
    /// A client has so many requests in a minute, at the service and at each gateway.
    pub fn start(quota: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (redis_port, service_port) = (free_port(), free_port());
        let log = folder.path().join("redis.log");
        let port = redis_port.to_string();
        let data = folder.path().to_str().unwrap();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", data];
        let redis = start(Path::new("redis-server"), &arguments, &log);
        await_port(redis_port, "redis-server", &log);
        let gateways = ["one", "two"].map(|name| Gateway::start(folder.path(), name, service_port, quota));
        let mut house = Self { gateways, service: None, service_port, redis_port, quota, _redis: redis, folder };
        house.start_service();
        house
    }

    pub fn start_service(&mut self) {
        let log = self.folder.path().join("service.log");
        let address = format!("127.0.0.1:{}", self.service_port);
        let redis = format!("redis://127.0.0.1:{}", self.redis_port);
        let quota = self.quota.to_string();
        let arguments = [&address, &redis, "edge", &quota, "60", "policy", "limit", "header.x-client"];
        self.service = Some(start(Path::new(env!("CARGO_BIN_EXE_ratelimit-service")), &arguments, &log));
        await_port(self.service_port, "the service", &log);
    }

    /// SIGKILL: calls that are out are cut off.
    pub fn kill_service(&mut self) {
        self.service = None;
    }

    /// Many clients, few requests each, to both gateways, until it is ended.
    pub fn load(&self, patience: Duration) -> Load {
        let goes_on = Arc::new(AtomicBool::new(true));
        let ports = self.gateways.each_ref().map(|gateway| gateway.port);
        let senders = ports.map(|port| {
            let goes_on = Arc::clone(&goes_on);
            thread::spawn(move || {
                let mut loaded = Loaded::default();
                while goes_on.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let status = status(port, &format!("load{}", loaded.answers / 10));
                    assert!(sent.elapsed() < patience, "an answer after {:?}", sent.elapsed());
                    assert!(matches!(status, 200 | 429), "{status}");
                    loaded.answers += 1;
                    loaded.slowest = loaded.slowest.max(sent.elapsed());
                }
                loaded
            })
        });
        Load { goes_on, senders }
    }
}

pub struct Load {
    goes_on: Arc<AtomicBool>,
    senders: [JoinHandle<Loaded>; 2],
}

#[derive(Debug, Default)]
pub struct Loaded {
    pub answers: usize,
    pub slowest: Duration,
}

impl Load {
    pub fn finish(self) -> Loaded {
        self.goes_on.store(false, Ordering::Relaxed);
        let loaded = self.senders.map(|sender| sender.join().unwrap());
        loaded.into_iter().fold(Loaded::default(), |all, one| Loaded {
            answers: all.answers + one.answers,
            slowest: all.slowest.max(one.slowest),
        })
    }
}

pub struct Gateway {
    port: u16,
    admin: u16,
    log: PathBuf,
    _envoy: Process,
}

impl Gateway {
    fn start(folder: &Path, name: &str, service: u16, quota: usize) -> Self {
        let (port, admin) = (free_port(), free_port());
        let bootstrap = folder.join(format!("{name}.json"));
        fs::write(&bootstrap, self::bootstrap(port, admin, service, quota).to_string()).unwrap();
        let log = folder.join(format!("{name}.log"));
        let arguments =
            ["-c", bootstrap.to_str().unwrap(), "--concurrency", "2", "--disable-hot-restart", "-l", "warn"];
        let envoy = start(&envoy(), &arguments, &log);
        await_port(port, "Envoy", &log);
        Self { port, admin, log, _envoy: envoy }
    }

    pub fn status(&self, client: &str) -> u16 {
        status(self.port, client)
    }

    /// How often something happened with the service.
    pub fn event(&self, event: &str) -> u64 {
        self.count(&format!("portcullis.service.filter.rate_limit.event.{event}"))
    }

    /// How often it was decided so.
    pub fn reason(&self, reason: &str) -> u64 {
        self.count(&format!("portcullis.decisions.filter.rate_limit.policy.api.mode.enforce.reason.{reason}"))
    }

    fn count(&self, name: &str) -> u64 {
        let stats = exchange(self.admin, "/stats");
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("wasmcustom.{name}: ")));
        line.unwrap_or_else(|| panic!("no metric {name}")).trim().parse().unwrap()
    }

    /// No trap, no error of the filter.
    pub fn is_well(&self) {
        let log = fs::read_to_string(&self.log).unwrap();
        assert!(!log.contains("Function: proxy_on"), "a trap:\n{log}");
    }
}

fn status(port: u16, client: &str) -> u16 {
    let mut stream = send(port, "/", &format!("x-client: {client}\r\n"));
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    let answer = String::from_utf8_lossy(&first);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// One request on a connection of its own, and all of its answer.
fn exchange(port: u16, path: &str) -> String {
    let mut answer = Vec::new();
    send(port, path, "").read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn send(port: u16, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// What `PORTCULLIS_ENVOY` names, or what `portcullis` keeps, or `envoy` on `PATH`.
fn envoy() -> PathBuf {
    if let Some(path) = env::var_os("PORTCULLIS_ENVOY") {
        return path.into();
    }
    let under = |name: &str, folder: &str| env::var_os(name).map(|path| Path::new(&path).join(folder));
    let cache = under("PORTCULLIS_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "portcullis"))
        .or_else(|| under("HOME", ".cache/portcullis"));
    let kept = cache.map(|cache| cache.join("envoy-1.40.0/envoy")).filter(|path| path.exists());
    kept.unwrap_or_else(|| "envoy".into())
}

fn bootstrap(port: u16, admin: u16, service: u16, quota: usize) -> Value {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/portcullis/rate-limit.wasm");
    assert!(module.exists(), "{} isn't there: run `cargo portcullis build`", module.display());
    let address = |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let limit = json!({
        "name": "per_client",
        "rate": format!("{quota}/min"),
        "key": [{ "header": "x-client" }],
        "across_gateways": true,
    });
    let configuration = json!({
        "policies": { "api": { "limits": [limit] } },
        "default_policy": "api",
        "service": { "cluster": "rates", "domain": "edge", "timeout": "500ms" },
    });
    let filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "portcullis.rate_limit",
            "root_id": "rate-limit",
            "vm_config": {
                "vm_id": "portcullis.rate_limit",
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module } },
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string(),
            },
        },
    });
    let routes = json!([{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "http_filters": [
            { "name": "portcullis.rate_limit", "typed_config": filter },
            {
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            },
        ],
    });
    let filters = json!([{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }]);
    json!({
        "admin": { "address": address(admin) },
        "static_resources": {
            "listeners": [{ "name": "edge", "address": address(port), "filter_chains": [{ "filters": filters }] }],
            "clusters": [{
                "name": "rates",
                "type": "STATIC",
                "connect_timeout": "0.5s",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": { "http2_protocol_options": {} },
                    },
                },
                "load_assignment": {
                    "cluster_name": "rates",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(service) } }] }],
                },
            }],
        },
    })
}
