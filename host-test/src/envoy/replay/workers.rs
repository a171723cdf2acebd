//! Envoy's workers: which of them takes a connection, and which of its threads said a line.
//!
//! 1. With one worker there is nothing to choose.
//! 2. With more, listeners give a connection to the worker that has the fewest, and count for each worker what it
//!    took. A connection that came to another than the wanted one is held until the next has been tried.
//! 3. Threads run at once. What they say is put in order: the main thread's, then that of the first worker, …

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::Host;
use crate::envoy::process::Line;

/// Connections that are tried for one worker.
const TRIES: usize = 32;

/// The stats by which workers are told apart.
pub fn stats() -> Value {
    json!({ "safe_regex": { "regex": "listener\\..*worker_[0-9]+\\.downstream_cx_total" } })
}

/// Changes a listener so that its connections can be directed.
pub fn direct(listener: &mut Value) {
    let name = listener.get("name").cloned().unwrap_or_default();
    if let Some(members) = listener.as_object_mut() {
        members.insert("stat_prefix".into(), name);
        members.insert("enable_reuse_port".into(), json!(false));
        members.insert("connection_balance_config".into(), json!({ "exact_balance": {} }));
    }
}

/// The lines of each thread together, threads in their order.
pub fn in_order(mut lines: Vec<Line>, pid: u32, main: Option<&str>) -> Vec<Line> {
    lines.sort_by_cached_key(|line| number(pid, main, &line.thread));
    lines
}

/// 0 is the main thread, 1 the first worker.
pub fn number(pid: u32, main: Option<&str>, thread: &str) -> usize {
    if main == Some(thread) {
        return 0;
    }
    // Envoy names its threads.
    let name = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")).unwrap_or_default();
    let worker = name.trim().rsplit_once("worker_").and_then(|(_, number)| number.parse::<usize>().ok());
    worker.map_or(1, |worker| worker + 1)
}

impl Host {
    /// A connection to a listener which a worker takes, counted from 1.
    pub(super) async fn connect(&self, listener: &str, workers: u32, worker: u32) -> Result<TcpStream> {
        let port = *self.ports.get(listener).with_context(|| format!("Envoy has no listener {listener}"))?;
        let connect = || async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("127.0.0.1:{port}"))?;
            stream.set_nodelay(true)?;
            anyhow::Ok(stream)
        };
        if workers <= 1 {
            return connect().await;
        }
        let mut held = Vec::new();
        for _ in 0..TRIES {
            let before = self.taken(listener).await?;
            let stream = connect().await?;
            let taken_by = loop {
                let now = self.taken(listener).await?;
                let more = now.iter().position(|(worker, taken)| {
                    before.iter().find(|(other, _)| other == worker).is_none_or(|(_, before)| taken > before)
                });
                if let Some((worker, _)) = more.and_then(|place| now.get(place)) {
                    break *worker;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            if taken_by == worker.clamp(1, workers) {
                return Ok(stream);
            }
            held.push(stream);
        }
        bail!("none of {TRIES} connections came to worker {worker}")
    }

    /// How many connections each worker took, counted from 1.
    async fn taken(&self, listener: &str) -> Result<Vec<(u32, u64)>> {
        let pattern = format!("^listener\\.{listener}\\.worker_[0-9]+\\.downstream_cx_total$");
        let counted = self.process.admin().counters(&pattern).await?;
        let worker = |(name, taken): (String, u64)| {
            let (_, rest) = name.split_once(".worker_")?;
            Some((rest.split('.').next()?.parse::<u32>().ok()? + 1, taken))
        };
        Ok(counted.into_iter().filter_map(worker).collect())
    }
}
