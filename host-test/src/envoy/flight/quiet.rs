//! When Envoy has worked off what it was given.
//!
//! A worker answers a ping in the same loop in which it reads every other connection: once
//! the answer is there, it has seen what was written before. A step of work may cause the next one, so
//! there is quiet when several pings in a row found nothing new: nothing heard, nothing logged.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Mutex};

use super::end::Events;
use crate::envoy::{Process, wire::http1};

/// So many pings in a row find nothing new.
const IN_A_ROW: u32 = 4;
/// A filter that never rests doesn't hold a step up for longer.
const WITHIN: Duration = Duration::from_secs(2);

/// A connection of each worker to the listener that answers pings.
pub struct Quiet {
    connections: Mutex<Vec<http1::Reader<TcpStream>>>,
}

impl Quiet {
    pub fn new(connections: Vec<TcpStream>) -> Self {
        Self { connections: Mutex::new(connections.into_iter().map(http1::Reader::new).collect()) }
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
        }
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        for reader in self.connections.lock().await.iter_mut() {
            reader.stream_mut().write_all(b"GET / HTTP/1.1\r\nhost: ping\r\n\r\n").await?;
            let (_, headers) = super::end::first(reader).await.context("Envoy answers no ping")?;
            reader.body(http1::Framing::of_response("GET", "200", &headers), |_| ()).await?;
        }
        Ok(())
    }
}
