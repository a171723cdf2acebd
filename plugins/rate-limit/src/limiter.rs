//! A configured limiter: between the shells, which differ, and the decisions, which don't.
//!
//! 1. [`Limiter::on_request`] chooses the policy, decides and counts, and remembers in the stream what was taken.
//! 2. [`Limiter::on_response`] gives back what the response's status doesn't count, and tells the client where it stands.
//! 3. [`Limiter::on_end`] gives streams in flight back, whatever way they ended.
//! 4. Where a service is to be asked, the request is held, and [`Limiter::on_answer`] decides (`across`).
//! 5. [`Limiter::on_tick`] keeps this VM's streams alive, finds VMs that are gone, and shows that somebody is here.

mod across;
mod counts;
mod redirect;
mod request;
mod secret;
mod upstream;

use std::rc::Rc;

use portcullis_kit::{
    Exchange, Filter, Named, Policy,
    config::ConfigError,
    head::RequestHead,
    heartbeat::Heartbeat,
    host::{CallId, Level, StatefulHost},
    mode::Mode,
    verdict::{Edit, Reply, Verdict},
};

use self::{
    across::{Across, Waiting},
    counts::Counts,
    request::Request,
    upstream::{OVERRIDES, Upstream},
};
use crate::{
    answer,
    config::{OnStoreError, RateLimit},
    debit::{Debtor, Seen, Taken},
    decide::{self, Around, Ruling, Standing},
    leases::{Leases, TICK},
    meter::{Leases as _, Meter},
    occupancy::Occupancy,
    outcome::{self, Outcome},
    pool::{Parts, Secret, Sizes},
};

pub struct Limiter {
    filter: Filter<RateLimit>,
    sizes: Sizes,
    /// `None` until the first request.
    secret: Option<Secret>,
    leases: Leases,
    heartbeat: Heartbeat,
    occupancy: Occupancy,
    counts: Counts,
    reads_head: bool,
    /// Some policy counts streams in flight.
    holds_streams: bool,
    /// Some policy tells the upstream.
    tells_upstream: bool,
    /// The record that marks a request which was counted here; `None` where no records are left.
    counted: Option<String>,
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
    upstream: Upstream,
    /// Few do.
    waiting: Option<Box<Waiting>>,
}

impl Stream {
    /// The call whose answer the request is held for.
    pub fn waits_for(&self) -> Option<CallId> {
        self.waiting.as_ref().map(|waiting| waiting.call())
    }
}

impl Limiter {
    /// # Errors
    /// The first thing wrong in the configuration.
    pub fn configure(host: &mut impl StatefulHost, bytes: &[u8]) -> Result<Self, ConfigError> {
        let (filter, settings) = Filter::<RateLimit>::configure_with(host, bytes)?;
        let sizes = Sizes::try_from(settings.store).map_err(|error| error.under("store"))?;
        let counts = Counts::define(host, &filter);
        let across = Across::configure(host, &settings, &filter)?;
        let counted = filter.record_name().and_then(|_| redirect::mark(host));
        let holds_streams = filter.policies().any(|named| named.policy.holds_streams);
        host.set_tick_period(TICK);
        let mut parts = Parts::default();
        for named in filter.policies() {
            named.policy.limits.iter().for_each(|limit| limit.note_parts(&mut parts));
        }
        let occupancy = Occupancy::define(host, &parts);
        let bytes = sizes.bytes(&parts).to_string();
        host.log(Level::Info, &["rate_limit: the store holds at most ", &bytes, " bytes"].concat());
        let tells_upstream = filter.policies().any(|named| named.policy.tell_upstream);
        let policies_read_head = filter.policies().any(|named| named.policy.reads_head());
        let reads_head = filter.reads_request_head() || policies_read_head || tells_upstream;
        Ok(Self {
            filter,
            sizes,
            secret: None,
            leases: Leases::default(),
            heartbeat: Heartbeat::new(RateLimit::FILTER),
            occupancy,
            counts,
            reads_head,
            holds_streams,
            tells_upstream,
            counted,
            across,
        })
    }

    /// Whether [`Self::on_request`] wants the request's head; reading it is the dearest of all calls.
    pub fn reads_head(&self) -> bool {
        self.reads_head
    }

    /// The request's head is there; `None` where it isn't wanted, or can't be read.
    pub fn on_request<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        head: Option<&RequestHead>,
    ) -> Verdict<'a> {
        if self.tells_upstream {
            stream.upstream.strip_told(head);
        }
        let verdict = self.request(host, stream, head);
        stream.upstream.on(verdict)
    }

    fn request<H: StatefulHost>(
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
        let Named { policy, .. } = &*named;
        if let Some(head) = head.filter(|_| policy.mode == Mode::Enforce) {
            stream.upstream.strip(&OVERRIDES, head);
        }
        let is_redirected = self.counted.as_ref().is_some_and(|mark| redirect::was_counted(host, mark, head));
        let Some(secret) = self.secret(host) else { return self.without_store(host, &named) };
        if policy.holds_streams {
            if !self.hold_lease(host) {
                return self.without_store(host, &named);
            }
            stream.lease = self.leases.own();
        }
        let mut ruling = self.rule(host, &named, &secret, head, is_redirected);
        // What wasn't known counted as alive: ask again where that may have refused.
        if self.leases.look_up(host) && ruling.refuses {
            ruling = self.rule(host, &named, &secret, head, is_redirected);
        }
        self.counts.note(host, &ruling.seen);
        self.counts.said(host, named.index, &ruling.said);
        stream.taken = std::mem::take(&mut ruling.taken);
        if ruling.refuses {
            return self.refuse(host, stream, &named, &ruling, head);
        }
        if let (Some(mark), Mode::Enforce, false) = (&self.counted, policy.mode, is_redirected) {
            host.leave_record(mark, "1");
        }
        if let Some((place, standing)) = ruling.told.filter(|_| policy.announces()) {
            stream.told = Some((Rc::clone(&named), place, standing));
        }
        if let (Some(place), Some(standing), true) = (ruling.limit, ruling.standing, policy.tells_upstream())
            && let Some(limit) = policy.limits.get(place)
        {
            stream.upstream.tell(answer::standing(&limit.name, &standing));
        }
        if ruling.reason == decide::ADMITTED && !ruling.asks.is_empty() {
            return self.ask(host, stream, named, ruling, head);
        }
        self.settle(host, &named, &ruling, Verdict::Pass)
    }

    /// Refuses the request, and counts and records it.
    fn refuse<H: StatefulHost>(
        &self,
        host: &mut H,
        stream: &mut Stream,
        named: &Named<RateLimit>,
        ruling: &Ruling,
        head: Option<&RequestHead>,
    ) -> Verdict<'static> {
        stream.told = None;
        let read = if head.is_none() { host.request_head() } else { None };
        let details = ruling.reason.of(RateLimit::FILTER);
        let reply = answer::reply(&named.policy, ruling, head.or(read.as_ref()), details);
        self.settle(host, named, ruling, Verdict::Reply(reply))
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
            (Some(name), Some(standing)) => [" limit=", name, " left=", &u64::from(standing.left).to_string()].concat(),
            (Some(name), None) => [" limit=", name].concat(),
            (None, _) => String::new(),
        };
        self.filter.settle_with(host, named, ruling.reason, verdict, &note)
    }

    /// The response's head is there.
    pub fn on_response<'a>(
        &mut self,
        host: &mut impl StatefulHost,
        stream: &'a mut Stream,
        outcome: Option<Outcome>,
    ) -> Verdict<'a> {
        let mut told = stream.told.take();
        self.leave(host, stream);
        let named = match self.filter.policy(host, &mut stream.exchange) {
            Ok(Some(named)) => named,
            Ok(None) => return Verdict::Pass,
            Err(refusal) => return Verdict::Reply(refusal),
        };
        if let Some(Outcome::Status(status)) = outcome {
            let gives_back = |taken: &Taken| {
                named.policy.limits.get(taken.limit).is_some_and(|limit| limit.counted.gives_back(status))
            };
            if stream.taken.iter().any(gives_back) && outcome::is_of_the_upstream(&host.response_details()) {
                if let Some((_, place, standing)) = &mut told
                    && let Some(taken) = stream.taken.iter().find(|taken| taken.limit == *place && gives_back(taken))
                {
                    standing.regain(taken.claim.ask.cost);
                }
                self.give_back(host, stream, gives_back);
            }
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
        // What was counted under an id that was taken for dead is nobody's any more; another stream may have its place.
        if stream.lease == self.leases.own() {
            self.give_back(host, stream, |taken| matches!(taken.claim.ask.meter, Meter::InFlight(_)));
        }
    }

    pub fn on_tick(&mut self, host: &mut impl StatefulHost) {
        if self.holds_streams {
            self.leases.tick(host);
        }
        self.heartbeat.beat(host);
        if let Some(secret) = self.secret {
            self.secret = Some(secret::keep(host, secret));
            self.occupancy.sample(host, self.sizes, secret.check);
        }
    }

    fn rule<H: StatefulHost>(
        &self,
        host: &mut H,
        named: &Named<RateLimit>,
        secret: &Secret,
        head: Option<&RequestHead>,
        is_redirected: bool,
    ) -> Ruling {
        let around = Around { secret, sizes: self.sizes, leases: &self.leases, is_redirected };
        decide::decide(&named.policy, &named.name, &around, &mut Request::new(host, head))
    }

    /// Gives back those of the stream's takings that `which` chooses.
    fn give_back(&self, host: &mut impl StatefulHost, stream: &mut Stream, which: impl Fn(&Taken) -> bool) {
        let Some(secret) = self.secret.filter(|_| !stream.taken.is_empty()) else { return };
        let mut seen = Seen::default();
        let debtor = Debtor { leases: &self.leases, secret: secret.check };
        // The type that decisions use, too: the code behind it stands once in the module.
        let mut store = Request::new(host, None);
        stream.taken.retain(|taken| {
            let goes = which(taken);
            if goes {
                let back = debtor.refund(&mut store, taken, &mut seen);
                seen.kept_back += u32::from(back.is_err());
            }
            !goes
        });
        self.counts.note(host, &seen);
    }

    fn secret(&mut self, host: &mut impl StatefulHost) -> Option<Secret> {
        if self.secret.is_none() {
            self.secret = secret::share(host);
        }
        self.secret
    }

    /// Has an id under which streams in flight are counted; `false` where there is none to be had.
    fn hold_lease(&mut self, host: &mut impl StatefulHost) -> bool {
        if self.leases.own() != 0 {
            return true;
        }
        let mut random = [0; 4];
        host.random(&mut random).is_ok() && self.leases.hold(host, u32::from_le_bytes(random))
    }

    fn without_store(&self, host: &mut impl StatefulHost, named: &Named<RateLimit>) -> Verdict<'static> {
        let verdict = match named.policy.on_store_error {
            OnStoreError::Deny => Verdict::Reply(Reply::unavailable(decide::STORE_CLOSED.of(RateLimit::FILTER))),
            OnStoreError::Allow => Verdict::Pass,
        };
        self.filter.settle(host, named, decide::STORE_CLOSED, verdict)
    }
}
