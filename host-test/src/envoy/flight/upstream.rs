//! The upstream's ends of all streams of a scenario, each under the port of its client.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::end::{self, End, Events, Heard, Voice};
use crate::{
    envoy::wire::{http1, http2},
    scenario::Protocol,
};

/// The longest line of the PROXY protocol's first version.
const LONGEST: usize = 107;

/// Listens on a free port of 127.0.0.1 until dropped.
pub struct Upstream {
    port: u16,
    ends: Ends,
    events: Events,
    accepting: JoinHandle<()>,
}

type Ends = Arc<Mutex<BTreeMap<u16, End>>>;

impl Upstream {
    pub async fn start(protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (ends, events) = (Ends::default(), Events::default());
        let accepting = tokio::spawn(accept(listener, protocol, Arc::clone(&ends), Arc::clone(&events)));
        Ok(Self { port, ends, events, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Grows with whatever is heard on either end of a stream.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The ends of the streams that reached the upstream, by the ports of their clients.
    pub fn ends(&self) -> MutexGuard<'_, BTreeMap<u16, End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, protocol: Protocol, ends: Ends, events: Events) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (ends, events) = (Arc::clone(&ends), Arc::clone(&events));
        match protocol {
            Protocol::Http1 => drop(connections.spawn(async move { drop(serve_http1(stream, ends, events).await) })),
            Protocol::Http2 => drop(connections.spawn(async move { drop(serve_http2(stream, ends, events).await) })),
        }
    }
}

/// The client's port, out of `PROXY TCP4 127.0.0.1 127.0.0.1 PORT PORT`.
async fn client_port(stream: &mut TcpStream) -> Result<u16> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") && line.len() < LONGEST {
        line.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&line);
    let port = line.split(' ').nth(4).with_context(|| format!("`{}` names no port", line.trim_end()))?;
    Ok(port.parse()?)
}

async fn serve_http1(mut stream: TcpStream, ends: Ends, events: Events) -> Result<()> {
    stream.set_nodelay(true)?;
    let port = client_port(&mut stream).await?;
    let (reader, writer) = stream.into_split();
    let (wire, writing) = end::writer(writer);
    let speaking = writing.abort_handle();
    let heard = Heard::new(&events);
    let hearing = heard.clone();
    let registry = Arc::clone(&ends);
    let reading = async move {
        let mut reader = http1::Reader::new(reader);
        if let Ok((start, headers)) = end::first(&mut reader).await {
            let start = start.strip_suffix(" HTTP/1.1").unwrap_or(&start).to_owned();
            let head_request = start.starts_with("HEAD ");
            if let Some(end) = registry.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&port) {
                end.head_request = head_request;
            }
            let mut whole = false;
            if let Some(framing) = http1::Framing::of_request(&headers) {
                hearing.begin(start, headers);
                whole = reader.body(framing, |part| hearing.push(part)).await.is_ok();
                hearing.end(whole);
            }
            if whole {
                // Nothing follows but the end of the connection.
                let _ = reader.head().await;
            } else {
                // Behind what is no HTTP the connection ends.
                speaking.abort();
            }
        }
        hearing.event();
    };
    let voice = Voice::Http1 { wire, chunked: false };
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    let tasks = vec![writing, tokio::spawn(reading)];
    reach(&mut ends, port, End { heard, voice, head_request: false, tasks, earlier: Vec::new() });
    Ok(())
}

/// A request reaches the upstream; what its stream sent there before stays, and is answered no more.
fn reach(ends: &mut BTreeMap<u16, End>, port: u16, mut end: End) {
    if let Some(mut before) = ends.remove(&port) {
        end.earlier = std::mem::take(&mut before.earlier);
        end.earlier.push(before);
    }
    ends.insert(port, end);
}

async fn serve_http2(mut stream: TcpStream, ends: Ends, events: Events) -> Result<()> {
    stream.set_nodelay(true)?;
    let port = client_port(&mut stream).await?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, answer) = request?;
        let (head, body) = request.into_parts();
        let heard = Heard::new(&events);
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        heard.begin(format!("{} {path}", head.method), http2::lines(&head.headers));
        let hearing = heard.clone();
        let reading = tokio::spawn(async move { hearing.body(body).await });
        let head_request = head.method == hyper::Method::HEAD;
        let end =
            End { heard, voice: Voice::Http2Answer(answer), head_request, tasks: vec![reading], earlier: Vec::new() };
        reach(&mut ends.lock().unwrap_or_else(PoisonError::into_inner), port, end);
    }
    Ok(())
}
