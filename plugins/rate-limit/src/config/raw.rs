//! A policy as it is written.

use portcullis_kit::{
    config::ConfigError,
    mode::Mode,
    policies::path::{self, Template},
    refusal::RawRefusal,
};
use serde::Deserialize;

use super::{Conditions, Cost, Counted, HeaderIs, Limit, Measure, Override, RateLimit, Statuses};
use crate::{
    key::{Cidr, Part, RawPart},
    meter::Meter,
    rate::{LONGEST, Rate, Span},
    service,
};

/// A policy of rate limits, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawRateLimit {
    /// `enforce` acts, `shadow` counts and records what it would do, `off` does nothing.
    #[serde(default)]
    pub mode: Mode,
    /// 1 to 16. A request must meet all of them, and counts in all or in none.
    pub limits: Vec<RawLimit>,
    /// The headers that tell a client where it stands.
    #[serde(default)]
    pub announce: Announce,
    /// What becomes of a request when the store can't be used.
    #[serde(default)]
    pub on_store_error: OnStoreError,
    /// What a refused client is told. Default: 429 with problem JSON or a line of text.
    #[serde(default)]
    pub refusal: Option<RawRefusal>,
}

/// How many records there are of each part, for each kind of limit in use; rounded up to whole lines. 1 to 1 048 576.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawStore {
    /// For keys that no client can make up. Default: 1024.
    #[serde(default = "reserved")]
    pub reserved: u32,
    /// For keys with an address. Default: 16384.
    #[serde(default = "many")]
    pub addresses: u32,
    /// For keys that anybody can make up: headers, cookies, paths. Default: 16384.
    #[serde(default = "many")]
    pub invented: u32,
}

impl Default for RawStore {
    fn default() -> Self {
        Self { reserved: reserved(), addresses: many(), invented: many() }
    }
}

fn reserved() -> u32 {
    1024
}

fn many() -> u32 {
    16_384
}

/// Which headers tell a client where it stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Announce {
    /// None but `Retry-After` on a refusal.
    Off,
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
    XRatelimit,
    /// All of them.
    Both,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Answer 503.
    #[default]
    Deny,
    /// Let it pass; counted.
    Allow,
}

/// One limit, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawLimit {
    /// 1 to 64 lower-case letters, digits, `-` and `_`; stands in metrics, records and answers.
    pub name: String,
    /// `shadow` counts for itself and never has a say.
    #[serde(default)]
    pub mode: Mode,
    /// `100/min`, `10/15min`; `0` for never. This or `in_flight`.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How many at once. Default: as many as the rate names.
    #[serde(default)]
    pub burst: Option<u32>,
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Requests and upgraded streams at the same time. This or `rate`.
    #[serde(default)]
    pub in_flight: Option<u32>,
    /// By what is counted. Default: one count for all.
    #[serde(default)]
    pub key: Vec<RawPart>,
    #[serde(default)]
    pub when_missing: WhenMissing,
    #[serde(default)]
    pub when_repeated: WhenRepeated,
    #[serde(default)]
    pub when_full: WhenFull,
    /// Which requests it is for. Default: all.
    #[serde(default)]
    pub r#match: Option<RawConditions>,
    /// Requests that it isn't for.
    #[serde(default)]
    pub exempt: Vec<RawConditions>,
    /// Other measures for single keys. They have records of their own, which no stranger can take.
    #[serde(default)]
    pub overrides: Vec<RawOverride>,
    #[serde(default)]
    pub cost: Option<RawCost>,
    /// Count only requests whose response has such a status: `401`, `5xx`. The others are given back.
    #[serde(default)]
    pub count_status: Vec<String>,
    /// Give back requests whose response has such a status.
    #[serde(default)]
    pub refund_status: Vec<String>,
    /// Refuse a key for so long once it was refused.
    #[serde(default)]
    pub block_for: Option<Span>,
    /// Ask the `service`, too, whether the key may pass: it counts for all gateways together.
    #[serde(default)]
    pub across_gateways: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Lets `burst` through at once and holds the rate over time.
    #[default]
    TokenBucket,
    /// Never more than the rate's number in any stretch of its time.
    SlidingWindow,
}

/// What becomes of a request without the key.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenMissing {
    /// All such requests have one count together.
    #[default]
    Share,
    Refuse,
    /// The limit isn't for it.
    Skip,
}

/// What becomes of a request that has a part of the key more than once.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenRepeated {
    #[default]
    Refuse,
    /// All values together are the key.
    All,
}

/// What becomes of a new key when every record that it may use is held by another.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// All such keys have one count together.
    #[default]
    Share,
    Refuse,
    Admit,
}

/// All conditions that are given must hold; one at least is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawConditions {
    /// One of these, in capital letters.
    #[serde(default)]
    pub method: Vec<String>,
    /// One of these: `/api/novel/:id`, `/files/*`.
    #[serde(default)]
    pub path_template: Vec<String>,
    /// One of these, without port; `*.example.com` for every name below it.
    #[serde(default)]
    pub host: Vec<String>,
    /// All of these.
    #[serde(default)]
    pub header: Vec<RawHeaderIs>,
    /// One of these: `10.0.0.0/8`, `::1`; the client that the proxy trusts.
    #[serde(default)]
    pub remote_address: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawHeaderIs {
    pub name: String,
    /// Default: any value.
    #[serde(default)]
    pub exact: Option<String>,
    /// In an exemption: the edge takes this header out of what clients send, before this filter. Without that, anybody
    /// could exempt himself.
    #[serde(default)]
    pub stripped_from_clients: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawOverride {
    /// The value of each part of the key, in its order.
    pub key: Vec<String>,
    #[serde(default)]
    pub rate: Option<Rate>,
    #[serde(default)]
    pub burst: Option<u32>,
    #[serde(default)]
    pub in_flight: Option<u32>,
}

/// What a request costs: one of these.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawCost {
    /// So much, 1 to 1 000 000.
    #[serde(default)]
    pub fixed: Option<u32>,
    /// The number in this request header.
    #[serde(default)]
    pub header: Option<String>,
    /// One for each so many bytes of `content-length`, or part of them.
    #[serde(default)]
    pub content_length_per: Option<u32>,
    /// The most that a header or a length may ask for, and what a request without either costs.
    #[serde(default)]
    pub most: Option<u32>,
}

/// Limits in one policy.
pub const MOST_LIMITS: usize = 16;
const MOST_OVERRIDES: usize = 256;
const MOST_COST: u32 = 1_000_000;

impl TryFrom<RawRateLimit> for RateLimit {
    type Error = ConfigError;

    fn try_from(raw: RawRateLimit) -> Result<Self, ConfigError> {
        if raw.limits.is_empty() && raw.mode != Mode::Off || raw.limits.len() > MOST_LIMITS {
            return Err(ConfigError::new("a policy has 1 to 16 limits; one without has `mode: off`").under("limits"));
        }
        let mut limits: Vec<Limit> = Vec::new();
        for (index, raw) in raw.limits.into_iter().enumerate() {
            let limit = limit(raw).map_err(|error| error.at(index).under("limits"))?;
            if limits.iter().any(|earlier| earlier.name == limit.name) {
                let error = ConfigError::new(format!("another limit is called `{}`", limit.name));
                return Err(error.under("name").at(index).under("limits"));
            }
            limits.push(limit);
        }
        let refusal =
            raw.refusal.unwrap_or_default().try_into().map_err(|error: ConfigError| error.under("refusal"))?;
        Ok(Self { mode: raw.mode, limits, announce: raw.announce, on_store_error: raw.on_store_error, refusal })
    }
}

fn limit(raw: RawLimit) -> Result<Limit, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if !(1..=64).contains(&raw.name.len()) || !raw.name.bytes().all(plain) {
        let why = "a limit's name is 1 to 64 lower-case letters, digits, `-` and `_`";
        return Err(ConfigError::new(why).under("name"));
    }
    let measure = measure(raw.rate, raw.burst, raw.in_flight, raw.algorithm)?;
    let mut key = Vec::new();
    for (index, part) in raw.key.into_iter().enumerate() {
        key.push(Part::try_from(part).map_err(|error| error.at(index).under("key"))?);
    }
    let when = raw.r#match.map(|raw| conditions(raw, false)).transpose().map_err(|error| error.under("match"))?;
    let mut exempt = Vec::new();
    for (index, raw) in raw.exempt.into_iter().enumerate() {
        exempt.push(conditions(raw, true).map_err(|error| error.at(index).under("exempt"))?);
    }
    if raw.overrides.len() > MOST_OVERRIDES {
        return Err(ConfigError::new("more than 256").under("overrides"));
    }
    let mut overrides = Vec::new();
    for (index, known) in raw.overrides.into_iter().enumerate() {
        let known = known_key(known, &key, raw.algorithm, raw.in_flight.is_some());
        overrides.push(known.map_err(|error| error.at(index).under("overrides"))?);
    }
    let counted = counted(&raw.count_status, &raw.refund_status)?;
    let cost = raw.cost.map_or(Ok(Cost::Fixed(1)), cost).map_err(|error| error.under("cost"))?;
    if measure.rate.is_none() {
        let of_rates = [
            ("block_for", raw.block_for.is_some()),
            ("count_status", counted != Counted::All),
            ("cost", cost != Cost::Fixed(1)),
            ("burst", raw.burst.is_some()),
            ("across_gateways", raw.across_gateways),
        ];
        if let Some((field, _)) = of_rates.iter().find(|(_, is_set)| *is_set) {
            return Err(ConfigError::new("belongs to a `rate`; streams in flight have none").under(field));
        }
    }
    if raw.across_gateways {
        service::descriptor::check(&key, &counted)?;
    }
    if let Cost::Fixed(cost) = cost
        && cost > measure.burst
        && measure.burst > 0
    {
        return Err(ConfigError::new("is more than a whole burst, so nothing would ever pass").under("cost"));
    }
    let kind = measure.meter.kind().map_or(b'0', crate::line::Kind::letter);
    // The length of a window is part of what its counts mean.
    let window = measure.rate.filter(|_| kind == b'w').map_or(0, |rate| rate.per);
    let identity = format!("{}\0{}\0{}\0{key:?}\0{}", raw.name, kind, window, raw.mode.name()).into_bytes();
    Ok(Limit {
        name: raw.name,
        mode: raw.mode,
        measure,
        key,
        missing: raw.when_missing,
        repeated: raw.when_repeated,
        full: raw.when_full,
        when,
        exempt,
        overrides,
        cost,
        counted,
        block_for: raw.block_for.map_or(0, |Span(span)| span),
        across_gateways: raw.across_gateways,
        identity,
    })
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

fn known_key(raw: RawOverride, key: &[Part], algorithm: Algorithm, in_flight: bool) -> Result<Override, ConfigError> {
    if raw.key.len() != key.len() || key.is_empty() {
        let why = format!("has {} values, the limit's key has {} parts", raw.key.len(), key.len());
        return Err(ConfigError::new(why).under("key"));
    }
    if raw.in_flight.is_some() != in_flight {
        return Err(ConfigError::new("measures what the limit doesn't: both have `rate`, or both `in_flight`"));
    }
    let mut written = Vec::new();
    for (index, (text, part)) in raw.key.iter().zip(key).enumerate() {
        part.write_listed(text, &mut written).map_err(|error| error.at(index).under("key"))?;
    }
    Ok(Override { key: written, measure: measure(raw.rate, raw.burst, raw.in_flight, algorithm)? })
}

fn conditions(raw: RawConditions, is_exemption: bool) -> Result<Conditions, ConfigError> {
    let mut conditions = Conditions::default();
    for (index, method) in raw.method.into_iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(ConfigError::new("is no method: capital letters, as in `GET`").at(index).under("method"));
        }
        conditions.methods.push(method);
    }
    for (index, text) in raw.path_template.iter().enumerate() {
        let template = Template::new(text).map_err(|error| error.at(index).under("path_template"))?;
        conditions.paths.push(template);
    }
    for (index, text) in raw.host.iter().enumerate() {
        conditions.hosts.push(path::wanted_host(text).map_err(|error| error.at(index).under("host"))?);
    }
    for (index, header) in raw.header.into_iter().enumerate() {
        if is_exemption && !header.stripped_from_clients {
            let why = "anybody could exempt himself by sending it; have the edge strip it, and say so with \
                       `stripped_from_clients: true`";
            return Err(ConfigError::new(why).at(index).under("header"));
        }
        let name = header.name.to_ascii_lowercase();
        conditions.headers.push(HeaderIs { name, exact: header.exact });
    }
    for (index, text) in raw.remote_address.iter().enumerate() {
        conditions.networks.push(Cidr::new(text).map_err(|error| error.at(index).under("remote_address"))?);
    }
    if !conditions.reads_head() && conditions.networks.is_empty() {
        return Err(ConfigError::new("no condition, so it would match everything; leave it out"));
    }
    Ok(conditions)
}

fn cost(raw: RawCost) -> Result<Cost, ConfigError> {
    let most = raw.most.unwrap_or(MOST_COST);
    if !(1..=MOST_COST).contains(&most) {
        return Err(ConfigError::new("is not 1 to 1 000 000").under("most"));
    }
    let per_source = || ConfigError::new("needs `most`: what a request costs that doesn't tell").under("most");
    match (raw.fixed, raw.header, raw.content_length_per) {
        (Some(fixed), None, None) if raw.most.is_none() && (1..=MOST_COST).contains(&fixed) => Ok(Cost::Fixed(fixed)),
        (Some(_), None, None) => Err(ConfigError::new("is 1 to 1 000 000, and has no `most`").under("fixed")),
        (None, Some(name), None) if !name.is_empty() => {
            raw.most.ok_or_else(per_source)?;
            Ok(Cost::Header { name: name.to_ascii_lowercase(), most })
        }
        (None, None, Some(bytes)) if bytes > 0 => {
            raw.most.ok_or_else(per_source)?;
            Ok(Cost::ContentLength { bytes, most })
        }
        _ => Err(ConfigError::new("give it one of `fixed`, `header`, `content_length_per`")),
    }
}

fn counted(only: &[String], all_but: &[String]) -> Result<Counted, ConfigError> {
    let read = |list: &[String], field: &str| {
        let statuses = list.iter().enumerate().map(|(index, text)| {
            statuses(text).ok_or_else(|| {
                ConfigError::new(format!("`{text}` is no status; write `401` or `5xx`")).at(index).under(field)
            })
        });
        statuses.collect::<Result<Vec<_>, _>>()
    };
    match (only, all_but) {
        ([], []) => Ok(Counted::All),
        (only, []) => Ok(Counted::Only(read(only, "count_status")?)),
        ([], all_but) => Ok(Counted::AllBut(read(all_but, "refund_status")?)),
        _ => Err(ConfigError::new("`count_status` gives all others back already; take one of the two")
            .under("refund_status")),
    }
}

fn statuses(text: &str) -> Option<Statuses> {
    match text.as_bytes() {
        [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
            let first = u16::from(class - b'0') * 100;
            Some(Statuses { first, last: first + 99 })
        }
        [b'1'..=b'5', _, _] => text.parse().ok().map(|status| Statuses { first: status, last: status }),
        _ => None,
    }
}
