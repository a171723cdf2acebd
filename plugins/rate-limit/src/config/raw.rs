//! A policy as it is written.

use portcullis_kit::{config::ConfigError, fields, mode::Mode, refusal::RawRefusal, words};

use crate::{
    key::Part,
    pool::Sizes,
    rate::{Rate, Span},
};

fields! {
    /// A policy of rate limits, as it is written.
    #[derive(Clone, Debug)]
    pub struct RawRateLimit {
        /// `enforce` acts, `shadow` counts and records what it would do, `off` does nothing.
        pub mode: Mode = default,
        /// 1 to 16. A request must meet all of them, and counts in all or in none.
        pub limits: Vec<RawLimit>,
        /// The headers that tell a client where it stands.
        pub announce: Announce = default,
        /// Tell the upstream where its client stands, in `x-portcullis-rate-limit`. What clients send under that name is then
        /// taken out of every request of the filter, whatever its policy.
        pub tell_upstream: bool = default,
        /// What becomes of a request when the store can't be used.
        pub on_store_error: OnStoreError = default,
        /// What a refused client is told. Default: 429 with problem JSON or a line of text.
        pub refusal: Option<RawRefusal> = default,
    }
}

fields! {
    /// How many records there are of each part, for each kind of limit in use; rounded up to whole lines. 1 to 1 048 576.
    #[derive(Clone, Copy, Debug)]
    pub struct RawStore {
        /// For keys that no client can make up. Default: 1024.
        pub reserved: u32 = default(RESERVED),
        /// For keys with a value that another filter left. Default: 16384.
        pub metadata: u32 = default(MANY),
        /// For keys with an address. Default: 16384.
        pub addresses: u32 = default(MANY),
        /// For keys that anybody can make up: headers, cookies, paths. Default: 16384.
        pub invented: u32 = default(MANY),
    }
}

impl Default for RawStore {
    fn default() -> Self {
        Self { reserved: RESERVED, metadata: MANY, addresses: MANY, invented: MANY }
    }
}

const RESERVED: u32 = 1024;
const MANY: u32 = 16_384;
const MOST_RECORDS: u32 = 1_048_576;

impl TryFrom<RawStore> for Sizes {
    type Error = ConfigError;

    fn try_from(raw: RawStore) -> Result<Self, ConfigError> {
        let sizes = [
            ("reserved", raw.reserved),
            ("metadata", raw.metadata),
            ("addresses", raw.addresses),
            ("invented", raw.invented),
        ];
        match sizes.iter().find(|(_, records)| !(1..=MOST_RECORDS).contains(records)) {
            Some((field, _)) => Err(ConfigError::new("is not 1 to 1 048 576").under(field)),
            None => Ok(Self {
                reserved: raw.reserved,
                metadata: raw.metadata,
                addresses: raw.addresses,
                invented: raw.invented,
            }),
        }
    }
}

words! {
    /// Which headers tell a client where it stands.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Announce {
        /// None but `Retry-After` on a refusal.
        Off = "off",
        /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).
        #[default]
        Ietf = "ietf",
        /// `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
        XRatelimit = "x_ratelimit",
        /// All of them.
        Both = "both",
    }
}

words! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum OnStoreError {
        /// Answer 503.
        #[default]
        Deny = "deny",
        /// Let it pass; counted.
        Allow = "allow",
    }
}

fields! {
    /// One limit, as it is written.
    #[derive(Clone, Debug)]
    pub struct RawLimit {
        /// 1 to 64 lower-case letters, digits, `-` and `_`; stands in metrics, records and answers.
        pub name: String,
        /// `shadow` counts for itself and never has a say.
        pub mode: Mode = default,
        /// `100/min`, `10/15min`; `0` for never. This or `in_flight`.
        pub rate: Option<Rate> = default,
        /// How many at once. Default: as many as the rate names.
        pub burst: Option<u32> = default,
        pub algorithm: Algorithm = default,
        /// Requests and upgraded streams at the same time. This or `rate`.
        pub in_flight: Option<u32> = default,
        /// By what is counted. Default: one count for all.
        pub key: Vec<Part> = default,
        pub when_missing: WhenMissing = default,
        pub when_repeated: WhenRepeated = default,
        pub when_full: WhenFull = default,
        /// Which requests it is for. Default: all.
        pub r#match: Option<RawConditions> = default,
        /// Requests that it isn't for.
        pub exempt: Vec<RawConditions> = default,
        /// Other measures for single keys. They have records of their own, which no stranger can take.
        pub overrides: Vec<RawOverride> = default,
        pub cost: Option<RawCost> = default,
        /// Count only requests whose response has such a status: `401`, `5xx`. The others are given back.
        pub count_status: Vec<String> = default,
        /// Give back requests whose response has such a status.
        pub refund_status: Vec<String> = default,
        /// Refuse a key for so long once it was refused.
        pub block_for: Option<Span> = default,
        /// Ask the `service`, too, whether the key may pass: it counts for all gateways together.
        pub across_gateways: bool = default,
    }
}

words! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Algorithm {
        /// Lets `burst` through at once and holds the rate over time.
        #[default]
        TokenBucket = "token_bucket",
        /// Never more than the rate's number in any stretch of its time.
        SlidingWindow = "sliding_window",
    }
}

words! {
    /// What becomes of a request without the key.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum WhenMissing {
        /// All such requests have one count together.
        #[default]
        Share = "share",
        Refuse = "refuse",
        /// The limit isn't for it.
        Skip = "skip",
    }
}

words! {
    /// What becomes of a request that has a part of the key more than once.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum WhenRepeated {
        #[default]
        Refuse = "refuse",
        /// All values together are the key.
        All = "all",
    }
}

words! {
    /// What becomes of a new key when every record that it may use is held by another.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum WhenFull {
        /// All such keys have one count together.
        #[default]
        Share = "share",
        Refuse = "refuse",
        Admit = "admit",
    }
}

fields! {
    /// All conditions that are given must hold; one at least is given.
    #[derive(Clone, Debug, Default)]
    pub struct RawConditions {
        /// One of these, in capital letters.
        pub method: Vec<String> = default,
        /// One of these: `/api/novel/:id`, `/files/*`.
        pub path_template: Vec<String> = default,
        /// One of these, without port; `*.example.com` for every name below it.
        pub host: Vec<String> = default,
        /// All of these.
        pub header: Vec<RawHeaderIs> = default,
        /// One of these: `10.0.0.0/8`, `::1`; the client that the proxy trusts.
        pub remote_address: Vec<String> = default,
    }
}

fields! {
    #[derive(Clone, Debug)]
    pub struct RawHeaderIs {
        pub name: String,
        /// Default: any value.
        pub exact: Option<String> = default,
        /// In an exemption: the edge takes this header out of what clients send, before this filter. Without that, anybody
        /// could exempt himself.
        pub stripped_from_clients: bool = default,
    }
}

fields! {
    #[derive(Clone, Debug)]
    pub struct RawOverride {
        /// The value of each part of the key, in its order.
        pub key: Vec<String>,
        pub rate: Option<Rate> = default,
        pub burst: Option<u32> = default,
        pub in_flight: Option<u32> = default,
    }
}

fields! {
    /// What a request costs: one of these.
    #[derive(Clone, Debug)]
    pub struct RawCost {
        /// So much, 1 to 1 000 000.
        pub fixed: Option<u32> = default,
        /// The number in this request header.
        pub header: Option<String> = default,
        /// One for each so many bytes of `content-length`, or part of them.
        pub content_length_per: Option<u32> = default,
        /// The most that a header or a length may ask for, and what a request without either costs.
        pub most: Option<u32> = default,
    }
}
