//! One end of a stream: what is said there, and what is heard.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use h2::{Reason, RecvStream, SendStream};
use hyper::{Response, body::Bytes};
use tokio::{
    io::AsyncWriteExt as _,
    net::tcp::OwnedWriteHalf,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use crate::{
    envoy::wire::{Lines, Outgoing, Part, http1, http2},
    outcome::Message,
    scenario::HeaderLines,
};

/// Counts whatever is heard on any end.
pub type Events = Arc<AtomicU64>;

/// The message that comes from the other side, as far as it came.
#[derive(Clone)]
pub struct Heard {
    message: Arc<Mutex<Option<Message>>>,
    events: Events,
}

impl Heard {
    pub fn new(events: &Events) -> Self {
        Self { message: Arc::default(), events: Arc::clone(events) }
    }

    pub fn message(&self) -> Option<Message> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn begin(&self, start: String, headers: Lines) {
        let message = Message { start, headers, ..Message::default() };
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        self.event();
    }

    pub fn push(&self, part: Part) {
        self.change(|message| message.push(part));
    }

    pub fn end(&self, complete: bool) {
        self.change(|message| message.complete = complete);
    }

    /// The connection ended.
    pub fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    fn change(&self, change: impl FnOnce(&mut Message)) {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(change);
        self.event();
    }

    /// Hears the body of an HTTP/2 message to its end.
    pub async fn body(&self, mut body: RecvStream) {
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return self.end(false) };
            let _ = body.flow_control().release_capacity(data.len());
            self.push(Part::Data(data.to_vec()));
        }
        match body.trailers().await {
            Ok(trailers) => {
                if let Some(trailers) = trailers {
                    self.push(Part::Trailers(http2::lines(&trailers)));
                }
                self.end(true);
            }
            Err(_) => self.end(false),
        }
    }
}

/// How the other side is spoken to.
pub enum Voice {
    /// Bytes on the wire; the connection's task writes them.
    Http1 {
        wire: UnboundedSender<Vec<u8>>,
        chunked: bool,
    },
    Http2(SendStream<Bytes>),
    /// A response that hasn't begun.
    Http2Answer(h2::server::SendResponse<Bytes>),
}

pub struct End {
    pub heard: Heard,
    pub voice: Voice,
    /// Whether the answer has no body: the request's method is `HEAD`.
    pub head_request: bool,
    /// They hold the connection.
    pub tasks: Vec<JoinHandle<()>>,
    /// Those of the same stream that reached the upstream before.
    pub earlier: Vec<End>,
}

impl End {
    /// Says the head of an HTTP/1 message.
    pub fn head_http1(&mut self, start: &str, outgoing: &Outgoing) {
        if let Voice::Http1 { wire, chunked } = &mut self.voice {
            *chunked = outgoing.chunked;
            let _ = wire.send(http1::head(start, &outgoing.lines));
        }
    }

    /// Says the head of a response.
    pub fn respond(&mut self, status: u16, outgoing: &Outgoing, ends: bool) -> Result<()> {
        if let Voice::Http2Answer(answer) = &mut self.voice {
            let mut head = Response::builder().status(status).body(())?;
            *head.headers_mut() = http2::map(&outgoing.lines)?;
            // Whoever reset the stream hears nothing.
            if let Ok(stream) = answer.send_response(head, ends) {
                self.voice = Voice::Http2(stream);
            }
        } else {
            self.head_http1(&format!("HTTP/1.1 {status} "), outgoing);
        }
        Ok(())
    }

    /// Says a piece of the body. `ends`: the message ends with it.
    pub fn piece(&mut self, piece: &[u8], ends: bool) {
        match &mut self.voice {
            Voice::Http1 { wire, chunked } => {
                if !piece.is_empty() {
                    let _ = wire.send(http1::chunk(piece, *chunked));
                }
                if ends && *chunked {
                    let _ = wire.send(http1::head("0", &Lines::new()));
                }
            }
            Voice::Http2(stream) => drop(stream.send_data(Bytes::copy_from_slice(piece), ends)),
            Voice::Http2Answer(_) => {}
        }
    }

    /// Says trailers, which end the message.
    pub fn trailers(&mut self, lines: &HeaderLines) -> Result<()> {
        let lines: Lines = lines.0.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        match &mut self.voice {
            Voice::Http1 { chunked: false, .. } => bail!("HTTP/1 carries trailers behind chunks only"),
            Voice::Http1 { wire, .. } => drop(wire.send(http1::head("0", &lines))),
            Voice::Http2(stream) => drop(stream.send_trailers(http2::map(&lines)?)),
            Voice::Http2Answer(_) => bail!("trailers stand behind a head"),
        }
        Ok(())
    }

    /// Leaves: over HTTP/1 the connection ends, over HTTP/2 the stream.
    pub async fn reset(&mut self) {
        match &mut self.voice {
            Voice::Http1 { .. } => {
                for task in self.tasks.drain(..) {
                    task.abort();
                    let _ = task.await;
                }
            }
            Voice::Http2(stream) => stream.send_reset(Reason::CANCEL),
            Voice::Http2Answer(answer) => answer.send_reset(Reason::CANCEL),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A channel to a connection's writing half, with the task that writes.
pub fn writer(half: OwnedWriteHalf) -> (UnboundedSender<Vec<u8>>, JoinHandle<()>) {
    let (wire, bytes) = unbounded_channel();
    (wire, tokio::spawn(write(half, bytes)))
}

async fn write(mut half: OwnedWriteHalf, mut bytes: UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = bytes.recv().await {
        if half.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// The head of an HTTP/1 message: its first line and its lines.
pub async fn first<R>(reader: &mut http1::Reader<R>) -> Result<(String, Lines)>
where
    R: tokio::io::AsyncRead + Unpin,
{
    let head = reader.head().await?;
    head.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof)).context("the connection ended")
}
