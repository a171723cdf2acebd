//! Every decision of this filter: a request, what is known of it, the store and the time → what becomes of it.
//!
//! 1. Each limit says what it asks of the store, or that it refuses, or isn't for the request ([`crate::claim`]).
//! 2. All limits that enforce are taken, or none ([`crate::debit`]). Those in shadow are asked afterwards, one by one, and
//!    only of requests that pass: whatever they find out changes nothing for the others.
//! 3. The most restrictive limit speaks: of those that refuse, the one that refuses longest; otherwise the one with the
//!    smallest share left.
//! 4. Where all admit, a limit that holds across gateways gives what a service is to be asked ([`Asked`]).
//! 5. What was taken is remembered by the stream, to be given back by the response's status, or at its end.
//! 6. A request that the proxy redirected inside is counted once by rates. Its stream takes its place in flight anew: the
//!    first one gave it back.

use portcullis_kit::{host::Clock, mode::Mode, reason::Reason, store::Store};

use crate::{
    claim::{Claimed, Claiming, Claims},
    config::{Limit, MOST_LIMITS, Measure, OnStoreError, RateLimit, WhenFull},
    debit::{Answered, Claim, Debtor, Seen, Taken, Trouble},
    key::Facts,
    meter::{Decision, Leases, Meter},
    pool::{Secret, Sizes},
    service::{SERVICE_FAILED, SERVICE_REFUSED},
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
/// The store isn't open to this filter, has no random bytes to begin with, or no room for one more VM that counts streams:
/// refused, or let through by `on_store_error`.
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
    /// The proxy redirected the request inside: rates counted it when it came, and only its stream is new.
    pub is_redirected: bool,
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
    /// The limit that the caller is told of, where it isn't refused: the most restrictive of those that count it alone.
    pub told: Option<(usize, Standing)>,
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

impl Standing {
    /// What the request cost is given back.
    pub fn regain(&mut self, cost: u32) {
        self.left = self.left.saturating_add(cost).min(self.measure.burst);
        // When all is there again, only the store knows now.
        self.whole_in = None;
    }
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

/// Decides on a request.
pub fn decide<L: Leases>(
    policy: &RateLimit,
    name: &str,
    around: &Around<'_, L>,
    world: &mut (impl Facts + Store + Clock),
) -> Ruling {
    let mut ruling = Ruling {
        reason: if around.is_redirected { COUNTED_BEFORE } else { NOT_LIMITED },
        refuses: false,
        limit: None,
        standing: None,
        told: None,
        said: [None; MOST_LIMITS],
        taken: Vec::new(),
        asks: Vec::new(),
        seen: Seen::default(),
    };
    let mut claims = Claims { policy, name, around, world };
    let mut enforced: Vec<Claimed> = Vec::with_capacity(policy.limits.len());
    let mut shadows: Vec<Claimed> = Vec::new();
    let counts = |limit: &Limit| limit.mode != Mode::Off && (!around.is_redirected || limit.holds_streams());
    for (index, limit) in policy.limits.iter().enumerate().filter(|(_, limit)| counts(limit)) {
        match claims.of(index, limit) {
            Ok(Claiming::Claim(claimed)) => {
                if limit.mode == Mode::Enforce { &mut enforced } else { &mut shadows }.push(claimed);
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
    let debtor = Debtor { leases: around.leases, secret: around.secret.check };
    ruling.take(&mut claims, &debtor, enforced);
    if !ruling.refuses {
        for shadow in shadows {
            ruling.watch(&debtor, claims.world, &shadow);
        }
    }
    ruling
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
    fn take<L: Leases, W: Facts + Store + Clock>(
        &mut self,
        claims: &mut Claims<'_, '_, L, W>,
        debtor: &Debtor<'_, L>,
        mut claimed: Vec<Claimed>,
    ) {
        while !claimed.is_empty() {
            let answers = match debtor.take(claims.world, &claimed, &mut self.seen) {
                Ok(answers) => answers,
                Err(trouble) => {
                    self.reason = trouble.reason();
                    self.refuses = claims.policy.on_store_error == OnStoreError::Deny;
                    return;
                }
            };
            // A key without a record is asked for once more, where its limit lets it share one.
            let full = answers.iter().position(|answer| answer.decision == Decision::Full);
            let Some((full, without)) = full.and_then(|full| Some((full, claimed.get_mut(full)?))) else {
                self.settle(&claimed, &answers);
                return;
            };
            let index = without.limit;
            self.note(index, Said::Full);
            if claims.share(without) {
                continue;
            }
            if claims.policy.limits.get(index).is_none_or(|limit| limit.full != WhenFull::Admit) {
                (self.reason, self.refuses, self.limit) = (STORE_FULL, true, Some(index));
                return;
            }
            self.asks.extend(claimed.remove(full).asked(false));
            self.reason = ADMITTED;
        }
    }

    /// Lets the most restrictive limit speak.
    fn settle(&mut self, claimed: &[Claimed], answers: &[Answered]) {
        let mut longest = None;
        for (claimed, answer) in claimed.iter().zip(answers) {
            let Decision::Refused { again_in, blocked, .. } = answer.decision else { continue };
            if !claimed.is_shared {
                self.note(claimed.limit, Said::Refuses);
            }
            // One that can't tell is the longest.
            let wait = again_in.unwrap_or(u64::MAX);
            if longest.is_none_or(|longest| wait > longest) {
                longest = Some(wait);
                self.reason = match claimed.claim.ask.meter {
                    _ if blocked => BLOCKED,
                    Meter::InFlight(_) => IN_FLIGHT_SPENT,
                    _ => QUOTA_SPENT,
                };
                (self.refuses, self.limit) = (true, Some(claimed.limit));
                self.standing = Some(Standing { measure: claimed.measure, left: 0, whole_in: again_in });
            }
        }
        if self.refuses {
            return;
        }
        if self.reason == NOT_LIMITED {
            self.reason = ADMITTED;
        }
        let asks = !self.asks.is_empty() || claimed.iter().any(|claimed| claimed.across.is_some());
        let (mut smallest, mut smallest_told) = (u64::MAX, u64::MAX);
        for (claimed, answer) in claimed.iter().zip(answers) {
            let Decision::Admitted { left, whole_in } = answer.decision else { continue };
            if !claimed.is_shared {
                self.note(claimed.limit, Said::Admits);
            }
            self.taken.extend(claimed.taken(answer, asks));
            self.asks.extend(claimed.asked(!claimed.is_shared));
            // The share that is left, in millionths.
            let share = u64::from(left) * 1_000_000 / u64::from(claimed.measure.burst.max(1));
            let standing = Standing { measure: claimed.measure, left, whole_in: Some(whole_in) };
            if share < smallest {
                smallest = share;
                (self.limit, self.standing) = (Some(claimed.limit), Some(standing));
            }
            if claimed.is_callers_own && share < smallest_told {
                smallest_told = share;
                self.told = Some((claimed.limit, standing));
            }
        }
    }

    /// Asks a limit in shadow.
    fn watch<L: Leases>(&mut self, debtor: &Debtor<'_, L>, store: &mut (impl Store + Clock), shadow: &Claimed) {
        let answers = debtor.take(store, std::slice::from_ref(shadow), &mut self.seen);
        let said = match answers.as_deref() {
            Ok([answer @ Answered { decision: Decision::Admitted { .. }, .. }]) => {
                self.taken.extend(shadow.taken(answer, !self.asks.is_empty()));
                Said::Admits
            }
            Ok([Answered { decision: Decision::Full, .. }]) => Said::Full,
            _ => Said::Refuses,
        };
        self.note(shadow.limit, said);
    }
}

impl Claimed {
    /// What the stream must remember of it, if anything.
    fn taken(&self, answer: &Answered, all: bool) -> Option<Taken> {
        let ends = matches!(self.claim.ask.meter, Meter::InFlight(_));
        (all || self.by_status || ends).then_some(Taken {
            limit: self.limit,
            claim: self.claim,
            at: answer.at,
            whole_at: answer.whole_at(),
            by_status: self.by_status,
        })
    }

    fn asked(&self, has_record: bool) -> Option<Asked> {
        let key = self.across.clone()?;
        Some(Asked { limit: self.limit, key, cost: self.claim.ask.cost, claim: has_record.then_some(self.claim) })
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
