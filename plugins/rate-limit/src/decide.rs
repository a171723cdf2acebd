//! Every decision of this filter: a request, what is known of it, the store and the time → what becomes of it.
//!
//! 1. A request that can be read in more than one way is refused where a limit asks for what is ambiguous.
//! 2. Each limit that is for the request names its key; what a missing or repeated part means is the limit's to say.
//! 3. All limits that enforce are taken, or none ([`crate::debit`]). Those in shadow are asked afterwards, one by one, and
//!    only of requests that pass: whatever they find out changes nothing for the others.
//! 4. The most restrictive limit speaks: of those that refuse, the one that refuses longest; otherwise the one with the
//!    smallest share left.
//! 5. Where all admit, a limit that holds across gateways gives what a service is to be asked ([`Asked`]).
//! 6. What was taken is remembered by the stream, to be given back by the response's status, or at its end.

use std::net::IpAddr;

use portcullis_kit::{mode::Mode, reason::Reason, store::Store};

use crate::{
    config::{
        Cost, Counted, Limit, MOST_LIMITS, Measure, OnStoreError, RateLimit, WhenFull, WhenMissing, WhenRepeated,
    },
    debit::{Claim, Moment, Seen, Trouble},
    key::{self, Facts, NoKey},
    meter::{Ask, Decision, Leases, Meter},
    pool::{self, Partition, Secret, Sizes},
    service::{LONGEST_BLOCK, SERVICE_FAILED, SERVICE_REFUSED},
};

/// Every limit that is for the request admits it.
pub const ADMITTED: Reason = Reason("admitted");
/// The proxy redirected the request inside; it counted when it came.
pub const COUNTED_BEFORE: Reason = Reason("counted_before");
/// No limit of the policy is for the request.
pub const NOT_LIMITED: Reason = Reason("not_limited");
/// A rate is spent: refused.
pub const QUOTA_SPENT: Reason = Reason("quota_spent");
/// As many streams as are allowed are in flight: refused.
pub const IN_FLIGHT_SPENT: Reason = Reason("in_flight_spent");
/// The key was refused before and stays blocked: refused.
pub const BLOCKED: Reason = Reason("blocked");
/// A part of the key is missing where the limit says `refuse`: refused.
pub const KEY_MISSING: Reason = Reason("key_missing");
/// A part of the key stands more than once where the limit says `refuse`: refused.
pub const KEY_REPEATED: Reason = Reason("key_repeated");
/// Path or host can be read in more than one way, or the head can't be read: refused.
pub const HEAD_AMBIGUOUS: Reason = Reason("head_ambiguous");
/// Every record that the key may use is held, and the limit says `refuse`: refused.
pub const STORE_FULL: Reason = Reason("store_full");
/// The store isn't open to this filter, or has no random bytes to begin with: refused, or let through by `on_store_error`.
pub const STORE_CLOSED: Reason = Reason("store_closed");
/// A value in the store isn't ours: refused, or let through by `on_store_error`.
pub const STORE_FOREIGN: Reason = Reason("store_foreign");
/// Too many races for one record were lost: refused, or let through by `on_store_error`.
pub const CONTENDED: Reason = Reason("contended");

pub const REASONS: &[Reason] = &[
    ADMITTED,
    COUNTED_BEFORE,
    NOT_LIMITED,
    QUOTA_SPENT,
    IN_FLIGHT_SPENT,
    BLOCKED,
    KEY_MISSING,
    KEY_REPEATED,
    HEAD_AMBIGUOUS,
    STORE_FULL,
    STORE_CLOSED,
    STORE_FOREIGN,
    CONTENDED,
    SERVICE_REFUSED,
    SERVICE_FAILED,
];

/// What the filter knows beside the policy and the request.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a, L> {
    pub secret: &'a Secret,
    pub sizes: Sizes,
    pub leases: &'a L,
    /// Nanoseconds since the epoch.
    pub now: u64,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct Ruling {
    pub reason: Reason,
    /// Whether it is to be refused.
    pub refuses: bool,
    /// The limit that speaks, by position.
    pub limit: Option<usize>,
    pub standing: Option<Standing>,
    /// What each limit said, by position; `None` where it wasn't asked.
    pub said: [Option<Said>; MOST_LIMITS],
    /// Everything that was taken where a service is asked, otherwise what may have to be given back.
    pub taken: Vec<Taken>,
    /// What a service must admit before the request goes on.
    pub asks: Vec<Asked>,
    pub seen: Seen,
}

/// A limit that holds across gateways, and admits here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Position of the limit.
    pub limit: usize,
    /// As the parts of the limit's key wrote it.
    pub key: Vec<u8>,
    pub cost: u32,
    /// What is blocked if the service refuses; `None` where the key has no record to itself.
    pub claim: Option<Claim>,
}

/// Where the caller stands with the limit that speaks. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub measure: Measure,
    pub left: u32,
    /// Until all is there again; for a refusal, until the same request can be admitted.
    pub whole_in: Option<u64>,
}

/// What one limit said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Admits,
    Refuses,
    Exempts,
    /// No record was free; what followed is the limit's `when_full`.
    Full,
}

/// What a stream took, and may give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Position of the limit.
    pub limit: usize,
    pub claim: Claim,
    pub at: u64,
    /// Whether the response's status decides if it is given back.
    pub by_status: bool,
}

/// A claim of a limit, with what it is told by.
struct Claimed {
    limit: usize,
    measure: Measure,
    by_status: bool,
    claim: Claim,
    /// The key, where a service is to be asked.
    across: Option<Vec<u8>>,
}

impl AsRef<Claim> for Claimed {
    fn as_ref(&self) -> &Claim {
        &self.claim
    }
}

impl Claimed {
    /// What the stream must remember of it, if anything.
    fn taken(&self, at: u64, all: bool) -> Option<Taken> {
        let ends = matches!(self.claim.ask.meter, Meter::InFlight(_));
        (all || self.by_status || ends).then_some(Taken {
            limit: self.limit,
            claim: self.claim,
            at,
            by_status: self.by_status,
        })
    }

    fn asked(&self, has_record: bool) -> Option<Asked> {
        let key = self.across.clone()?;
        Some(Asked { limit: self.limit, key, cost: self.claim.ask.cost, claim: has_record.then_some(self.claim) })
    }
}

/// Decides on a request.
pub fn decide<L: Leases>(
    policy: &RateLimit,
    name: &str,
    around: &Around<'_, L>,
    world: &mut (impl Facts + Store),
) -> Ruling {
    let mut ruling = Ruling {
        reason: NOT_LIMITED,
        refuses: false,
        limit: None,
        standing: None,
        said: [None; MOST_LIMITS],
        taken: Vec::new(),
        asks: Vec::new(),
        seen: Seen::default(),
    };
    let mut address = None;
    let mut enforced: Vec<Claimed> = Vec::with_capacity(policy.limits.len());
    let mut shadows: Vec<Claimed> = Vec::new();
    for (index, limit) in policy.limits.iter().enumerate().filter(|(_, limit)| limit.mode != Mode::Off) {
        match claim(limit, name, policy.mode, around, world, &mut address) {
            Ok(Claiming::Claim(measure, claim, key)) => {
                let by_status = limit.counted != Counted::All;
                let asks = limit.across_gateways && [policy.mode, limit.mode] == [Mode::Enforce; 2];
                let group = if limit.mode == Mode::Enforce { &mut enforced } else { &mut shadows };
                group.push(Claimed { limit: index, measure, by_status, claim, across: asks.then_some(key) });
            }
            Ok(Claiming::Exempt) => ruling.note(index, Said::Exempts),
            Ok(Claiming::NotForIt) => {}
            Err(reason) => {
                ruling.note(index, Said::Refuses);
                if limit.mode == Mode::Enforce {
                    return ruling.refused(reason, index);
                }
            }
        }
    }
    let moment = Moment { now: around.now, leases: around.leases, secret: around.secret.check };
    ruling.take(policy, name, around, &moment, world, enforced);
    if !ruling.refuses {
        for shadow in shadows {
            ruling.watch(&moment, world, shadow);
        }
    }
    ruling
}

enum Claiming {
    /// The last is the key.
    Claim(Measure, Claim, Vec<u8>),
    Exempt,
    NotForIt,
}

/// What a limit asks of the store for a request.
fn claim<L>(
    limit: &Limit,
    policy: &str,
    mode: Mode,
    around: &Around<'_, L>,
    facts: &mut impl Facts,
    address: &mut Option<Option<IpAddr>>,
) -> Result<Claiming, Reason> {
    let mut holds = |conditions: &crate::config::Conditions| {
        let client = if conditions.networks.is_empty() {
            None
        } else {
            *address.get_or_insert_with(|| key::address(&facts.client_address()))
        };
        conditions.hold(facts.head(), || client).map_err(|_| HEAD_AMBIGUOUS)
    };
    if let Some(when) = &limit.when
        && !holds(when)?
    {
        return Ok(Claiming::NotForIt);
    }
    for exempt in &limit.exempt {
        if holds(exempt)? {
            return Ok(Claiming::Exempt);
        }
    }
    let mut bytes = Vec::with_capacity(64);
    for part in &limit.key {
        match part.write(facts, limit.repeated == WhenRepeated::All, &mut bytes) {
            Ok(()) => {}
            Err(NoKey::Ambiguous) => return Err(HEAD_AMBIGUOUS),
            Err(NoKey::Repeated) => return Err(KEY_REPEATED),
            Err(NoKey::Missing) => match limit.missing {
                WhenMissing::Refuse => return Err(KEY_MISSING),
                WhenMissing::Skip => return Ok(Claiming::NotForIt),
                WhenMissing::Share => bytes.push(b'0'),
            },
        }
    }
    let listed = limit.overrides.iter().find(|known| known.key == bytes);
    let (measure, partition) = match listed {
        Some(known) => (known.measure, Partition::Reserved),
        None => (limit.measure, limit.partition()),
    };
    let cost = limit.cost.of(facts);
    let claim = limit.claim(policy, mode, around, measure, partition, &bytes, cost);
    Ok(Claiming::Claim(measure, claim, bytes))
}

impl Limit {
    #[allow(clippy::too_many_arguments)]
    fn claim<L>(
        &self,
        policy: &str,
        mode: Mode,
        around: &Around<'_, L>,
        measure: Measure,
        partition: Partition,
        key: &[u8],
        cost: u32,
    ) -> Claim {
        let meter = measure.meter;
        let Some(kind) = meter.kind() else {
            return Claim { ask: Ask { meter, block_for: 0, longest_block: 0, tag: 0, cost }, line: None };
        };
        let limit = [policy.as_bytes(), mode.name().as_bytes(), &self.identity];
        let place = pool::place(around.secret, around.sizes, kind, partition, limit, key);
        let block_for = self.block_for;
        let longest_block = if self.across_gateways { block_for.max(LONGEST_BLOCK) } else { block_for };
        Claim { ask: Ask { meter, block_for, longest_block, tag: place.tag, cost }, line: Some(place.line) }
    }
}

impl Cost {
    fn of(&self, facts: &impl Facts) -> u32 {
        let number = |name: &[u8]| {
            let text = facts.head()?.headers.single(name).ok()??;
            if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
                return None;
            }
            std::str::from_utf8(text).ok()?.parse::<u64>().ok()
        };
        match self {
            Self::Fixed(cost) => *cost,
            Self::Header { name, most } => clamp(number(name.as_bytes()).unwrap_or(u64::MAX), *most),
            Self::ContentLength { bytes, most } => {
                clamp(number(b"content-length").map_or(u64::MAX, |length| length.div_ceil(u64::from(*bytes))), *most)
            }
        }
    }
}

fn clamp(cost: u64, most: u32) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX).clamp(1, most)
}

impl Ruling {
    fn note(&mut self, limit: usize, said: Said) {
        if let Some(place) = self.said.get_mut(limit) {
            *place = Some(said);
        }
    }

    fn refused(mut self, reason: Reason, limit: usize) -> Self {
        (self.reason, self.refuses, self.limit) = (reason, true, Some(limit));
        self
    }

    /// Takes what the enforcing limits ask for, all or nothing.
    fn take<L: Leases>(
        &mut self,
        policy: &RateLimit,
        name: &str,
        around: &Around<'_, L>,
        moment: &Moment<'_, L>,
        store: &mut impl Store,
        mut claimed: Vec<Claimed>,
    ) {
        loop {
            if claimed.is_empty() {
                return;
            }
            let decisions = match moment.take(store, &claimed, &mut self.seen) {
                Ok(decisions) => decisions,
                Err(trouble) => {
                    self.reason = trouble.reason();
                    self.refuses = policy.on_store_error == OnStoreError::Deny;
                    return;
                }
            };
            // A key without a record is asked for once more, where its limit lets it share one.
            let full = decisions.iter().position(|decision| *decision == Decision::Full);
            if let Some(full) = full {
                let Some(Claimed { limit, claim, .. }) = claimed.get(full) else { return };
                let (index, cost) = (*limit, claim.ask.cost);
                let Some(limit) = policy.limits.get(index) else { return };
                let first = self.said.get(index) != Some(&Some(Said::Full));
                self.note(index, Said::Full);
                match limit.full {
                    WhenFull::Share if first => {
                        let (mode, measure) = (policy.mode, limit.measure);
                        let shared = limit.claim(name, mode, around, measure, Partition::Reserved, b"shared", cost);
                        if let Some(claimed) = claimed.get_mut(full) {
                            (claimed.claim, claimed.measure) = (shared, measure);
                        }
                    }
                    WhenFull::Admit => {
                        self.asks.extend(claimed.remove(full).asked(false));
                        self.reason = ADMITTED;
                    }
                    WhenFull::Share | WhenFull::Refuse => {
                        (self.reason, self.refuses, self.limit) = (STORE_FULL, true, Some(index));
                        return;
                    }
                }
                continue;
            }
            self.settle(&claimed, &decisions, moment.now);
            return;
        }
    }

    /// Lets the most restrictive limit speak.
    fn settle(&mut self, claimed: &[Claimed], decisions: &[Decision], now: u64) {
        let mut longest = None;
        for (claimed, decision) in claimed.iter().zip(decisions) {
            if let Decision::Refused { again_in, blocked, .. } = decision {
                if self.said.get(claimed.limit) != Some(&Some(Said::Full)) {
                    self.note(claimed.limit, Said::Refuses);
                }
                // One that can't tell is the longest.
                let wait = again_in.unwrap_or(u64::MAX);
                if longest.is_none_or(|longest| wait > longest) {
                    longest = Some(wait);
                    self.reason = match claimed.claim.ask.meter {
                        _ if *blocked => BLOCKED,
                        Meter::InFlight(_) => IN_FLIGHT_SPENT,
                        _ => QUOTA_SPENT,
                    };
                    (self.refuses, self.limit) = (true, Some(claimed.limit));
                    self.standing = Some(Standing { measure: claimed.measure, left: 0, whole_in: *again_in });
                }
            }
        }
        if self.refuses {
            return;
        }
        self.reason = ADMITTED;
        let asks = !self.asks.is_empty() || claimed.iter().any(|claimed| claimed.across.is_some());
        let mut smallest = u64::MAX;
        for (claimed, decision) in claimed.iter().zip(decisions) {
            let Decision::Admitted { left, whole_in } = decision else { continue };
            if self.said.get(claimed.limit) != Some(&Some(Said::Full)) {
                self.note(claimed.limit, Said::Admits);
            }
            self.taken.extend(claimed.taken(now, asks));
            self.asks.extend(claimed.asked(self.said.get(claimed.limit) != Some(&Some(Said::Full))));
            // The share that is left, in millionths.
            let share = u64::from(*left) * 1_000_000 / u64::from(claimed.measure.burst.max(1));
            if share < smallest {
                smallest = share;
                self.limit = Some(claimed.limit);
                self.standing = Some(Standing { measure: claimed.measure, left: *left, whole_in: Some(*whole_in) });
            }
        }
    }

    /// Asks a limit in shadow.
    fn watch<L: Leases>(&mut self, moment: &Moment<'_, L>, store: &mut impl Store, shadow: Claimed) {
        let decisions = moment.take(store, std::slice::from_ref(&shadow.claim), &mut self.seen);
        let said = match decisions.as_deref() {
            Ok([Decision::Admitted { .. }]) => {
                self.taken.extend(shadow.taken(moment.now, !self.asks.is_empty()));
                Said::Admits
            }
            Ok([Decision::Full]) => Said::Full,
            _ => Said::Refuses,
        };
        self.note(shadow.limit, said);
    }
}

impl Trouble {
    fn reason(self) -> Reason {
        match self {
            Self::Closed => STORE_CLOSED,
            Self::Foreign => STORE_FOREIGN,
            Self::Contended => CONTENDED,
        }
    }
}
