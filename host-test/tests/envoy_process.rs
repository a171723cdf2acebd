//! Envoy itself: started, refused, ended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use host_test::envoy::{Options, Process, StartError, find};
use serde_json::{Value, json};

fn binary() -> PathBuf {
    find(None, None).unwrap().binary
}

fn start(bootstrap: &Value) -> Result<(Process, tokio::runtime::Runtime), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let process = runtime.block_on(Process::start(&binary(), bootstrap, &Options::default()))?;
    Ok((process, runtime))
}

fn listening_on(port: u16) -> Value {
    json!({ "static_resources": { "listeners": [{
        "name": "tcp",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "filter_chains": [{ "filters": [{ "name": "echo", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo" } }] }],
    }] } })
}

#[test]
fn a_started_envoy_serves_and_tells_its_ports_and_counters() {
    let (process, runtime) = start(&listening_on(0)).unwrap();
    runtime.block_on(async {
        let ports = process.admin().listeners().await.unwrap();
        assert_ne!(ports["tcp"], 0);
        assert!(process.admin().server_info().await.unwrap()["version"].as_str().unwrap().contains('/'));
        let counters = process.admin().counters(r"^server\.worker_0\.|^listener_manager\.").await.unwrap();
        assert_eq!(counters["listener_manager.listener_added"], 1);
        assert!(process.admin().get("/no-such-page").await.is_err());
    });
}

#[test]
fn an_envoy_ends_with_its_owner() {
    let (process, _runtime) = start(&listening_on(0)).unwrap();
    let entry = PathBuf::from(format!("/proc/{}", process.pid()));
    assert!(entry.exists());
    drop(process);
    assert!(!entry.exists());
}

#[test]
fn a_bad_configuration_is_refused_with_what_envoy_says() {
    let error = start(&json!({ "static_resources": { "listners": [] } })).unwrap_err();
    assert!(matches!(error, StartError::Ended { .. }) && error.to_string().contains("listners"), "{error}");
}

#[test]
fn a_taken_port_is_refused_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(&listening_on(port)).unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn a_program_that_never_serves_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (source, never) = (folder.path().join("source"), folder.path().join("never"));
    fs::write(&source, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Copied by another process: a file that a fork of this one holds open for writing can't be run.
    assert!(std::process::Command::new("cp").arg(&source).arg(&never).status().unwrap().success());
    let error = start_program(&never, &Options { ready_within: Duration::from_millis(200), ..Options::default() });
    assert!(matches!(error, StartError::NotReady { .. }), "{error}");
}

#[test]
fn a_missing_binary_is_named() {
    let error = start_program(Path::new("/no/such/envoy"), &Options::default()).to_string();
    assert!(error.contains("/no/such/envoy"), "{error}");
}

fn start_program(program: &Path, options: &Options) -> StartError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Process::start(program, &json!({}), options)).unwrap_err()
}

#[test]
fn an_envoy_ends_with_an_owner_that_is_killed() {
    const OWNER: &str = "PORTCULLIS_TEST_IS_THE_OWNER";
    if std::env::var_os(OWNER).is_some() {
        let (process, _runtime) = start(&listening_on(0)).unwrap();
        println!("envoy {}", process.pid());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    // This very test, as a process that can be killed; what it can't tidy up then lies in `folder`.
    let folder = tempfile::tempdir().unwrap();
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_envoy_ends_with_an_owner_that_is_killed", "--nocapture"])
        .env(OWNER, "1")
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid = lines.find_map(|line| Some(line.unwrap().split_once("envoy ")?.1.to_owned())).unwrap();
    let entry = PathBuf::from(format!("/proc/{pid}/exe"));
    assert!(entry.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while fs::read_link(&entry).is_ok() {
        assert!(Instant::now() < end, "Envoy {pid} outlives its owner");
        std::thread::sleep(Duration::from_millis(5));
    }
}
