//! A gRPC service on loopback: HTTP/2 without TLS, which does to each call what the scenario declares.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use h2::{
    Reason, RecvStream, SendStream,
    server::{self, SendResponse},
};
use hyper::{HeaderMap, Response, StatusCode, body::Bytes, http::request::Parts};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify},
    task::JoinSet,
};

use super::{callouts::Waiting, flight::Events, wire::http2};
use crate::scenario::{
    Act, CalloutAnswer,
    grpc::{Line, unexpected},
};

pub async fn serve(listener: TcpListener, answers: Vec<CalloutAnswer>, events: Events, waiting: Waiting) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    let (given, answers) = (Arc::new(Mutex::new(0)), Arc::new(answers));
    while let Ok((stream, _)) = listener.accept().await {
        let (given, answers, events) = (Arc::clone(&given), Arc::clone(&answers), Events::clone(&events));
        let waiting = waiting.clone();
        connections.spawn(async move {
            // A connection that fails ends; Envoy makes another.
            let _ = connection(stream, &answers, &given, (&events, &waiting)).await;
            events.fetch_add(1, Ordering::Relaxed);
        });
    }
}

async fn connection(
    stream: TcpStream,
    answers: &[CalloutAnswer],
    given: &Mutex<usize>,
    (events, waiting): (&Events, &Waiting),
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = server::handshake(stream).await?;
    let mut calls = JoinSet::new();
    let leave = Arc::new(Notify::new());
    loop {
        let request = tokio::select! {
            request = connection.accept() => request,
            () = leave.notified() => return Ok(()),
        };
        let Some(request) = request else { return Ok(()) };
        let (request, answer) = request?;
        let place = {
            let mut given = given.lock().await;
            *given += 1;
            *given - 1
        };
        // The last answer is given to every further call.
        let acts = answers.get(place).or(answers.last()).map(CalloutAnswer::acts).unwrap_or_default();
        let (head, body) = request.into_parts();
        let call = Call { head, heard: Heard { body, bytes: Vec::new() }, answer, stream: None, is_told: false };
        let (events, leave) = (Events::clone(events), Arc::clone(&leave));
        let waits = waiting.begin();
        calls.spawn(async move {
            let mut call = call;
            // A call that Envoy has cancelled ends here too.
            if let Ok(true) = call.play(acts, &events).await {
                leave.notify_one();
            }
            // One that was told its end waits for nothing.
            let waits = (!call.is_told).then_some(waits);
            // A call that is dropped is reset, and silence isn't.
            std::future::pending::<()>().await;
            drop(waits);
        });
    }
}

struct Call {
    head: Parts,
    heard: Heard,
    answer: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    /// Whether the answer has ended.
    is_told: bool,
}

impl Call {
    /// Whether the connection is to end.
    async fn play(&mut self, acts: Vec<Act>, events: &Events) -> Result<bool> {
        for act in acts {
            let as_expected = match &act {
                Act::Called(lines) => lines.iter().all(|line| self.has(line)),
                Act::Receive(expected) => self.heard.message().await.as_ref() == Some(expected),
                _ => true,
            };
            let act = if as_expected { act } else { unexpected(self.stream.is_some()) };
            let ends = self.act(act).await?;
            events.fetch_add(1, Ordering::Relaxed);
            if ends || !as_expected {
                return Ok(ends);
            }
        }
        Ok(false)
    }

    fn has(&self, (name, value): &Line) -> bool {
        let uri = &self.head.uri;
        let found = match name.as_str() {
            ":method" => Some(self.head.method.as_str().as_bytes()),
            ":path" => uri.path_and_query().map(|path| path.as_str().as_bytes()),
            ":authority" => uri.authority().map(|authority| authority.as_str().as_bytes()),
            ":scheme" => uri.scheme_str().map(str::as_bytes),
            name => {
                let mut found = self.head.headers.get_all(name).iter();
                return found.any(|found| found.as_bytes() == value);
            }
        };
        found == Some(value)
    }

    async fn act(&mut self, act: Act) -> Result<bool> {
        self.is_told |=
            matches!(act, Act::Head(_, true) | Act::Data(_, true) | Act::Trailers(_) | Act::Reset | Act::Disconnect);
        match act {
            Act::Called(_) | Act::Receive(_) => {}
            Act::HalfClosed => self.heard.end().await,
            Act::Wait(time) => tokio::time::sleep(Duration::from_nanos(time)).await,
            Act::Head(lines, ends) => {
                let stream = self.answer.send_response(response(&lines)?, ends)?;
                self.stream = Some(stream);
            }
            Act::Data(piece, ends) => self.said()?.send_data(piece.into(), ends)?,
            Act::Trailers(lines) => self.said()?.send_trailers(http2::map(&lines)?)?,
            Act::Reset => match &mut self.stream {
                Some(stream) => stream.send_reset(Reason::CANCEL),
                None => self.answer.send_reset(Reason::CANCEL),
            },
            Act::Disconnect => return Ok(true),
        }
        Ok(false)
    }

    fn said(&mut self) -> Result<&mut SendStream<Bytes>> {
        self.stream.as_mut().context("the answer has no head yet")
    }
}

fn response(lines: &[Line]) -> Result<Response<()>> {
    let status = lines.iter().find(|(name, _)| name == ":status").context("the answer has no status")?;
    let mut head = Response::builder().status(StatusCode::from_bytes(&status.1)?).body(())?;
    let rest: Vec<Line> = lines.iter().filter(|(name, _)| !name.starts_with(':')).cloned().collect();
    *head.headers_mut() = http2::map(&rest)? as HeaderMap;
    Ok(head)
}

/// What the filter says: messages, each with the length before it.
struct Heard {
    body: RecvStream,
    bytes: Vec<u8>,
}

impl Heard {
    /// The next message; `None` where none comes any more.
    async fn message(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<5>() {
                let [_, length @ ..] = *head;
                let length = u32::from_be_bytes(length) as usize;
                if let Some((message, rest)) = rest.split_at_checked(length) {
                    let message = message.to_vec();
                    self.bytes = rest.to_vec();
                    return Some(message);
                }
            }
            let piece = self.piece().await?;
            self.bytes.extend(piece);
        }
    }

    async fn end(&mut self) {
        while self.piece().await.is_some() {}
    }

    async fn piece(&mut self) -> Option<Bytes> {
        let piece = self.body.data().await?.ok()?;
        let _ = self.body.flow_control().release_capacity(piece.len());
        Some(piece)
    }
}
