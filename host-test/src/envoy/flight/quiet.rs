//! When Envoy has worked off what it was given.
//!
//! Envoy's only worker answers a ping in the same loop in which it reads every other connection: once
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

/// A connection to the listener that answers pings.
pub struct Quiet {
    port: u16,
    connection: Mutex<Option<http1::Reader<TcpStream>>>,
}

impl Quiet {
    pub fn new(port: u16) -> Self {
        Self { port, connection: Mutex::new(None) }
    }

    /// Comes back once Envoy's worker has nothing more to do.
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
        let mut connection = self.connection.lock().await;
        if connection.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            *connection = Some(http1::Reader::new(stream));
        }
        let reader = connection.as_mut().context("no connection")?;
        reader.stream_mut().write_all(b"GET / HTTP/1.1\r\nhost: ping\r\n\r\n").await?;
        let (_, headers) = super::end::first(reader).await.context("Envoy answers no ping")?;
        Ok(reader.body(http1::Framing::of_response("GET", "200", &headers), |_| ()).await?)
    }
}
