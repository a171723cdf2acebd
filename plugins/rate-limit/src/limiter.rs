//! A configured limiter: between the shells, which differ, and the decisions, which don't.
//!
//! 1. [`Limiter::on_request`] chooses the policy, decides and counts, and remembers in the stream what was taken.
//! 2. [`Limiter::on_response`] gives back what the response's status doesn't count, and tells the client where it stands.
//! 3. [`Limiter::on_end`] gives streams in flight back, whatever way they ended.
//! 4. Where a service is to be asked, the request is held, and [`Limiter::on_answer`] decides (`across`).
//! 5. [`Limiter::on_tick`] keeps this VM's streams alive, finds VMs that are gone, and shows that somebody is here.

mod across;

use std::{collections::BTreeSet, rc::Rc};

use portcullis_kit::{
    Exchange, Filter, Named, Policy,
    config::ConfigError,
    head::RequestHead,
    heartbeat::Heartbeat,
    host::{CallId, CounterId, Level, RouteProperty, StatefulHost},
    mode::Mode,
    store::{Found, Over, Store, Written},
    verdict::{Edit, Reply, Verdict},
};

use self::across::{Across, Waiting};
use crate::{
    answer,
    config::{Limit, OnStoreError, RateLimit, Settings},
    debit::{Moment, Seen},
    decide::{self, Around, Ruling, Said, Standing, Taken},
    key::Facts,
    leases::{Leases, TICK},
    meter::{Leases as _, Meter},
    occupancy::Occupancy,
    pool::{self, Secret},
};

/// Headers by which a client may tell the backend another method or path than the one that was counted.
const OVERRIDES: [&[u8]; 6] = [
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-original-uri",
];

pub struct Limiter {
    filter: Filter<RateLimit>,
    settings: Settings,
    /// `None` until the first request.
    secret: Option<Secret>,
    leases: Leases,
    heartbeat: Heartbeat,
    occupancy: Occupancy,
    counts: Counts,
    reads_head: bool,
    /// Some policy counts streams in flight.
    holds_streams: bool,
    across: Option<Across>,
}

/// What one stream keeps between its callbacks.
#[derive(Default)]
pub struct Stream {
    exchange: Exchange<RateLimit>,
    taken: Vec<Taken>,
    /// Under which streams in flight are counted.
    lease: u32,
    /// The limit that spoke, and what it said.
    told: Option<(Rc<Named<RateLimit>>, usize, Standing)>,
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    waiting: Option<Waiting>,
}

impl Stream {
    /// The call whose answer the request is held for.
    pub fn waits_for(&self) -> Option<CallId> {
        self.waiting.as_ref().map(Waiting::call)
    }
}

/// Counters beside those of the decisions.
struct Counts {
    /// By policy, limit, and what the limit said.
    limits: Vec<Vec<[CounterId; 4]>>,
    lost_races: CounterId,
    evictions: CounterId,
    kept_back: CounterId,
}

const SAID: [(Said, &str); 4] =
    [(Said::Admits, "admits"), (Said::Refuses, "refuses"), (Said::Exempts, "exempts"), (Said::Full, "full")];

impl Counts {
    fn define(host: &mut impl StatefulHost, filter: &Filter<RateLimit>) -> Self {
        let mut limits = Vec::new();
        for named in filter.policies() {
            let mut counters = Vec::new();
            for limit in &named.policy.limits {
                let mode = limit.mode.name();
                let of = [
                    "portcullis.limits.filter.rate_limit.policy.",
                    &named.name,
                    ".limit.",
                    &limit.name,
                    ".mode.",
                    mode,
                ];
                let of = of.concat();
                let mut all = [CounterId::default(); 4];
                for (counter, (_, said)) in all.iter_mut().zip(SAID) {
                    *counter = host.define_counter(&[&of, ".said.", said].concat());
                }
                counters.push(all);
            }
            limits.push(counters);
        }
        let mut store = |event: &str| {
            let name = ["portcullis.store.filter.rate_limit.event.", event].concat();
            host.define_counter(&name)
        };
        Self { limits, lost_races: store("lost_race"), evictions: store("eviction"), kept_back: store("kept_back") }
    }

    fn note(&self, host: &mut impl StatefulHost, seen: &Seen) {
        for (counter, amount) in
            [(self.lost_races, seen.lost_races), (self.evictions, seen.evictions), (self.kept_back, seen.kept_back)]
        {
            if amount > 0 {
                host.add(counter, amount.into());
            }
        }
    }

    fn said(&self, host: &mut impl StatefulHost, policy: usize, said: &[Option<Said>]) {
        let Some(limits) = self.limits.get(policy) else { return };
        for (counters, said) in limits.iter().zip(said) {
            let place = SAID.iter().position(|(known, _)| Some(known) == said.as_ref());
            if let Some(counter) = place.and_then(|place| counters.get(place)) {
                host.increment(*counter);
            }
        }
    }
}

/// A request, as far as limits ask for it.
struct Request<'a, H> {
    host: &'a mut H,
    head: Option<&'a RequestHead>,
}

impl<H: StatefulHost> Facts for Request<'_, H> {
    fn head(&self) -> Option<&RequestHead> {
        self.head
    }

    fn client_address(&mut self) -> Vec<u8> {
        self.host.client_address()
    }

    fn route(&mut self, property: RouteProperty) -> Vec<u8> {
        self.host.route(property)
    }

    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8> {
        self.host.dynamic_metadata(namespace, path)
    }
}

impl<H: StatefulHost> Store for Request<'_, H> {
    fn get(&mut self, key: &[u8]) -> Found {
        self.host.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        self.host.put(key, value, over)
    }
}

impl Limiter {
    /// # Errors
    /// The first thing wrong in the configuration.
    pub fn configure(host: &mut impl StatefulHost, bytes: &[u8]) -> Result<Self, ConfigError> {
        let (filter, settings) = Filter::configure_with(host, bytes)?;
        let counts = Counts::define(host, &filter);
        let across = Across::configure(host, &settings, &filter)?;
        if let Some(name) = filter.record_name() {
            host.keep_record(name);
        }
        let holds_streams = filter.policies().any(|named| named.policy.holds_streams());
        host.set_tick_period(TICK);
        let limits = filter.policies().flat_map(|named| &named.policy.limits);
        let lines: BTreeSet<_> = limits.flat_map(Limit::lines).collect();
        let occupancy = Occupancy::define(host, lines.iter().copied());
        let bytes = settings.sizes().bytes(lines);
        host.log(Level::Info, &format!("rate_limit: the store holds at most {bytes} bytes"));
        let reads_head = filter.reads_request_head() || filter.policies().any(|named| named.policy.reads_head());
        Ok(Self {
            filter,
            settings,
            secret: None,
            leases: Leases::default(),
            heartbeat: Heartbeat::new(RateLimit::FILTER),
            occupancy,
            counts,
            reads_head,
            holds_streams,
            across,
        })
    }

    /// Whether [`Self::on_request`] wants the request's head; reading it is the dearest of all calls.
    pub fn reads_head(&self) -> bool {
        self.reads_head
    }

    /// The request's head is there; `None` where it isn't wanted, or can't be read.
    pub fn on_request<H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &mut Stream,
        head: Option<&RequestHead>,
    ) -> Verdict<'static> {
        let asked = head.filter(|_| self.filter.reads_request_head());
        if let Some(refusal) = self.filter.on_request(host, &mut stream.exchange, asked) {
            return Verdict::Reply(refusal);
        }
        let named = match self.filter.policy(host, &mut stream.exchange) {
            Ok(Some(named)) => named,
            Ok(None) => return Verdict::Pass,
            Err(refusal) => return Verdict::Reply(refusal),
        };
        if self.filter.record_name().and_then(|name| host.earlier_record(name)).is_some() {
            return self.filter.settle(host, &named, decide::COUNTED_BEFORE, overrides(&named.policy, head));
        }
        let Some(secret) = self.secret(host) else {
            let refuses = named.policy.on_store_error == OnStoreError::Deny;
            return self.without_store(host, &named, head, refuses);
        };
        if named.policy.holds_streams() {
            self.hold_lease(host);
            stream.lease = self.leases.own();
        }
        let mut ruling = self.rule(host, &named, &secret, head);
        // What wasn't known counted as alive: ask again where that may have refused.
        if self.leases.look_up(host) && ruling.refuses {
            ruling = self.rule(host, &named, &secret, head);
        }
        self.counts.note(host, &ruling.seen);
        self.counts.said(host, named.index, &ruling.said);
        stream.taken = std::mem::take(&mut ruling.taken);
        if let (Some(limit), Some(standing), true) = (ruling.limit, ruling.standing, named.policy.announces()) {
            stream.told = Some((Rc::clone(&named), limit, standing));
        }
        if !ruling.refuses && ruling.reason == decide::ADMITTED && !ruling.asks.is_empty() {
            return self.ask(host, stream, named, ruling, head);
        }
        let verdict = if ruling.refuses {
            stream.told = None;
            let read = if head.is_none() { host.request_head() } else { None };
            let details = ruling.reason.of(RateLimit::FILTER);
            Verdict::Reply(answer::reply(&named.policy, &ruling, head.or(read.as_ref()), details))
        } else {
            overrides(&named.policy, head)
        };
        self.settle(host, &named, &ruling, verdict)
    }

    /// Counts and records what was decided.
    fn settle<'a>(
        &self,
        host: &mut impl StatefulHost,
        named: &Named<RateLimit>,
        ruling: &Ruling,
        verdict: Verdict<'a>,
    ) -> Verdict<'a> {
        if self.filter.record_name().is_none() {
            return self.filter.settle(host, named, ruling.reason, verdict);
        }
        let name = ruling.limit.and_then(|limit| named.policy.limits.get(limit)).map(|limit| limit.name.as_str());
        let note = match (name, ruling.standing) {
            (Some(name), Some(standing)) => format!(" limit={name} left={}", standing.left),
            (Some(name), None) => format!(" limit={name}"),
            (None, _) => String::new(),
        };
        self.filter.settle_with(host, named, ruling.reason, verdict, &note)
    }

    /// The response's head is there.
    pub fn on_response<'a>(
        &mut self,
        host: &mut impl StatefulHost,
        stream: &'a mut Stream,
        status: Option<u16>,
    ) -> Verdict<'a> {
        let told = stream.told.take();
        self.leave(host, stream);
        let named = match self.filter.policy(host, &mut stream.exchange) {
            Ok(Some(named)) => named,
            Ok(None) => return Verdict::Pass,
            Err(refusal) => return Verdict::Reply(refusal),
        };
        if let Some(status) = status {
            let gives_back = |taken: &Taken| {
                named.policy.limits.get(taken.limit).is_some_and(|limit| limit.counted.gives_back(status))
            };
            let (back, kept) = std::mem::take(&mut stream.taken).into_iter().partition::<Vec<_>, _>(gives_back);
            stream.taken = kept;
            self.give_back(host, &back);
        }
        match told {
            Some((named, limit, standing)) if named.policy.mode == Mode::Enforce => {
                let Some(limit) = named.policy.limits.get(limit) else { return Verdict::Pass };
                stream.lines = answer::headers(named.policy.announce, limit, &standing);
                Verdict::Edit(stream.lines.iter().map(|(name, value)| Edit::Set(name, value)).collect())
            }
            _ => Verdict::Pass,
        }
    }

    /// Whether the response's status decides about what was taken.
    pub fn reads_status(&self, stream: &Stream) -> bool {
        stream.taken.iter().any(|taken| taken.by_status)
    }

    /// The stream is over, whatever way it ended.
    pub fn on_end(&mut self, host: &mut impl StatefulHost, stream: &mut Stream) {
        self.leave(host, stream);
        let taken = std::mem::take(&mut stream.taken);
        // What was counted under an id that was taken for dead is nobody's any more; another stream may have its place.
        if stream.lease == self.leases.own() {
            let in_flight = |taken: &Taken| matches!(taken.claim.ask.meter, Meter::InFlight(_));
            let in_flight: Vec<Taken> = taken.into_iter().filter(in_flight).collect();
            self.give_back(host, &in_flight);
        }
    }

    pub fn on_tick(&mut self, host: &mut impl StatefulHost) {
        if self.holds_streams {
            self.leases.tick(host);
        }
        self.heartbeat.beat(host);
        if let Some(secret) = self.secret {
            self.secret = Some(kept_secret(host, secret));
            self.occupancy.sample(host, self.settings.sizes(), secret.check);
        }
    }

    fn rule<H: StatefulHost>(
        &self,
        host: &mut H,
        named: &Named<RateLimit>,
        secret: &Secret,
        head: Option<&RequestHead>,
    ) -> Ruling {
        let now = host.now();
        let around = Around { secret, sizes: self.settings.sizes(), leases: &self.leases, now };
        decide::decide(&named.policy, &named.name, &around, &mut Request { host, head })
    }

    fn give_back(&mut self, host: &mut impl StatefulHost, taken: &[Taken]) {
        let Some(secret) = self.secret.filter(|_| !taken.is_empty()) else { return };
        let mut seen = Seen::default();
        let moment = Moment { now: host.now(), leases: &self.leases, secret: secret.check };
        for taken in taken {
            let back = moment.refund(host, &taken.claim, taken.at, &mut seen);
            seen.kept_back += u32::from(back.is_err());
        }
        self.counts.note(host, &seen);
    }

    /// The secret that all VMs share; made by whoever needs it first.
    fn secret(&mut self, host: &mut impl StatefulHost) -> Option<Secret> {
        if self.secret.is_none() {
            self.secret = shared_secret(host);
        }
        self.secret
    }

    fn hold_lease(&mut self, host: &mut impl StatefulHost) {
        let mut random = [0; 4];
        if host.random(&mut random).is_ok() {
            self.leases.hold(host, u32::from_le_bytes(random));
        }
    }

    fn without_store(
        &self,
        host: &mut impl StatefulHost,
        named: &Named<RateLimit>,
        head: Option<&RequestHead>,
        refuses: bool,
    ) -> Verdict<'static> {
        let verdict = if refuses {
            Verdict::Reply(Reply::unavailable(decide::STORE_CLOSED.of(RateLimit::FILTER)))
        } else {
            overrides(&named.policy, head)
        };
        self.filter.settle(host, named, decide::STORE_CLOSED, verdict)
    }
}

/// Takes the overriding headers away where a limit matches on what they override.
fn overrides(policy: &RateLimit, head: Option<&RequestHead>) -> Verdict<'static> {
    let Some(head) = head.filter(|_| policy.limits.iter().any(Limit::reads_method_or_path)) else {
        return Verdict::Pass;
    };
    let present = OVERRIDES.into_iter().filter(|name| head.headers.all(name).next().is_some());
    let edits: Vec<Edit<'static>> = present.map(Edit::Remove).collect();
    if edits.is_empty() { Verdict::Pass } else { Verdict::Edit(edits) }
}

fn shared_secret(host: &mut impl StatefulHost) -> Option<Secret> {
    let name = pool::name_of("secret");
    // A second look finds what another VM made meanwhile.
    for _ in 0..2 {
        let over = match host.get(&name) {
            Found::Unreadable => return None,
            Found::Nothing => Over::Nothing,
            Found::Value(bytes, version) => match Secret::from_bytes(&bytes) {
                Some(secret) => return Some(secret),
                None => Over::Version(version),
            },
        };
        let mut random = [0; Secret::SIZE];
        host.random(&mut random).ok()?;
        let secret = Secret::new(&random);
        match host.put(&name, &secret.to_bytes(), over) {
            Written::Done => return Some(secret),
            Written::Lost => {}
            Written::Unwritable => return None,
        }
    }
    None
}

/// The secret that is in force: the one in the store, or this VM's, which it puts back where a stranger wrote.
fn kept_secret(host: &mut impl StatefulHost, own: Secret) -> Secret {
    let name = pool::name_of("secret");
    let over = match host.get(&name) {
        Found::Unreadable => return own,
        Found::Nothing => Over::Nothing,
        Found::Value(bytes, version) => match Secret::from_bytes(&bytes) {
            Some(secret) => return secret,
            None => Over::Version(version),
        },
    };
    // Whoever is faster puts back the same, or is asked with the next tick.
    host.put(&name, &own.to_bytes(), over);
    own
}
