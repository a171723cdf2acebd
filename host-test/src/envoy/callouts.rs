//! The clusters that filters call: a server for each, which answers as the scenario declares. A cluster with
//! a gRPC service speaks HTTP/2 (`grpc`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::{JoinHandle, JoinSet},
};

use super::{
    flight::Events,
    grpc,
    wire::{Outgoing, Pace, http1},
};
use crate::{
    outcome::Cut,
    scenario::{Body, CalloutAnswer, Protocol, Trouble},
};

/// The servers of a scenario's clusters; they end when dropped.
pub struct Callouts {
    /// Each cluster with the port of its host, or without a host.
    ports: BTreeMap<String, Option<u16>>,
    /// The clusters that speak HTTP/2.
    http2: BTreeSet<String>,
    waiting: Waiting,
    serving: Vec<JoinHandle<()>>,
}

/// How many calls the servers have heard of and let wait: what else is under way will move by itself.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<AtomicU64>);

impl Waiting {
    pub fn calls(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A call waits as long as this lives.
    pub fn begin(&self) -> Waits {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waits(Arc::clone(&self.0))
    }
}

pub struct Waits(Arc<AtomicU64>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A port on which nothing listens. A free one could be given to another server meanwhile.
const NOBODY: u16 = 1;

impl Callouts {
    /// `events` grows with whatever a call does at its server.
    pub async fn start(clusters: &BTreeMap<String, Vec<CalloutAnswer>>, events: &Events) -> io::Result<Self> {
        let (mut ports, mut serving, waiting) = (BTreeMap::new(), Vec::new(), Waiting::default());
        let speaks_http2 = |answers: &[CalloutAnswer]| answers.iter().any(|answer| answer.grpc.is_some());
        let http2 = clusters.iter().filter(|(_, answers)| speaks_http2(answers)).map(|(name, _)| name.clone());
        let http2: BTreeSet<String> = http2.collect();
        for (name, answers) in clusters {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let port = listener.local_addr()?.port();
            let port = match answers.first().and_then(|answer| answer.trouble) {
                Some(Trouble::NoHost) => None,
                Some(Trouble::Refused) => Some(NOBODY),
                _ if http2.contains(name) => {
                    let serve = grpc::serve(listener, answers.clone(), Events::clone(events), waiting.clone());
                    serving.push(tokio::spawn(serve));
                    Some(port)
                }
                _ => {
                    let serve = serve(listener, answers.clone(), Events::clone(events), waiting.clone());
                    serving.push(tokio::spawn(serve));
                    Some(port)
                }
            };
            ports.insert(name.clone(), port);
        }
        Ok(Self { ports, http2, waiting, serving })
    }

    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The clusters of Envoy's configuration.
    pub fn clusters(&self) -> Vec<Value> {
        let clusters = self.ports.iter().map(|(name, port)| {
            let host = |port: &u16| {
                json!({ "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } } } })
            };
            let hosts: Vec<Value> = port.iter().map(host).collect();
            let protocol = if self.http2.contains(name) { "http2_protocol_options" } else { "http_protocol_options" };
            json!({
                "name": name,
                "type": "STATIC",
                "connect_timeout": "2s",
                "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": hosts }] },
                "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { protocol: {} },
                } },
            })
        });
        clusters.collect()
    }
}

impl Drop for Callouts {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, answers: Vec<CalloutAnswer>, events: Events, waiting: Waiting) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    let given = Arc::new(Mutex::new(0));
    let answers = Arc::new(answers);
    while let Ok((stream, _)) = listener.accept().await {
        events.fetch_add(1, Ordering::Relaxed);
        let (answers, given, events) = (Arc::clone(&answers), Arc::clone(&given), Events::clone(&events));
        let waiting = waiting.clone();
        connections.spawn(async move {
            // A connection that fails ends; Envoy makes another.
            let _ = answer(stream, &answers, &given, (&events, &waiting)).await;
            events.fetch_add(1, Ordering::Relaxed);
        });
    }
}

async fn answer(
    stream: TcpStream,
    answers: &[CalloutAnswer],
    given: &Mutex<usize>,
    (events, waiting): (&Events, &Waiting),
) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = http1::Reader::new(reader);
    while let Some((asked, headers)) = reader.head().await? {
        let waits = waiting.begin();
        let framing = http1::Framing::of_request(&headers).unwrap_or(http1::Framing::Length(0));
        reader.body(framing, |_| ()).await?;
        events.fetch_add(1, Ordering::Relaxed);
        let place = {
            let mut given = given.lock().await;
            *given += 1;
            *given - 1
        };
        // The last answer is given to every further call.
        let Some(answer) = answers.get(place).or(answers.last()) else { return Ok(()) };
        tokio::time::sleep(std::time::Duration::from_nanos(answer.after.0)).await;
        let start = format!("HTTP/1.1 {} ", answer.status);
        let body = Body::Whole(answer.body.clone());
        let mut outgoing =
            Outgoing::new(&answer.headers, Some(&body), &answer.trailers, Cut::AsWritten, Protocol::Http1);
        if answer.trouble != Some(Trouble::Silence) {
            drop(waits);
        }
        match answer.trouble {
            Some(Trouble::Silence) => std::future::pending::<()>().await,
            Some(Trouble::ResetAfterHeaders) => {
                outgoing.lines = vec![("content-length".into(), b"1000".to_vec())];
                outgoing.pieces.clear();
                http1::write(&mut writer, &start, &outgoing, Pace::default()).await?;
                return Ok(());
            }
            Some(_) => return Ok(()),
            None if asked.starts_with("HEAD ") || http1::is_bodiless(&answer.status.to_string()) => {
                outgoing.pieces.clear();
                outgoing.chunked = false;
                http1::write(&mut writer, &start, &outgoing, Pace::default()).await?;
            }
            None => http1::write(&mut writer, &start, &outgoing, Pace::default()).await?,
        }
        events.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
