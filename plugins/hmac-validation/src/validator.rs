//! A configured validator: between the shells, which differ, and the decisions, which don't.
//!
//! 1. [`Validator::on_request`] chooses the policy and begins; a request whose body has a say is held, head and all.
//! 2. [`Validator::on_body`] hands each byte on once; behind the last one, or in [`Validator::on_trailers`], it is
//!    decided. Nothing reaches the upstream before.
//! 3. [`Validator::on_held_tick`] ends a request that got no byte for too long: never a hang.
//! 4. In shadow nothing is held: bodies are hashed in passing.
//! 5. Headers that tell the upstream who was verified are taken out of what came in, always.

use std::rc::Rc;

use portcullis_kit::{
    Exchange, Filter, Named, Policy,
    config::ConfigError,
    head::{Headers, RequestHead},
    heartbeat::Heartbeat,
    host::{CounterId, Level, Secrets, StatefulHost},
    log_budget::LogBudget,
    mode::Mode,
    reason::Reason,
    refusal::{Problem, Refusal},
    verdict::{Edit, Reply, Verdict},
};

use crate::{
    config::{HmacValidation, Remember, Settings},
    decide::{self, Begun, Pending, Verified},
    identity,
    keys::{self, Key},
    replay::{Claim, Memory},
};

/// Between two ticks, in milliseconds.
const TICK: u32 = 1000;

pub struct Validator {
    filter: Filter<HmacValidation>,
    /// By index of the policy.
    keys: Vec<Vec<Key>>,
    /// By index of the policy, then of its secret: how often it verified.
    used: Vec<Vec<CounterId>>,
    /// By index of the policy: the digest of the token that its handshakes bring.
    tokens: Vec<Option<Vec<u8>>>,
    most_held: usize,
    /// Bytes that this VM has the proxy hold.
    held: usize,
    memory: Memory,
    heartbeat: Heartbeat,
    log_budget: LogBudget,
}

/// What one stream keeps between its callbacks.
#[derive(Default)]
pub struct Stream {
    exchange: Exchange<HmacValidation>,
    waiting: Option<Waiting>,
    /// The delivery is with the backend.
    claim: Option<Claim>,
    /// Whatever of the request comes still, nothing of it goes on.
    refused: bool,
    /// Names of lines to take out of the request.
    stripped: Vec<Vec<u8>>,
    /// Lines to set on it.
    lines: Vec<(&'static [u8], Vec<u8>)>,
}

struct Waiting {
    named: Rc<Named<HmacValidation>>,
    pending: Pending,
    /// What of the head an answer depends on.
    asks: RequestHead,
    /// Milliseconds; when the last byte came.
    since: u64,
    holds: bool,
    /// Bytes of it in `Validator::held`.
    held: usize,
}

impl Validator {
    /// # Errors
    /// The first thing wrong in the configuration, or in a secret.
    pub fn configure<H: StatefulHost + Secrets>(host: &mut H, bytes: &[u8]) -> Result<Self, ConfigError> {
        let (filter, settings): (Filter<HmacValidation>, Settings) = Filter::configure_with(host, bytes)?;
        let (mut all, mut tokens, mut used, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for named in filter.policies() {
            let read = keys::read(host, &named.policy);
            let (keys, mut missing) = read.map_err(|error| error.under(&named.name).under("policies"))?;
            let token = keys::verify_token(host, &named.policy, &mut missing);
            tokens.push(token.map_err(|error| error.under(&named.name).under("policies"))?);
            let line = |env| {
                format!(
                    "policies.{}: the environment variable {env} isn't there; list it under vm_config.environment_variables",
                    named.name
                )
            };
            lines.extend(missing.into_iter().map(line));
            all.push(keys);
            let mut counters = Vec::new();
            for secret in &named.policy.secrets {
                // A dot parts the words of a metric's name.
                let id = secret.id.replace('.', "_");
                counters.push(host.define_counter(&format!(
                    "portcullis.keys.filter.{}.policy.{}.key.{id}",
                    HmacValidation::FILTER,
                    named.name
                )));
            }
            used.push(counters);
        }
        lines.iter().for_each(|line| host.log(Level::Error, line));
        if let Some(name) =
            filter.record_name().filter(|_| filter.policies().any(|named| named.policy.remember.is_some()))
        {
            host.keep_record(name);
        }
        let memory = Memory::of(settings.remembered_deliveries);
        host.set_tick_period(TICK);
        let most_held = settings.max_held_bytes_per_worker as usize;
        let heartbeat = Heartbeat::new(HmacValidation::FILTER);
        Ok(Self {
            filter,
            keys: all,
            tokens,
            used,
            most_held,
            held: 0,
            memory,
            heartbeat,
            log_budget: LogBudget::default(),
        })
    }

    /// The request's head is there; `None` where it can't be read. With `ends` no body follows.
    pub fn on_request<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        head: Option<&RequestHead>,
        ends: bool,
    ) -> Verdict<'a> {
        stream.stripped = head.map(|head| identity::spellings(&head.headers)).unwrap_or_default();
        let asked = head.filter(|_| self.filter.reads_request_head());
        if let Some(refusal) = self.filter.on_request(host, &mut stream.exchange, asked) {
            return Verdict::Reply(refusal);
        }
        let named = match self.filter.policy(host, &mut stream.exchange) {
            Ok(Some(named)) => named,
            Ok(None) => return stream.pass(),
            Err(refusal) => return Verdict::Reply(refusal),
        };
        let now = millis(host);
        let keys = self.keys.get(named.index).map(Vec::as_slice).unwrap_or_default();
        if let Some(answer) = named.policy.handshake.as_ref().zip(head).and_then(|(handshake, head)| {
            let token = self.tokens.get(named.index).and_then(Option::as_deref);
            handshake.in_head(head, token)
        }) {
            return self.shake(host, stream, &named, &head.map(asks).unwrap_or_default(), answer);
        }
        let begun = decide::begin(&named.policy, keys, head, now);
        let asks = head.map(asks).unwrap_or_default();
        let pending = match begun {
            Ok(Begun::Pending(pending)) if ends => {
                return self.settle(host, stream, &named, &asks, pending.finish(&named.policy, now));
            }
            Ok(Begun::Pending(pending)) => pending,
            Ok(Begun::Verified(verified)) => return self.settle(host, stream, &named, &asks, Ok(verified)),
            Err(reason) => return self.settle(host, stream, &named, &asks, Err(reason)),
        };
        let announced = head.and_then(|head| length(&head.headers)).unwrap_or_default();
        if announced > named.policy.max_held_bytes {
            return self.settle(host, stream, &named, &asks, Err(decide::BODY_TOO_LARGE));
        }
        if announced > self.most_held.saturating_sub(self.held) {
            return self.settle(host, stream, &named, &asks, Err(decide::MEMORY_SPENT));
        }
        let holds = named.policy.mode == Mode::Enforce;
        stream.waiting = Some(Waiting { named, pending, asks, since: now, holds, held: 0 });
        if holds { Verdict::Hold } else { stream.pass() }
    }

    /// The next bytes of the body, each once; `None` where the proxy doesn't give them.
    pub fn on_body<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        piece: Option<&[u8]>,
        ends: bool,
    ) -> Verdict<'a> {
        let Some(waiting) = &mut stream.waiting else { return stream.rest() };
        let Some(piece) = piece else { return self.end(host, stream, Err(decide::BODY_UNREADABLE)) };
        if waiting.pending.received + piece.len() > waiting.named.policy.max_held_bytes {
            return self.end(host, stream, Err(decide::BODY_TOO_LARGE));
        }
        if self.held + piece.len() > self.most_held {
            return self.end(host, stream, Err(decide::MEMORY_SPENT));
        }
        if waiting.holds || waiting.named.policy.scheme.reads_whole_body() {
            waiting.held += piece.len();
            self.held += piece.len();
        }
        waiting.pending.update(piece);
        if ends {
            return self.finish(host, stream);
        }
        if !waiting.holds {
            return Verdict::Pass;
        }
        waiting.since = millis(host);
        Verdict::Hold
    }

    /// The request ends with trailers.
    pub fn on_trailers<'a, H: StatefulHost>(&mut self, host: &mut H, stream: &'a mut Stream) -> Verdict<'a> {
        if stream.waiting.is_some() { self.finish(host, stream) } else { stream.rest() }
    }

    /// A second has passed for a stream that may be held.
    pub fn on_held_tick<H: StatefulHost>(&mut self, host: &mut H, stream: &mut Stream) -> Option<Reply> {
        let waiting = stream.waiting.as_ref().filter(|waiting| waiting.holds)?;
        let now = millis(host);
        // A clock that stepped back has no say.
        if now.saturating_sub(waiting.since) <= waiting.named.policy.hold_timeout {
            return None;
        }
        let reason = if waiting.pending.received == 0 { decide::BODY_NOT_TOLD } else { decide::BODY_STALLED };
        if reason == decide::BODY_NOT_TOLD && self.log_budget.admit(host.now()) {
            host.log(
                Level::Warn,
                "a held request got no byte of its body: does the plugin's configuration set \
                 allow_on_headers_stop_iteration: true?",
            );
        }
        match self.end(host, stream, Err(reason)) {
            Verdict::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    pub fn on_tick<H: StatefulHost>(&mut self, host: &mut H) {
        self.heartbeat.beat(host);
    }

    /// Whether the response's status decides about a delivery that is with the backend.
    pub fn reads_status(&self, stream: &Stream) -> bool {
        stream.claim.is_some()
    }

    /// The response's head is there: the backend has taken the delivery or not.
    pub fn on_response<H: StatefulHost>(&mut self, host: &mut H, stream: &mut Stream, status: Option<u16>) {
        let taken = status.is_some_and(|status| (200..300).contains(&status));
        self.settle_claim(host, stream, taken);
    }

    /// The stream is over, whatever way it ended.
    pub fn on_end<H: StatefulHost>(&mut self, host: &mut H, stream: &mut Stream) {
        if let Some(waiting) = stream.waiting.take() {
            self.held -= waiting.held.min(self.held);
        }
        self.settle_claim(host, stream, false);
    }

    fn settle_claim<H: StatefulHost>(&mut self, host: &mut H, stream: &mut Stream, taken: bool) {
        if let Some(claim) = stream.claim.take() {
            let now = millis(host);
            claim.settle(host, now, taken);
        }
    }

    /// Claims a delivery that was verified.
    fn claim<H: StatefulHost>(
        &self,
        host: &mut H,
        named: &Named<HmacValidation>,
        verified: &Verified,
    ) -> Result<Option<Claim>, Reason> {
        let (Some(remember), Some(mac)) = (named.policy.remember, &verified.mac) else { return Ok(None) };
        let now = millis(host);
        let until = match (remember, verified.time) {
            // It may be sent as long as it isn't too old, that moment included.
            (Remember::Behind(past), Some(time)) => time.saturating_add(past).saturating_add(1),
            (Remember::Behind(span) | Remember::For(span), _) => now.saturating_add(span),
        };
        let again = self.filter.record_name().and_then(|name| host.earlier_record(name)).is_some();
        let claim = self.memory.place(&named.name, mac, until);
        claim.take(host, now, again).map(|()| Some(claim))
    }

    fn finish<'a, H: StatefulHost>(&mut self, host: &mut H, stream: &'a mut Stream) -> Verdict<'a> {
        let Some(waiting) = stream.waiting.take() else { return Verdict::Pass };
        self.held -= waiting.held.min(self.held);
        let now = millis(host);
        let Waiting { named, pending, asks, holds, .. } = waiting;
        let result = pending.finish(&named.policy, now);
        let verdict = self.settle(host, stream, &named, &asks, result);
        // The head has gone on.
        if holds { verdict } else { Verdict::Pass }
    }

    fn end<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        result: Result<Verified, Reason>,
    ) -> Verdict<'a> {
        let Some(waiting) = stream.waiting.take() else { return Verdict::Pass };
        self.held -= waiting.held.min(self.held);
        let verdict = self.settle(host, stream, &waiting.named, &waiting.asks, result);
        if waiting.holds { verdict } else { Verdict::Pass }
    }

    /// The answer to a delivery that is a handshake.
    fn challenge(&self, named: &Named<HmacValidation>, verified: &Verified) -> Option<Result<Reply, Reason>> {
        let (handshake, body) = named.policy.handshake.as_ref().zip(verified.short.as_deref())?;
        let key = self.keys.get(named.index)?.iter().find(|key| key.index == verified.key)?;
        handshake.in_body(body, key)
    }

    fn shake<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        named: &Named<HmacValidation>,
        asks: &RequestHead,
        answer: Result<Reply, Reason>,
    ) -> Verdict<'a> {
        let reply = match answer {
            Ok(reply) => reply,
            Err(reason) => return self.settle(host, stream, named, asks, Err(reason)),
        };
        match self.filter.settle(host, named, decide::HANDSHAKE_ANSWERED, Verdict::Reply(reply)) {
            Verdict::Reply(reply) => {
                stream.refused = true;
                Verdict::Reply(reply)
            }
            _ => stream.pass(),
        }
    }

    /// Counts and records what was decided, and makes a verdict of it.
    fn settle<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        named: &Named<HmacValidation>,
        asks: &RequestHead,
        result: Result<Verified, Reason>,
    ) -> Verdict<'a> {
        if let Some(answer) = result.as_ref().ok().and_then(|verified| self.challenge(named, verified)) {
            return self.shake(host, stream, named, asks, answer);
        }
        let enforces = named.policy.mode == Mode::Enforce;
        // In shadow nobody is remembered, since nobody would be kept out.
        let result = match result {
            Ok(verified) if enforces => self.claim(host, named, &verified).map(|claim| {
                stream.claim = claim;
                verified
            }),
            result => result,
        };
        match result {
            Ok(verified) => {
                let used = self.used.get(named.index).and_then(|used| used.get(verified.key));
                used.into_iter().for_each(|counter| host.increment(*counter));
                let key = named.policy.secrets.get(verified.key).map(|secret| secret.id.as_str()).unwrap_or_default();
                let note = [" key=", key].concat();
                self.filter.settle_with(host, named, decide::VERIFIED, Verdict::Pass, &note);
                if enforces {
                    stream.lines = identity::lines(named.policy.provider, key, &verified);
                }
                stream.pass()
            }
            Err(reason) => {
                let reply = reply(named, reason, asks);
                match self.filter.settle(host, named, reason, Verdict::Reply(reply)) {
                    Verdict::Reply(reply) => {
                        stream.refused = true;
                        Verdict::Reply(reply)
                    }
                    _ => stream.pass(),
                }
            }
        }
    }
}

impl Stream {
    /// Lets the request go on, with the lines that it is to have.
    fn pass(&self) -> Verdict<'_> {
        if self.stripped.is_empty() && self.lines.is_empty() {
            return Verdict::Pass;
        }
        let stripped = self.stripped.iter().map(|name| Edit::Remove(name));
        Verdict::Edit(stripped.chain(self.lines.iter().map(|(name, value)| Edit::Set(name, value))).collect())
    }

    /// What becomes of bytes behind the decision.
    fn rest(&self) -> Verdict<'_> {
        if self.refused { Verdict::Hold } else { Verdict::Pass }
    }

    /// Whether the request waits for its body.
    pub fn holds(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.holds)
    }
}

/// The same words for whoever isn't believed, whatever the reason.
fn reply(named: &Named<HmacValidation>, reason: Reason, asks: &RequestHead) -> Reply {
    let (status, own) = decide::status(reason);
    let (title, grpc_status) = match status {
        401 => ("Unauthorized", 16),
        408 => ("Request timeout", 4),
        413 => ("Content too large", 8),
        425 => ("Too early", 14),
        _ => ("Service unavailable", 14),
    };
    let problem = Problem { status, kind: "", title, members: "", grpc_status };
    let details = reason.of(HmacValidation::FILTER);
    let plain = Refusal::default();
    let refusal = if own { &named.policy.refusal } else { &plain };
    // RFC 9110 §11.6.1.
    let challenge = named.policy.scheme.challenge().filter(|_| status == 401);
    let lines = challenge.map(|challenge| (b"www-authenticate".to_vec(), challenge.into()));
    refusal.reply(&problem, Some(asks), lines.into_iter().collect(), details)
}

/// What an answer depends on; the head itself isn't kept while its body is on its way.
fn asks(head: &RequestHead) -> RequestHead {
    let asks = |name: &[u8]| matches!(name, b"accept" | b"content-type");
    let kept = head.headers.iter().filter(|(name, _)| asks(name));
    let headers = kept.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    RequestHead { headers, ..RequestHead::default() }
}

/// What `Content-Length` says; the proxy has checked it.
fn length(headers: &Headers) -> Option<usize> {
    std::str::from_utf8(headers.single(b"content-length").ok()??).ok()?.parse().ok()
}

fn millis(host: &mut impl StatefulHost) -> u64 {
    host.now() / 1_000_000
}
