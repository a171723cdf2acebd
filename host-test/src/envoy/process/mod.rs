//! One Envoy process: started on a bootstrap, ready or refused with the reason, and ended together
//! with its owner, however that ends.

mod log;
mod spawn;

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::log::Line;
use super::Admin;

/// How long Envoy may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads.
    pub concurrency: u32,
    /// `trace`, `debug`, `info`, `warning`, `error`, `critical` or `off`.
    pub log_level: String,
    /// For single components, for example `wasm:trace`.
    pub component_log_level: Option<String>,
    /// Further arguments of Envoy.
    pub arguments: Vec<OsString>,
    /// How long Envoy may take until it serves.
    pub ready_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 1,
            log_level: "warning".into(),
            component_log_level: None,
            arguments: Vec::new(),
            ready_within: Duration::from_secs(30),
        }
    }
}

/// Why Envoy doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't start Envoy {path}: {source}")]
    Spawn { path: PathBuf, source: io::Error },
    /// It ended by itself: it refuses the configuration, or an address is taken.
    #[error("Envoy ended at start ({status}):\n{}", log::relevant(.log))]
    Ended { status: String, log: String },
    #[error("Envoy doesn't serve after {within:?}:\n{}", log::relevant(.log))]
    NotReady { within: Duration, log: String },
}

impl StartError {
    /// What a filter logged, line by line, before Envoy gave up.
    pub fn wasm_lines(&self) -> Vec<Line> {
        match self {
            Self::Spawn { .. } => Vec::new(),
            Self::Ended { log, .. } | Self::NotReady { log, .. } => log::wasm_lines(log).collect(),
        }
    }

    /// Envoy's whole log.
    pub fn log(&self) -> &str {
        match self {
            Self::Spawn { .. } => "",
            Self::Ended { log, .. } | Self::NotReady { log, .. } => log,
        }
    }
}

/// An Envoy that serves. Ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    admin: Admin,
    log: PathBuf,
    /// Holds the bootstrap and the log; goes when the process is gone.
    _folder: TempDir,
}

impl Process {
    /// Starts Envoy and waits until it serves. A bootstrap without `admin` gets a free port on
    /// 127.0.0.1. To be awaited on a Tokio runtime with I/O and time.
    pub async fn start(binary: &Path, bootstrap: &Value, options: &Options) -> Result<Self, StartError> {
        let failed = |source| StartError::Spawn { path: binary.to_path_buf(), source };
        let folder = tempfile::Builder::new().prefix("portcullis-envoy-").tempdir().map_err(failed)?;
        let bootstrap_file = folder.path().join("bootstrap.json");
        let admin_file = folder.path().join("admin");
        let log = folder.path().join("envoy.log");
        fs::write(&bootstrap_file, with_admin(bootstrap).to_string()).map_err(failed)?;

        let mut command = std::process::Command::new(binary);
        command.arg("-c").arg(&bootstrap_file).arg("--admin-address-path").arg(&admin_file);
        command.args(["--use-dynamic-base-id", "--file-flush-interval-msec", "10"]);
        command.args(["--concurrency", &options.concurrency.to_string(), "--log-level", &options.log_level]);
        if let Some(levels) = &options.component_log_level {
            command.args(["--component-log-level", levels]);
        }
        command.args(&options.arguments);
        let child = spawn::spawn(command, &log).map_err(failed)?;

        let mut process = Self { child, admin: Admin { port: 0 }, log, _folder: folder };
        let end = Instant::now() + options.ready_within;
        loop {
            if let Some(status) = process.child.try_wait().map_err(failed)? {
                return Err(StartError::Ended { status: status.to_string(), log: process.log() });
            }
            if process.admin.port == 0 {
                process.admin.port = admin_port(&admin_file).unwrap_or_default();
            }
            if process.admin.port != 0 && process.admin.ready().await {
                return Ok(process);
            }
            if Instant::now() > end {
                return Err(StartError::NotReady { within: options.ready_within, log: process.log() });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn admin(&self) -> Admin {
        self.admin
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// All that Envoy logged.
    pub fn log(&self) -> String {
        self.log_since(0)
    }

    /// What Envoy logged after the first `offset` bytes.
    pub fn log_since(&self, offset: u64) -> String {
        log::read_since(&self.log, offset).unwrap_or_default()
    }

    /// The length of the log in bytes, for [`Self::log_since`].
    pub fn log_offset(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |file| file.len())
    }

    /// What filters logged after the first `offset` bytes of the log.
    pub fn wasm_lines_since(&self, offset: u64) -> Vec<Line> {
        log::wasm_lines(&self.log_since(offset)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + STOP_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn with_admin(bootstrap: &Value) -> Value {
    let mut bootstrap = bootstrap.clone();
    if let Some(bootstrap) = bootstrap.as_object_mut() {
        bootstrap
            .entry("admin")
            .or_insert_with(|| json!({ "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } }));
    }
    bootstrap
}

/// The port in the file that Envoy writes once its admin interface listens.
fn admin_port(file: &Path) -> Option<u16> {
    fs::read_to_string(file).ok()?.trim().rsplit_once(':')?.1.parse().ok()
}
