//! The upstream of a step: records what reaches it and answers as the scenario says.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::wire::{Outgoing, Pace, Rewritten, http1, http2};
use crate::{
    outcome::{Cut, Message},
    scenario::{Bytes, Protocol, Response, Step},
};

/// How long a request that has begun to arrive may take to end, once its client has its answer.
const SETTLED_WITHIN: Duration = Duration::from_millis(200);

/// Listens on a free port of 127.0.0.1 until dropped.
pub struct Upstream {
    port: u16,
    desk: Arc<Desk>,
    accepting: JoinHandle<()>,
}

/// What the next request is answered, and what was received of it.
#[derive(Default)]
struct Desk(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    answer: Option<Answer>,
    received: Vec<Message>,
    /// How many requests have come, and how many of them can still grow.
    arrived: usize,
    arriving: usize,
}

#[derive(Clone)]
struct Answer {
    step: Step,
    cut: Cut,
    pace: Pace,
}

impl Upstream {
    pub async fn start(protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let desk = Arc::new(Desk::default());
        let accepting = tokio::spawn(accept(listener, protocol, Arc::clone(&desk)));
        Ok(Self { port, desk, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From here on requests are answered as a step says, and recorded.
    pub fn prepare(&self, step: Step, cut: Cut, pace: Pace) {
        let answer = Some(Answer { step, cut, pace });
        self.desk.with(|requests| *requests = Requests { answer, ..Requests::default() });
    }

    /// What was received since [`Self::prepare`], one request after another.
    pub async fn received(&self) -> Vec<Message> {
        let end = Instant::now() + SETTLED_WITHIN;
        while self.desk.with(|requests| requests.arriving > 0) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.desk.with(|requests| std::mem::take(&mut requests.received))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Requests {
    /// What the answer to the last request has instead of a head.
    fn raw_head(&self) -> Vec<(String, Bytes)> {
        let last = self.arrived.saturating_sub(1);
        let raw = self.answer.as_ref().and_then(|answer| answer.step.answer(last).raw.as_ref());
        raw.map_or(Vec::new(), |raw| raw.head().to_vec())
    }
}

impl Desk {
    fn with<T>(&self, look: impl FnOnce(&mut Requests) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self) -> Option<Answer> {
        self.with(|requests| requests.answer.clone())
    }

    /// Begins to record a request; gives its place.
    fn begin(&self, message: Message) -> usize {
        self.with(|requests| {
            requests.received.push(message);
            requests.arrived += 1;
            requests.arriving += 1;
            requests.arrived - 1
        })
    }

    fn record(&self, place: usize, change: impl FnOnce(&mut Message)) {
        self.with(|requests| requests.received.get_mut(place).map(change));
    }

    fn end(&self, place: usize, complete: bool) {
        self.record(place, |message| message.complete = complete);
        self.with(|requests| requests.arriving = requests.arriving.saturating_sub(1));
    }
}

async fn accept(listener: TcpListener, protocol: Protocol, desk: Arc<Desk>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let desk = Arc::clone(&desk);
        match protocol {
            Protocol::Http1 => drop(connections.spawn(async move {
                let _ = serve_http1(stream, &desk).await;
            })),
            Protocol::Http2 => drop(connections.spawn(serve_http2(stream, desk))),
        }
    }
}

async fn serve_http1(stream: TcpStream, desk: &Desk) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = http1::Reader::new(reader);
    while let Some((start, headers)) = reader.head().await? {
        let start = start.strip_suffix(" HTTP/1.1").unwrap_or(&start).to_owned();
        let method = start.split(' ').next().unwrap_or_default().to_owned();
        // What is no HTTP reaches nobody: the connection ends.
        let Some(framing) = http1::Framing::of_request(&headers) else { return Ok(()) };
        let place = desk.begin(Message { start, headers, ..Message::default() });
        let end = reader.body(framing, |part| desk.record(place, |message| message.push(part))).await;
        desk.end(place, end.is_ok());
        end?;
        let Some(Answer { step, cut, pace }) = desk.answer() else { return Ok(()) };
        let response = step.answer(place);
        if let Some(raw) = &response.raw {
            return Ok(writer.write_all(&raw.bytes()).await?);
        }
        let mut outgoing = outgoing(response, cut, Protocol::Http1);
        let status = response.status.to_string();
        if method == "HEAD" || http1::is_bodiless(&status) {
            outgoing.pieces.clear();
            outgoing.chunked = false;
        } else if !outgoing.has_body && !outgoing.lines.iter().any(|(name, _)| name == "content-length") {
            // Without it the body would last until the connection closes (RFC 9112 §6.3).
            outgoing.lines.push(("content-length".into(), b"0".to_vec()));
        }
        http1::write(&mut writer, &format!("HTTP/1.1 {status} "), &outgoing, pace).await?;
    }
    Ok(())
}

async fn serve_http2(stream: TcpStream, desk: Arc<Desk>) {
    let heads = Arc::clone(&desk);
    let service = hyper::service::service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { answer_http2(request, &desk).await }
    });
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());

    let stream = Rewritten::server(stream, move || heads.with(|requests| requests.raw_head()));
    let _ = server.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer_http2(request: hyper::Request<Incoming>, desk: &Desk) -> Result<hyper::Response<http2::Frames>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let start = format!("{} {path}", head.method);
    let place = desk.begin(Message { start, headers: http2::lines(&head.headers), ..Message::default() });
    let end = http2::read(body, |part| desk.record(place, |message| message.push(part))).await;
    desk.end(place, end.is_ok());
    end?;
    let Some(Answer { step, cut, .. }) = desk.answer() else { anyhow::bail!("no answer is prepared") };
    let response = step.answer(place);
    let mut outgoing = outgoing(response, cut, Protocol::Http2);
    if head.method == "HEAD" {
        outgoing = Outgoing { lines: outgoing.lines, ..Outgoing::default() };
    }
    let mut answer = hyper::Response::builder().status(response.status).body(http2::Frames::new(&outgoing)?)?;
    *answer.headers_mut() = http2::map(&outgoing.lines)?;
    Ok(answer)
}

fn outgoing(response: &Response, cut: Cut, protocol: Protocol) -> Outgoing {
    let body = response.body.as_ref().filter(|_| response.status != 204);
    Outgoing::new(&response.headers, body, &response.trailers, cut, protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::client;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn client_and_upstream_understand_each_other() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            block_on(async {
                let upstream = Upstream::start(protocol).await.unwrap();
                let response = "{status: 202, headers: {a: b}, body: [xy, z], trailers: {t: u}}";
                let step = serde_saphyr::from_str(&format!("{{response: {response}}}")).unwrap();
                upstream.prepare(step, Cut::AsWritten, Pace::default());
                assert_eq!(upstream.received().await, []);
                let request = serde_saphyr::from_str("{method: PUT, path: /p, body: [a, b]}").unwrap();
                let mut client = client::Client::default();
                let (port, pace) = (upstream.port(), Pace::default());
                client::send(&mut client, port, protocol, &request, Cut::EveryByte, pace).await.unwrap();
                let client = client.message.unwrap();
                assert_eq!(
                    (client.start.as_str(), client.body.as_slice(), client.complete),
                    ("202", &b"xyz"[..], true)
                );
                assert_eq!(client.trailers, [("t".to_owned(), b"u".to_vec())]);
                let received = upstream.received().await.remove(0);
                assert_eq!((received.start.as_str(), received.body.as_slice()), ("PUT /p", &b"ab"[..]));
                assert!(received.complete);
            });
        }
    }

    #[test]
    fn a_request_that_is_cut_off_is_recorded_as_far_as_it_came() {
        block_on(async {
            let upstream = Upstream::start(Protocol::Http1).await.unwrap();
            upstream.prepare(serde_saphyr::from_str("{}").unwrap(), Cut::AsWritten, Pace::default());
            let mut stream = TcpStream::connect(("127.0.0.1", upstream.port())).await.unwrap();
            stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
            drop(stream);
            let end = Instant::now() + Duration::from_secs(5);
            while upstream.desk.with(|step| step.received.is_empty()) && Instant::now() < end {
                tokio::task::yield_now().await;
            }
            let received = upstream.received().await.remove(0);
            assert_eq!((received.body.as_slice(), received.complete), (&b"abc"[..], false));
        });
    }
}
