//! From a policy as it is written to one that can't be wrong.
//!
//! What is written is taken by reference and left in pieces to whoever owns it: with an owned value, each error would bring
//! code that drops the rest, half of all code here.

use portcullis_kit::{
    config::ConfigError,
    mode::Mode,
    policies::path::{self, Template},
};

use super::{
    Conditions, Cost, Counted, HeaderIs, Limit, Measure, Override, RateLimit, Statuses,
    raw::{Algorithm, RawConditions, RawCost, RawHeaderIs, RawLimit, RawOverride, RawRateLimit},
};
use crate::{
    address::Cidr,
    key::{self, Part},
    meter::Meter,
    pool::{self, Partition},
    rate::{LONGEST, Rate, Span},
    service,
};

/// Limits in one policy.
pub const MOST_LIMITS: usize = 16;
const MOST_OVERRIDES: usize = 256;
const MOST_COST: u32 = 1_000_000;

impl TryFrom<RawRateLimit> for RateLimit {
    type Error = ConfigError;

    fn try_from(mut raw: RawRateLimit) -> Result<Self, ConfigError> {
        policy(&mut raw)
    }
}

fn policy(raw: &mut RawRateLimit) -> Result<RateLimit, ConfigError> {
    if raw.limits.is_empty() && raw.mode != Mode::Off || raw.limits.len() > MOST_LIMITS {
        return Err(ConfigError::new("a policy has 1 to 16 limits; one without has `mode: off`").under("limits"));
    }
    for (index, limit) in raw.limits.iter().enumerate() {
        if raw.limits.iter().take(index).any(|earlier| earlier.name == limit.name) {
            let error = ConfigError::new(format!("another limit is called `{}`", limit.name));
            return Err(error.under("name").at(index).under("limits"));
        }
    }
    let mut limits = Vec::new();
    each("limits", &mut raw.limits, &mut limits, limit)?;
    let refusal = raw.refusal.take().unwrap_or_default().try_into();
    let refusal = refusal.map_err(|error: ConfigError| error.under("refusal"))?;
    Ok(RateLimit {
        mode: raw.mode,
        announce: raw.announce,
        tell_upstream: raw.tell_upstream,
        on_store_error: raw.on_store_error,
        refusal,
        holds_streams: limits.iter().any(Limit::holds_streams),
        limits,
    })
}

/// Reads every entry of a field into `list`.
fn each<T, U>(
    field: &str,
    entries: impl IntoIterator<Item = T>,
    list: &mut Vec<U>,
    read: impl Fn(T) -> Result<U, ConfigError>,
) -> Result<(), ConfigError> {
    for entry in entries {
        match read(entry) {
            Ok(read) => list.push(read),
            Err(error) => return Err(placed(error, list.len(), field)),
        }
    }
    Ok(())
}

#[inline(never)]
fn placed(error: ConfigError, index: usize, field: &str) -> ConfigError {
    error.at(index).under(field)
}

fn limit(raw: &mut RawLimit) -> Result<Limit, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if !(1..=64).contains(&raw.name.len()) || !raw.name.bytes().all(plain) {
        let why = "a limit's name is 1 to 64 lower-case letters, digits, `-` and `_`";
        return Err(ConfigError::new(why).under("name"));
    }
    let measure = measure(raw.rate, raw.burst, raw.in_flight, raw.algorithm)?;
    let mut limit = Limit {
        identity: identity(raw, &measure),
        name: std::mem::take(&mut raw.name),
        mode: raw.mode,
        measure,
        partition: raw.key.iter().map(Part::partition).max().unwrap_or(Partition::Reserved),
        key: std::mem::take(&mut raw.key),
        missing: raw.when_missing,
        repeated: raw.when_repeated,
        full: raw.when_full,
        when: None,
        exempt: Vec::new(),
        overrides: Vec::new(),
        cost: Cost::Fixed(1),
        counted: Counted::All,
        block_for: raw.block_for.map_or(0, |Span(span)| span),
        across_gateways: raw.across_gateways,
    };
    check(raw, &mut limit)?;
    Ok(limit)
}

/// Reads into the limit what can be wrong.
fn check(raw: &RawLimit, limit: &mut Limit) -> Result<(), ConfigError> {
    let measure = limit.measure;
    if let Some(raw) = &raw.r#match {
        limit.when = Some(conditions(raw, false).map_err(|error| error.under("match"))?);
    }
    each("exempt", &raw.exempt, &mut limit.exempt, |raw| conditions(raw, true))?;
    if raw.overrides.len() > MOST_OVERRIDES {
        return Err(ConfigError::new("more than 256").under("overrides"));
    }
    let in_flight = raw.in_flight.is_some();
    let known = |known| known_key(known, &limit.key, raw.algorithm, in_flight);
    each("overrides", &raw.overrides, &mut limit.overrides, known)?;
    limit.counted = counted(&raw.count_status, &raw.refund_status)?;
    if let Some(raw) = &raw.cost {
        limit.cost = cost(raw).map_err(|error| error.under("cost"))?;
    }
    if measure.rate.is_none() {
        let of_rates = [
            ("block_for", raw.block_for.is_some()),
            ("count_status", limit.counted != Counted::All),
            ("cost", limit.cost != Cost::Fixed(1)),
            ("burst", raw.burst.is_some()),
            ("across_gateways", raw.across_gateways),
        ];
        if let Some((field, _)) = of_rates.iter().find(|(_, is_set)| *is_set) {
            return Err(ConfigError::new("belongs to a `rate`; streams in flight have none").under(field));
        }
    }
    if raw.across_gateways {
        service::descriptor::check(&limit.key, &limit.counted)?;
    }
    let most = match limit.cost {
        Cost::Fixed(cost) => cost,
        Cost::Header { most, .. } | Cost::ContentLength { most, .. } => most,
    };
    let bursts = limit.overrides.iter().map(|known| known.measure.burst).chain([measure.burst]);
    if bursts.filter(|burst| *burst > 0).any(|burst| most > burst) {
        return Err(ConfigError::new("can be more than a whole burst, and then nothing would ever pass").under("cost"));
    }
    for (place, part) in limit.key.iter().enumerate() {
        if limit.key.iter().take(place).any(|earlier| earlier == part) {
            return Err(placed(ConfigError::new("stands twice in the key"), place, "key"));
        }
    }
    for (place, known) in limit.overrides.iter().enumerate() {
        if limit.overrides.iter().take(place).any(|earlier| earlier.key == known.key) {
            return Err(placed(ConfigError::new("is for a key that has an override already"), place, "overrides"));
        }
    }
    Ok(())
}

/// What makes it the same limit in another configuration, beside the policy's name.
fn identity(raw: &RawLimit, measure: &Measure) -> [u8; 16] {
    let kind = measure.meter.kind().map_or(b'0', crate::line::Kind::letter);
    // The length of a window is part of what its counts mean.
    let window = measure.rate.filter(|_| kind == b'w').map_or(0, |rate| rate.per);
    let mut identity = raw.name.clone().into_bytes();
    identity.extend([0, kind]);
    identity.extend(window.to_le_bytes());
    raw.key.iter().for_each(|part| part.write_identity(&mut identity));
    identity.extend(raw.mode.name().as_bytes());
    pool::digest(&identity)
}

fn measure(
    rate: Option<Rate>,
    burst: Option<u32>,
    in_flight: Option<u32>,
    algorithm: Algorithm,
) -> Result<Measure, ConfigError> {
    match (rate, in_flight) {
        (None, Some(most)) => Ok(Measure { meter: Meter::InFlight(most), rate: None, burst: most }),
        (Some(rate), None) => {
            let meter = match (algorithm, burst) {
                (Algorithm::SlidingWindow, Some(_)) => {
                    return Err(ConfigError::new("a sliding window has no burst beside its rate").under("burst"));
                }
                (Algorithm::SlidingWindow, None) => Meter::window(rate),
                (Algorithm::TokenBucket, burst) => Meter::bucket(rate, burst.unwrap_or(rate.requests)),
            };
            let burst = burst.unwrap_or(rate.requests);
            if burst == 0 && rate.requests > 0 {
                return Err(ConfigError::new("nothing would ever pass; for that, write `rate: 0`").under("burst"));
            }
            if let Meter::Bucket(bucket) = meter
                && bucket.ahead() > LONGEST
            {
                return Err(ConfigError::new("takes more than seven days to be whole again").under("burst"));
            }
            Ok(Measure { meter, rate: Some(rate), burst })
        }
        _ => Err(ConfigError::new("give it either `rate` or `in_flight`")),
    }
}

fn known_key(raw: &RawOverride, key: &[Part], algorithm: Algorithm, in_flight: bool) -> Result<Override, ConfigError> {
    if raw.key.len() != key.len() || key.is_empty() {
        let why = format!("has {} values, the limit's key has {} parts", raw.key.len(), key.len());
        return Err(ConfigError::new(why).under("key"));
    }
    if raw.in_flight.is_some() != in_flight {
        return Err(ConfigError::new("measures what the limit doesn't: both have `rate`, or both `in_flight`"));
    }
    let measure = measure(raw.rate, raw.burst, raw.in_flight, algorithm)?;
    let mut written = Vec::new();
    for (index, (text, part)) in raw.key.iter().zip(key).enumerate() {
        part.write_listed(text, &mut written).map_err(|error| error.at(index).under("key"))?;
    }
    Ok(Override { key: written, measure })
}

fn conditions(raw: &RawConditions, is_exemption: bool) -> Result<Conditions, ConfigError> {
    let mut conditions = Conditions::default();
    read_conditions(raw, is_exemption, &mut conditions)?;
    Ok(conditions)
}

fn read_conditions(raw: &RawConditions, is_exemption: bool, conditions: &mut Conditions) -> Result<(), ConfigError> {
    let method = |method: &String| {
        let is_one = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let error = || ConfigError::new("is no method: capital letters, as in `GET`");
        is_one.then(|| method.clone()).ok_or_else(error)
    };
    let header = |header: &RawHeaderIs| {
        if is_exemption && !header.stripped_from_clients {
            let why = "anybody could exempt himself by sending it; have the edge strip it, and say so with \
                       `stripped_from_clients: true`";
            return Err(ConfigError::new(why));
        }
        Ok(HeaderIs { name: key::header_name(&header.name)?, exact: header.exact.clone() })
    };
    each("method", &raw.method, &mut conditions.methods, method)?;
    each("path_template", &raw.path_template, &mut conditions.paths, |text| Template::new(text))?;
    each("host", &raw.host, &mut conditions.hosts, |text| path::wanted_host(text))?;
    each("header", &raw.header, &mut conditions.headers, header)?;
    each("remote_address", &raw.remote_address, &mut conditions.networks, |text| Cidr::new(text))?;
    if !conditions.reads_head() && conditions.networks.is_empty() {
        return Err(ConfigError::new("no condition, so it would match everything; leave it out"));
    }
    Ok(())
}

fn cost(raw: &RawCost) -> Result<Cost, ConfigError> {
    let most = raw.most.unwrap_or(MOST_COST);
    if !(1..=MOST_COST).contains(&most) {
        return Err(ConfigError::new("is not 1 to 1 000 000").under("most"));
    }
    let cost = match (raw.fixed, &raw.header, raw.content_length_per) {
        (Some(fixed), None, None) if raw.most.is_none() && (1..=MOST_COST).contains(&fixed) => {
            return Ok(Cost::Fixed(fixed));
        }
        (Some(_), None, None) => {
            return Err(ConfigError::new("is 1 to 1 000 000, and has no `most`").under("fixed"));
        }
        (None, Some(name), None) => {
            Cost::Header { name: key::header_name(name).map_err(|error| error.under("header"))?, most }
        }
        (None, None, Some(bytes)) if bytes > 0 => Cost::ContentLength { bytes, most },
        _ => return Err(ConfigError::new("give it one of `fixed`, `header`, `content_length_per`")),
    };
    match raw.most {
        Some(_) => Ok(cost),
        None => Err(ConfigError::new("needs `most`: what a request costs that doesn't tell").under("most")),
    }
}

fn counted(only: &[String], all_but: &[String]) -> Result<Counted, ConfigError> {
    let mut list = Vec::new();
    match (only, all_but) {
        ([], []) => Ok(Counted::All),
        (only, []) => {
            each("count_status", only, &mut list, statuses)?;
            Ok(Counted::Only(list))
        }
        ([], all_but) => {
            each("refund_status", all_but, &mut list, statuses)?;
            Ok(Counted::AllBut(list))
        }
        _ => Err(ConfigError::new("`count_status` gives all others back already; take one of the two")
            .under("refund_status")),
    }
}

/// `401`, `5xx`.
#[allow(clippy::ptr_arg)]
fn statuses(text: &String) -> Result<Statuses, ConfigError> {
    let digit = |byte: u8| u16::from(byte - b'0');
    let (first, last) = match text.as_bytes() {
        [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => (digit(*class) * 100, digit(*class) * 100 + 99),
        [class @ b'1'..=b'5', ten @ b'0'..=b'9', one @ b'0'..=b'9'] => {
            let status = digit(*class) * 100 + digit(*ten) * 10 + digit(*one);
            (status, status)
        }
        _ => return Err(ConfigError::new(format!("`{text}` is no status; write `401` or `5xx`"))),
    };
    Ok(Statuses { first, last })
}
