//! What each limit asks of the store for a request: nothing, or so much of a key's record.
//!
//! 1. A limit that isn't for the request, or exempts it, asks nothing.
//! 2. What can be read in more than one way is refused, where the limit asks for it.
//! 3. What a missing or repeated part of the key means is the limit's to say.

use portcullis_kit::{mode::Mode, reason::Reason};

use crate::{
    config::{Conditions, Cost, Counted, Limit, Measure, RateLimit, WhenFull, WhenMissing, WhenRepeated},
    debit::Claim,
    decide::{Around, HEAD_AMBIGUOUS, KEY_MISSING, KEY_REPEATED},
    key::{Facts, NoKey},
    meter::Ask,
    pool::{self, Partition},
    service::LONGEST_BLOCK,
};

/// The request of a policy, as far as it was looked at.
pub struct Claims<'a, 'w, L, W> {
    pub policy: &'a RateLimit,
    pub name: &'a str,
    pub around: &'a Around<'a, L>,
    pub world: &'w mut W,
}

/// A claim of a limit, with what it is told by.
pub struct Claimed {
    /// Position of the limit.
    pub limit: usize,
    pub measure: Measure,
    pub claim: Claim,
    /// Whether the response's status decides if it is given back.
    pub by_status: bool,
    /// The key, where a service is to be asked.
    pub across: Option<Vec<u8>>,
    /// No record was free for its key: it shares one.
    pub is_shared: bool,
    /// Whether the caller alone is counted there, at a rate: then it may be told.
    pub is_callers_own: bool,
}

impl AsRef<Claim> for Claimed {
    fn as_ref(&self) -> &Claim {
        &self.claim
    }
}

/// What a limit has to say before the store is asked.
pub enum Claiming {
    Claim(Claimed),
    Exempt,
    NotForIt,
}

impl<L, W: Facts> Claims<'_, '_, L, W> {
    /// What the limit at `index` claims.
    ///
    /// # Errors
    /// The request is refused.
    pub fn of(&mut self, index: usize, limit: &Limit) -> Result<Claiming, Reason> {
        if let Some(when) = &limit.when
            && !self.hold(when)?
        {
            return Ok(Claiming::NotForIt);
        }
        for exempt in &limit.exempt {
            if self.hold(exempt)? {
                return Ok(Claiming::Exempt);
            }
        }
        let mut named = self.named(limit);
        let start = named.len();
        let mut is_callers_own = limit.measure.rate.is_some() && limit.is_of_the_caller();
        for part in &limit.key {
            match part.write(self.world, limit.repeated == WhenRepeated::All, &mut named) {
                Ok(()) => {}
                Err(NoKey::Ambiguous) => return Err(HEAD_AMBIGUOUS),
                Err(NoKey::Repeated) => return Err(KEY_REPEATED),
                Err(NoKey::Missing) => match limit.missing {
                    WhenMissing::Refuse => return Err(KEY_MISSING),
                    WhenMissing::Skip => return Ok(Claiming::NotForIt),
                    WhenMissing::Share => {
                        named.push(b'0');
                        is_callers_own = false;
                    }
                },
            }
        }
        let key = named.get(start..).unwrap_or_default();
        let listed = limit.overrides.iter().find(|known| known.key == key);
        let (measure, partition) =
            listed.map_or((limit.measure, limit.partition), |known| (known.measure, Partition::Reserved));
        let asks = limit.across_gateways && [self.policy.mode, limit.mode] == [Mode::Enforce; 2];
        let across = asks.then(|| key.to_vec());
        let claim = self.claim(limit, measure, partition, &named, limit.cost.of(self.world));
        let by_status = limit.counted != Counted::All;
        Ok(Claiming::Claim(Claimed {
            limit: index,
            measure,
            claim,
            by_status,
            across,
            is_shared: false,
            is_callers_own,
        }))
    }

    fn hold(&mut self, conditions: &Conditions) -> Result<bool, Reason> {
        let fit = conditions.fit_head(self.world.head()).map_err(|_| HEAD_AMBIGUOUS)?;
        Ok(fit && (!conditions.reads_address() || conditions.fit_address(self.world.client_address())))
    }

    /// Lets a key for which no record is free have one together with all such keys; `false` where the limit doesn't.
    pub fn share(&self, claimed: &mut Claimed) -> bool {
        let Some(limit) = self.policy.limits.get(claimed.limit) else { return false };
        if claimed.is_shared || limit.full != WhenFull::Share {
            return false;
        }
        (claimed.is_shared, claimed.is_callers_own) = (true, false);
        claimed.measure = limit.measure;
        let mut named = self.named(limit);
        named.extend(b"shared");
        claimed.claim = self.claim(limit, limit.measure, Partition::Reserved, &named, claimed.claim.ask.cost);
        true
    }

    /// What makes the limit known, to be followed by the key; the length keeps policies apart.
    fn named(&self, limit: &Limit) -> Vec<u8> {
        let mut named = Vec::with_capacity(96);
        named.extend(limit.identity);
        named.extend(self.policy.mode.name().as_bytes());
        named.extend((self.name.len() as u32).to_le_bytes());
        named.extend(self.name.as_bytes());
        named
    }

    /// `named`: the limit and the key.
    fn claim(&self, limit: &Limit, measure: Measure, partition: Partition, named: &[u8], cost: u32) -> Claim {
        let meter = measure.meter;
        let Some(kind) = meter.kind() else {
            return Claim { ask: Ask { meter, block_for: 0, longest_block: 0, tag: 0, cost }, line: None };
        };
        let place = pool::place(self.around.secret, self.around.sizes, kind, partition, named);
        let block_for = limit.block_for;
        let longest_block = if limit.across_gateways { block_for.max(LONGEST_BLOCK) } else { block_for };
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
