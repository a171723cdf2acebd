//! Calls that filters make to other clusters, and the declared answers.
//!
//! 1. A call to a cluster that isn't there, or without `:method`, `:path` and `:authority`, is a bad
//!    argument; one to a cluster without a host fails at once. Neither is answered later.
//! 2. Failures look like answers: 504 after the time-out, 503 where the connection is refused or reset.
//!    Only a reset behind the answer's head gives no headers at all, and a status beside it.
//! 3. Envoy itself answers what its codec has no place for, `CONNECT` among it; on a connection that stands idle the
//!    call fails at once. So does, over HTTP/1, an extended `CONNECT` end: its connection is closed. An answer to an upgrade
//!    ends with its head. With `transfer-encoding: chunked` it sends no chunks, also where there is a body: the
//!    server waits for them until the time-out, and so it does for a `content-length` without a body.
//! 4. The answer goes to the root context of the VM that called, also when the stream is gone.
//! 5. Tokens count by VM: 4, 8, … for HTTP.

use std::collections::HashMap;

use super::{
    World, head,
    headers::{Headers, Inline},
    pairs::{Pairs, serialise},
    status::Status,
};
use crate::{
    envoy::versions,
    scenario::{Act, Bytes, CalloutAnswer, Trouble, grpc::Line},
};

/// What a token stands for, which its two low bits tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    GrpcCall,
    GrpcStream,
    None,
}

impl Kind {
    pub fn of(token: u32) -> Self {
        match token % 4 {
            0 => Self::Http,
            1 => Self::GrpcCall,
            2 => Self::GrpcStream,
            _ => Self::None,
        }
    }
}

/// What comes back of a callout.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub headers: Pairs,
    pub body: Vec<u8>,
    pub trailers: Pairs,
    /// What `proxy_get_status` tells from now on, where the answer changes it.
    pub status: Option<(u32, String)>,
}

impl Answer {
    /// The map of that number: 6 holds the headers, 7 the trailers.
    fn map(&self, number: u32) -> &Pairs {
        static NONE: Pairs = Vec::new();
        match number {
            6 => &self.headers,
            7 => &self.trailers,
            _ => &NONE,
        }
    }

    /// Leaves of an answer to an upgrade what belongs to it.
    fn end_with_head(&mut self) {
        let of_a_body = [b"content-length".as_slice(), b"content-type", b"x-envoy-upstream-service-time"];
        self.headers.retain(|(name, _)| !of_a_body.contains(&name.to_ascii_lowercase().as_slice()));
        self.body.clear();
        self.trailers.clear();
    }

    /// The body, where there was an answer at all.
    pub fn body(&self) -> Result<&[u8], Status> {
        if self.headers.is_empty() { Err(Status::NotFound) } else { Ok(&self.body) }
    }

    /// The first value of a name in a map. A map without a line isn't there.
    pub fn value(&self, map: u32, name: &[u8]) -> Result<Vec<u8>, Status> {
        let lines = self.map(map);
        if lines.is_empty() {
            return Err(Status::BadArgument);
        }
        let found = lines.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).ok_or(Status::NotFound)
    }

    /// All lines of a map, serialised.
    pub fn pairs(&self, map: u32) -> Vec<u8> {
        let lines = self.map(map);
        if lines.is_empty() {
            return Vec::new();
        }
        serialise(lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
    }
}

/// An answer that is on its way.
#[derive(Clone, Debug)]
pub struct Pending {
    pub vm: u32,
    pub token: u32,
    /// Nanoseconds since the epoch.
    pub due: u64,
    pub answer: Answer,
    /// Where the connection goes that it came on, if it lasts.
    frees: Option<Pool>,
}

/// The connections of a thread to a cluster.
type Pool = (usize, String);

#[derive(Debug, Default)]
pub struct Callouts {
    pending: Vec<Pending>,
    /// How many calls each VM made.
    made: HashMap<u32, u32>,
    /// How many calls each cluster received.
    received: HashMap<String, usize>,
    /// How many connections stand idle.
    idle: HashMap<Pool, usize>,
}

const MILLISECOND: u64 = 1_000_000;

impl World {
    /// Makes an HTTP call and gives its token.
    pub fn http(&mut self, vm: u32, cluster: &str, asked: &Asked, timeout_ms: u32) -> Result<u32, Status> {
        // Envoy reads it as a signed number.
        if i32::try_from(timeout_ms).is_err() {
            return Err(Status::BadArgument);
        }
        let answers = self.given.clusters.get(cluster).ok_or(Status::BadArgument)?;
        let head = asked.head();
        if ![b":method".as_slice(), b":path", b":authority"].iter().all(|name| head.get(name).is_some()) {
            return Err(Status::BadArgument);
        }
        let http2 = answers.iter().any(|answer| answer.grpc.is_some());
        let trouble = answers.first().and_then(|first| first.trouble);
        let pool = (self.logs.thread, cluster.to_owned());
        let at_hand = self.callouts.take_connection(&pool, http2);
        let made = self.callouts.made.entry(vm).or_default();
        // A call that fails at once has used its token up.
        *made += 1;
        let token = *made * 4;
        let reachable = !matches!(trouble, Some(Trouble::NoHost | Trouble::Refused));
        let malformed = || (http2 && asked.is_short(&head)).then(|| head::reset_in(502, "protocol error", 1));
        let connect = head.get(b":method") == Some(b"CONNECT");
        let closed =
            || (!http2 && connect && asked.body.is_empty()).then(|| head::reset_in(503, "connection termination", 1));
        let refused = head::refusal(&head)
            .or_else(|| head::reset_over_http2(&head).filter(|_| http2))
            .or_else(malformed)
            .or_else(closed)
            .filter(|_| reachable);
        let refused = refused.map(|reply| match reply.status {
            502 if !versions::tells_protocol_errors(self.envoy) => head::reset_in(503, "remote reset", 1),
            _ => reply,
        });
        let unwritable = refused.as_ref().is_some_and(head::is_unwritable);
        let timeout = u64::from(timeout_ms) * MILLISECOND;
        let (after, answered, frees) = if trouble == Some(Trouble::NoHost) || unwritable && at_hand {
            return Err(Status::InternalFailure);
        } else if let Some(reply) = refused {
            let (headers, body) = reply.into_response(false);
            (Some(0), Answer { headers: headers.lines().to_vec(), body, ..Answer::default() }, http2)
        } else if !http2 && asked.leaves_server_waiting(&head) {
            (None, Answer::default(), false)
        } else {
            let to_head = head.get(b":method") == Some(b"HEAD");
            match self.callouts.answer(answers, cluster) {
                None => return Err(Status::InternalFailure),
                Some(CalloutAnswer { trouble: Some(Trouble::Silence), .. }) => (None, Answer::default(), false),
                Some(answer) if answer.grpc.is_some() => {
                    let (after, answered) = by_grpc(&answer.acts());
                    (after, answered, true)
                }
                Some(answer) => {
                    let mut told = answered(answer, self.envoy, to_head);
                    let changed = answer.trouble.is_none() && head::is_changed(&head, u64::from(answer.status));
                    if changed && !http2 {
                        told.end_with_head();
                    }
                    (Some(answer.after.0), told, answer.keeps_connection() && !changed)
                }
            }
        };
        let frees = (frees || http2).then_some(pool);
        let (after, answer, frees) = match after {
            Some(after) if timeout == 0 || after < timeout => (after, answered, frees),
            None if timeout == 0 => return Ok(token),
            _ => (timeout, plain("504", "upstream request timeout"), frees.filter(|_| http2)),
        };
        self.callouts.pending.push(Pending { vm, token, due: self.clock.now().saturating_add(after), answer, frees });
        Ok(token)
    }
}

/// An HTTP call as the filter makes it.
#[derive(Debug)]
pub struct Asked {
    pub headers: Pairs,
    pub body: Vec<u8>,
}

impl Asked {
    fn head(&self) -> Headers {
        let mut head = Headers::new(Inline::Request);
        self.headers.iter().for_each(|(name, value)| head.add(name, value));
        head.set(b"x-forwarded-proto", b"http");
        head
    }

    /// Whether it announces a body that it doesn't have. The length of what there is Envoy writes itself.
    fn is_short(&self, head: &Headers) -> bool {
        let length = head.get(b"content-length").and_then(|length| std::str::from_utf8(length).ok());
        self.body.is_empty() && length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > 0)
    }

    /// Whether the server waits for more than Envoy sends over HTTP/1: for chunks, of which it sends none, or for
    /// bytes that aren't there; or it doesn't know what follows an upgrade or `CONNECT`.
    fn leaves_server_waiting(&self, head: &Headers) -> bool {
        let encoding = head.get(b"transfer-encoding").map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
        let of_another = head::is_upgrade(head) || head.get(b":method") == Some(b"CONNECT");
        encoding.ends_with(b"chunked") || self.is_short(head) || of_another && !self.body.is_empty()
    }
}

impl CalloutAnswer {
    /// Whether another call can be made on the connection.
    fn keeps_connection(&self) -> bool {
        let closes = |(name, value): &(String, Bytes)| {
            name.eq_ignore_ascii_case("connection") && value.0.eq_ignore_ascii_case(b"close")
        };
        self.trouble.is_none() && !self.headers.0.iter().any(closes)
    }
}

impl Callouts {
    /// Whether a connection stood idle, which the call takes: it is written at once, and what Envoy refuses to write
    /// fails at once. Over HTTP/2 it serves all calls.
    fn take_connection(&mut self, pool: &Pool, http2: bool) -> bool {
        let Some(idle) = self.idle.get_mut(pool).filter(|idle| **idle > 0) else { return false };
        if !http2 {
            *idle -= 1;
        }
        true
    }

    fn free_connection(&mut self, pool: Pool) {
        *self.idle.entry(pool).or_default() += 1;
    }

    /// What a cluster answers to its next call; the last answer is given to every further one.
    pub fn answer<'a>(&mut self, answers: &'a [CalloutAnswer], cluster: &str) -> Option<&'a CalloutAnswer> {
        let received = self.received.entry(cluster.to_owned()).or_default();
        let answer = answers.get(*received).or(answers.last());
        *received += 1;
        answer
    }

    /// When the next answer comes.
    pub fn next_due(&self) -> Option<u64> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// The answer that is due, the earliest call first.
    pub fn take_due(&mut self, now: u64) -> Option<Pending> {
        let due = self.pending.iter().map(|pending| pending.due).min().filter(|due| *due <= now)?;
        let place = self.pending.iter().position(|pending| pending.due == due)?;
        let mut pending = self.pending.remove(place);
        pending.frees.take().into_iter().for_each(|pool| self.free_connection(pool));
        Some(pending)
    }

    /// Forgets what a VM that is gone still waits for.
    pub fn forget(&mut self, vm: u32) {
        self.pending.retain(|pending| pending.vm != vm);
    }
}

fn answered(answer: &CalloutAnswer, envoy: u32, to_head: bool) -> Answer {
    let lines = |lines: &crate::scenario::HeaderLines| super::wire::lines(lines);
    match answer.trouble {
        Some(Trouble::Refused) => plain("503", refused(envoy)),
        Some(Trouble::Reset) => broken("connection termination"),
        Some(Trouble::ResetAfterHeaders) => Answer { status: Some((11, "reset".into())), ..Answer::default() },
        _ => {
            let mut headers = vec![(b":status".to_vec(), answer.status.to_string().into_bytes())];
            headers.extend(lines(&answer.headers));
            // What a server and Envoy's own client add.
            let took = answer.after.0 / MILLISECOND;
            let added = [("content-length", answer.body.0.len() as u64), ("x-envoy-upstream-service-time", took)];
            // Of a 204 Envoy takes the length away.
            for (name, value) in added.into_iter().filter(|(name, _)| answer.status != 204 || *name != "content-length")
            {
                headers.push((name.as_bytes().to_vec(), value.to_string().into_bytes()));
            }
            if to_head || matches!(answer.status, 204 | 304) {
                return Answer { headers, ..Answer::default() };
            }
            Answer { headers, body: answer.body.0.clone(), trailers: lines(&answer.trailers), status: None }
        }
    }
}

/// What a gRPC service answers to a plain call, and after how many nanoseconds, if ever. It hears no message.
fn by_grpc(acts: &[Act]) -> (Option<u64>, Answer) {
    let (mut after, mut answer, mut ended) = (0_u64, Answer::default(), false);
    for act in acts {
        match act {
            Act::Wait(time) => after = after.saturating_add(*time),
            Act::HalfClosed => {}
            Act::Called(_) | Act::Receive(_) => break,
            Act::Head(lines, ends) => {
                answer.headers.extend(pairs(lines));
                answer.headers.push((b"x-envoy-upstream-service-time".to_vec(), b"0".to_vec()));
                ended = *ends;
            }
            Act::Data(piece, ends) => {
                answer.body.extend(piece);
                ended = *ends;
            }
            Act::Trailers(lines) => {
                answer.trailers.extend(pairs(lines));
                ended = true;
            }
            Act::Reset | Act::Disconnect if !answer.headers.is_empty() => {
                return (Some(after), Answer { status: Some((11, "reset".into())), ..Answer::default() });
            }
            Act::Reset => return (Some(after), broken("remote reset")),
            Act::Disconnect => return (Some(after), broken("connection termination")),
        }
    }
    (ended.then_some(after), answer)
}

fn pairs(lines: &[Line]) -> Pairs {
    lines.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect()
}

/// What Envoy says of a connection that was refused.
pub fn refused(envoy: u32) -> &'static str {
    if versions::tells_why_refused(envoy) {
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, \
         transport failure reason: delayed connect error: Connection refused"
    } else {
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    }
}

fn broken(reason: &str) -> Answer {
    plain("503", &format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}"))
}

/// What Envoy itself answers.
fn plain(status: &str, body: &str) -> Answer {
    let headers = [(":status", status), ("content-length", &body.len().to_string()), ("content-type", "text/plain")];
    let headers = headers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    Answer { headers: headers.into(), body: body.as_bytes().to_vec(), ..Answer::default() }
}
