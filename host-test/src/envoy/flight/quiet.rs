//! When Envoy has worked off what it was given.
//!
//! A worker answers a ping in the same loop in which it reads every other connection: once
//! the answer is there, it has seen what was written before. A step of work may cause the next one, so
//! there is quiet when several pings in a row found nothing new: nothing heard, nothing logged. Where filters make
//! calls, none is under way but those that their servers let wait.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Mutex};

use super::end::Events;
use crate::envoy::{Process, callouts::Waiting, wire::http1};

/// So many pings in a row find nothing new.
const IN_A_ROW: u32 = 4;
/// A filter that never rests doesn't hold a step up for longer.
const WITHIN: Duration = Duration::from_secs(2);

/// A connection of each worker to the listener that answers pings.
pub struct Quiet {
    connections: Mutex<Vec<http1::Reader<TcpStream>>>,
    calls: Option<(String, Waiting)>,
}

impl Quiet {
    /// `clusters` are those that filters call.
    pub fn new<'a>(connections: Vec<TcpStream>, clusters: impl Iterator<Item = &'a String>, waiting: Waiting) -> Self {
        let names: Vec<String> = clusters.map(|name| name.replace('.', "\\.")).collect();
        let pattern = format!(r"^cluster\.({})\.upstream_rq_(pending_)?active$", names.join("|"));
        let connections = Mutex::new(connections.into_iter().map(http1::Reader::new).collect());
        Self { connections, calls: (!names.is_empty()).then_some((pattern, waiting)) }
    }

    /// Comes back once Envoy's workers have nothing more to do.
    pub async fn settled(&self, process: &Process, events: &Events) -> Result<()> {
        let end = Instant::now() + WITHIN;
        let state = || (events.load(Ordering::Relaxed), process.log_offset());
        let mut seen = state();
        let mut same = 0;
        while same < IN_A_ROW && Instant::now() < end {
            self.ping().await?;
            let now = state();
            same = if now == seen { same + 1 } else { 0 };
            seen = now;
            if same == IN_A_ROW && self.calls_move(process).await? {
                same = 0;
            }
        }
        Ok(())
    }

    /// Whether a call is on its way.
    async fn calls_move(&self, process: &Process) -> Result<bool> {
        let Some((pattern, waiting)) = &self.calls else { return Ok(false) };
        let active = process.admin().numbers(pattern).await?;
        Ok(active.values().sum::<u64>() > waiting.calls())
    }

    async fn ping(&self) -> Result<()> {
        for reader in self.connections.lock().await.iter_mut() {
            reader.stream_mut().write_all(b"GET / HTTP/1.1\r\nhost: ping\r\n\r\n").await?;
            let (_, headers) = super::end::first(reader).await.context("Envoy answers no ping")?;
            let framing = http1::Framing::of_response("GET", "200", &headers).unwrap_or(http1::Framing::Length(0));
            reader.body(framing, |_| ()).await?;
        }
        Ok(())
    }
}
