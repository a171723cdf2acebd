//! gRPC calls that filters make, and what they are told of the answers.
//!
//! 1. A call that can't be made at all fails with a status; most such calls are told of their close
//!    nevertheless, behind the callback that made them, and streams of their metadata at once, within it.
//! 2. Everything is told to the root context of the VM that called, also when the stream is gone.
//! 3. Tokens count by VM and kind: 5, 9, … for single calls, 6, 10, … for streams.
//! 4. A token is known until its call is closed. That of a stream is known until both ends closed it, or it
//!    is cancelled; nothing that is said on it behind the other end's close is heard.

mod client;
mod service;
mod target;

use std::collections::{HashMap, HashSet, VecDeque};

use self::{
    client::{Client, Heard},
    service::{Brings, Service, Why},
    target::Target,
};
use super::{
    World,
    callouts::{self, Kind},
    head,
    headers::{Headers, Inline},
    logs::Level,
    pairs::Pairs,
    reply::Reply,
    status::Status,
    wire::{self, Length},
};
use crate::{envoy::versions, scenario::Trouble};

/// What a filter is told of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    InitialMetadata(Pairs),
    Message(Vec<u8>),
    TrailingMetadata(Pairs),
    /// A status and its text.
    Close(u32, Vec<u8>),
}

impl Event {
    /// The callback, and what it is called with behind the token.
    pub fn callback(&self) -> (&'static str, u32) {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match self {
            Self::InitialMetadata(lines) => ("proxy_on_grpc_receive_initial_metadata", size(lines.len())),
            Self::Message(message) => ("proxy_on_grpc_receive", size(message.len())),
            Self::TrailingMetadata(lines) => ("proxy_on_grpc_receive_trailing_metadata", size(lines.len())),
            Self::Close(code, _) => ("proxy_on_grpc_close", *code),
        }
    }

    /// The map of a number: 4 holds initial metadata, 5 trailing.
    pub fn map(&self, number: u32) -> Option<&Pairs> {
        match (self, number) {
            (Self::InitialMetadata(lines), 4) | (Self::TrailingMetadata(lines), 5) => Some(lines),
            _ => None,
        }
    }
}

/// A call that a filter makes.
#[derive(Debug)]
pub struct Asked {
    pub vm: u32,
    /// The cluster, or a `GrpcService`.
    pub target: Vec<u8>,
    pub service: Vec<u8>,
    pub method: Vec<u8>,
    pub metadata: Pairs,
    /// The message and the time-out of a single call, in milliseconds; a stream has none.
    pub single: Option<(Vec<u8>, u32)>,
}

/// What becomes of it at once.
#[derive(Debug)]
pub struct Begun {
    pub token: Result<u32, Status>,
    /// Told before the call returns.
    pub told: Vec<(u32, Event)>,
    /// It ends Envoy.
    pub fatal: Option<&'static str>,
}

impl Begun {
    fn failed(status: Status) -> Self {
        Self { token: Err(status), told: Vec::new(), fatal: None }
    }
}

#[derive(Debug)]
struct Call {
    vm: u32,
    token: u32,
    cluster: String,
    client: Client,
    service: Service,
    /// Nanoseconds since the epoch.
    deadline: Option<u64>,
    local_closed: bool,
    remote_closed: bool,
}

#[derive(Debug, Default)]
pub struct Calls {
    /// In the order in which they were made.
    calls: Vec<Call>,
    made: HashMap<(u32, bool), u32>,
    /// The connections of threads to clusters: those that stand, and those that are being made.
    connected: HashSet<(usize, String)>,
    connecting: Vec<(usize, String)>,
    ready: VecDeque<(u32, u32, Event)>,
    /// Told as soon as the running callback has returned.
    deferred: VecDeque<(u32, u32, Event)>,
}

const MILLISECOND: u64 = 1_000_000;

impl World {
    /// Makes a gRPC call.
    pub fn grpc(&mut self, asked: Asked) -> Begun {
        let (cluster, named, authority, mut metadata) = match Target::of(&asked.target) {
            Target::Name(name) => (name.clone(), true, name, Pairs::new()),
            Target::Service { cluster, authority, metadata } => {
                let host = if authority.is_empty() { cluster.clone() } else { authority };
                (cluster, false, host, metadata)
            }
            Target::Google => {
                let text = "google_grpc is not played by this host; UNIMPLEMENTED is answered";
                self.logs.write(Level::Error, text);
                return Begun::failed(Status::Unimplemented);
            }
            Target::Nobody => {
                let why = "the service of a gRPC call reads as a GrpcService without a target, of which Envoy 1.40 \
                           dies: name the cluster in a GrpcService, or call it otherwise";
                return Begun { fatal: Some(why), ..Begun::failed(Status::ParseFailure) };
            }
        };
        if named && !self.given.clusters.contains_key(&cluster) {
            return Begun::failed(Status::ParseFailure);
        }
        let single = asked.single.is_some();
        let token = self.grpc.token(asked.vm, single);
        let mut client = Client::new(single);
        let Some(answers) = self.given.clusters.get(&cluster) else {
            let close = Event::Close(14, b"Cluster not available".to_vec());
            self.grpc.deferred.push_back((asked.vm, token, close));
            return Begun::failed(Status::InternalFailure);
        };
        let http2 = answers.iter().any(|answer| answer.grpc.is_some());
        let answer = self.callouts.answer(answers, &cluster);
        let Some(answer) = answer.filter(|answer| answer.trouble != Some(Trouble::NoHost)) else {
            let heard = Heard::Local("no healthy upstream".into(), "no_healthy_upstream".into());
            return self.grpc.fails_at_once((asked.vm, token), client.hear(heard));
        };
        let now = self.clock.now();
        metadata.extend(asked.metadata.iter().cloned());
        let timeout = asked.single.as_ref().map_or(0, |(_, timeout)| *timeout);
        let path = [b"/".as_slice(), &asked.service, b"/", &asked.method].concat();
        let head = head_of(&authority, path, timeout, single, metadata);
        let refused = answer.trouble == Some(Trouble::Refused);
        let message = asked.single.as_ref().map(|(message, _)| message.len());
        let told = versions::tells_protocol_errors(self.envoy);
        let reset = unsent(&head, message).filter(|_| http2 && !refused).map(|reply| match reply.status {
            502 if !told => head::reset_in(503, "remote reset", 1),
            _ => reply,
        });
        let pool = (self.logs.thread, cluster.clone());
        let at_hand = self.grpc.connected.contains(&pool);
        if !refused {
            self.grpc.connecting.push(pool);
        }
        if let Some(reply) = &reset
            && at_hand
            && head::is_unwritable(reply)
        {
            return self.grpc.fails_at_once((asked.vm, token), client.hear(instead(reply)));
        }
        let head = head.lines().to_vec();
        let acts = if refused || reset.is_some() { Vec::new() } else { answer.acts() };
        let mut service = Service::new(acts, http2, head, now);
        if let Some((message, _)) = asked.single {
            service.said(Some(message), true);
        }
        if refused {
            let told = client.hear(service.broken(Why::Refused(callouts::refused(self.envoy))));
            self.grpc.ready.extend(told.into_iter().map(|event| (asked.vm, token, event)));
        }
        if let Some(reply) = &reset {
            let told = client.hear(instead(reply));
            self.grpc.ready.extend(told.into_iter().map(|event| (asked.vm, token, event)));
        }
        let deadline = (timeout > 0).then(|| now.saturating_add(u64::from(timeout) * MILLISECOND));
        let (local_closed, remote_closed) = (false, false);
        let call = Call { vm: asked.vm, token, cluster, client, service, deadline, local_closed, remote_closed };
        self.grpc.calls.push(call);
        Begun { token: Ok(token), told: Vec::new(), fatal: None }
    }
}

/// The head of a call as the service gets it.
fn head_of(authority: &str, path: Vec<u8>, timeout: u32, single: bool, metadata: Pairs) -> Headers {
    // Metadata is added to it: to a line that there is one of, behind a comma.
    let mut head = Headers::new(Inline::Request);
    head.add(b":method", b"POST");
    head.add(b":scheme", b"http");
    head.add(b":path", &path);
    head.add(b":authority", authority.as_bytes());
    head.add(b"te", b"trailers");
    if single {
        head.add(b"grpc-timeout", format!("{timeout}m").as_bytes());
    }
    head.add(b"content-type", b"application/grpc");
    metadata.iter().for_each(|(name, value)| head.add(name, value));
    head
}

/// Envoy's answer where it can't write such a head, or the service doesn't take it; `message` is how long that of a single
/// call is.
fn unsent(head: &Headers, message: Option<usize>) -> Option<Reply> {
    let mut routed = head.clone();
    routed.set(b"x-forwarded-proto", b"http");
    // A frame is five bytes longer than its message.
    let lines = wire::head(head).headers;
    let misled = match wire::length(&lines, true) {
        Length::Untold => false,
        Length::Bytes(length) => message.is_some_and(|message| message + 5 != length),
        Length::Wrong => true,
    };
    let misled = misled.then(|| head::reset_in(502, "protocol error", 1));
    head::refusal(&routed).or_else(|| head::reset_over_http2(&routed)).or(misled)
}

/// What the client hears of it.
fn instead(reply: &Reply) -> Heard {
    Heard::Local(String::from_utf8_lossy(&reply.body).into_owned(), reply.details())
}

impl Calls {
    fn token(&mut self, vm: u32, single: bool) -> u32 {
        let made = self.made.entry((vm, single)).or_default();
        // A call that fails at once has used its token up.
        *made += 1;
        *made * 4 + if single { 1 } else { 2 }
    }

    /// No call is made, and the filter is told why: of metadata within the call, of the close behind the callback.
    fn fails_at_once(&mut self, (vm, token): (u32, u32), told: Vec<Event>) -> Begun {
        let mut begun = Begun::failed(Status::InternalFailure);
        for event in told {
            match event {
                Event::Close(..) => self.deferred.push_back((vm, token, event)),
                _ => begun.told.push((token, event)),
            }
        }
        begun
    }

    fn place(&self, vm: u32, token: u32) -> Option<usize> {
        self.calls.iter().position(|call| (call.vm, call.token) == (vm, token))
    }

    fn find(&mut self, vm: u32, token: u32) -> Result<&mut Call, Status> {
        self.calls.iter_mut().find(|call| (call.vm, call.token) == (vm, token)).ok_or(Status::NotFound)
    }

    pub fn send(&mut self, vm: u32, token: u32, message: Vec<u8>, end: bool) -> Result<(), Status> {
        if Kind::of(token) != Kind::GrpcStream {
            return Err(Status::BadArgument);
        }
        self.find(vm, token)?.service.said(Some(message), end);
        Ok(())
    }

    /// The filter has said all. A single call is given up by it.
    pub fn close(&mut self, vm: u32, token: u32) -> Result<(), Status> {
        if Kind::of(token) == Kind::GrpcCall {
            return self.cancel(vm, token);
        }
        if Kind::of(token) != Kind::GrpcStream {
            return Err(Status::BadArgument);
        }
        let call = self.find(vm, token)?;
        if call.remote_closed {
            return self.cancel(vm, token);
        }
        call.local_closed = true;
        call.service.said(None, true);
        Ok(())
    }

    pub fn cancel(&mut self, vm: u32, token: u32) -> Result<(), Status> {
        if !matches!(Kind::of(token), Kind::GrpcCall | Kind::GrpcStream) {
            return Err(Status::BadArgument);
        }
        self.calls.remove(self.place(vm, token).ok_or(Status::NotFound)?);
        self.ready.retain(|(ready, of, _)| (*ready, *of) != (vm, token));
        Ok(())
    }

    pub fn next_due(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.calls.iter().filter_map(Call::next_due).min()
    }

    /// What has come already: the VM, the token, and what.
    pub fn take_ready(&mut self) -> Option<(u32, u32, Event)> {
        self.ready.pop_front()
    }

    /// What is to be told next.
    pub fn take_due(&mut self, now: u64) -> Option<(u32, u32, Event)> {
        // By the time that anything is told there is a connection.
        self.connected.extend(self.connecting.drain(..));
        loop {
            if let Some(ready) = self.take_ready() {
                return Some(ready);
            }
            let due = self.calls.iter().filter_map(Call::next_due).min().filter(|due| *due <= now)?;
            let place = self.calls.iter().position(|call| call.next_due() == Some(due))?;
            self.act(place, now);
        }
    }

    fn act(&mut self, place: usize, now: u64) {
        let Some(call) = self.calls.get_mut(place) else { return };
        let late = call.deadline.is_some_and(|deadline| call.service.next_due().is_none_or(|due| deadline <= due));
        let brings = if late { Brings::Heard(call.service.broken(Why::Late)) } else { call.service.act(now) };
        match brings {
            Brings::Nothing => {}
            Brings::Heard(heard) => call.hear(heard, &mut self.ready),
            Brings::Ended => {
                let (vm, cluster) = (call.vm, call.cluster.clone());
                self.connected.retain(|(_, connected)| *connected != cluster);
                let ended = self.calls.iter_mut().rev().filter(|call| call.vm == vm && call.cluster == cluster);
                for call in ended {
                    let heard = call.service.broken(Why::Ended);
                    call.hear(heard, &mut self.ready);
                }
            }
        }
    }

    /// What is told behind the callback that has just returned.
    pub fn take_deferred(&mut self, vm: u32) -> Option<(u32, Event)> {
        let place = self.deferred.iter().position(|(of, ..)| *of == vm)?;
        self.deferred.remove(place).map(|(_, token, event)| (token, event))
    }

    /// A filter was told of a call.
    pub fn told(&mut self, vm: u32, token: u32, close: bool) {
        let Some(place) = self.place(vm, token) else { return };
        let Some(call) = self.calls.get_mut(place) else { return };
        let single = Kind::of(token) == Kind::GrpcCall;
        if single || close && call.local_closed {
            self.calls.remove(place);
        } else if close {
            call.remote_closed = true;
        }
    }

    /// Forgets what a VM that is gone still waits for.
    pub fn forget(&mut self, vm: u32) {
        self.calls.retain(|call| call.vm != vm);
        self.ready.retain(|(of, ..)| *of != vm);
        self.deferred.retain(|(of, ..)| *of != vm);
    }
}

impl Call {
    fn next_due(&self) -> Option<u64> {
        if self.client.closed() {
            return None;
        }
        [self.service.next_due(), self.deadline].into_iter().flatten().min()
    }

    fn hear(&mut self, heard: Heard, ready: &mut VecDeque<(u32, u32, Event)>) {
        let told = self.client.hear(heard);
        ready.extend(told.into_iter().map(|event| (self.vm, self.token, event)));
    }
}
