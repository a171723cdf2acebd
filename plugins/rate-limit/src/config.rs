//! A policy as it is once it can't be wrong; `raw` is what is written, `checked` the way from there.

mod checked;
mod raw;

use std::net::IpAddr;

use portcullis_kit::{
    Policy,
    config::{ConfigError, Value},
    fields,
    head::RequestHead,
    mode::Mode,
    policies::path::{self, Template},
    reason::Reason,
    refusal::Refusal,
};

pub use self::{
    checked::MOST_LIMITS,
    raw::{Algorithm, Announce, OnStoreError, RawLimit, RawRateLimit, RawStore, WhenFull, WhenMissing, WhenRepeated},
};
use crate::{
    address::Cidr,
    decide,
    key::Part,
    meter::Meter,
    pool::{Partition, Parts},
    rate::Rate,
    service::RawService,
};

fields! {
    /// What stands beside the policies.
    #[derive(Clone, Debug, Default)]
    pub struct Settings {
        /// How many records the store has room for.
        pub store: RawStore = default,
        /// The service that limits with `across_gateways` ask.
        pub service: Option<RawService> = default,
    }
}

/// A policy: limits that a request must all meet.
#[derive(Clone, Debug)]
pub struct RateLimit {
    pub mode: Mode,
    pub limits: Vec<Limit>,
    pub announce: Announce,
    /// As it is written; [`Self::tells_upstream`] knows the mode as well.
    pub tell_upstream: bool,
    pub on_store_error: OnStoreError,
    pub refusal: Refusal,
    /// Some limit counts streams in flight.
    pub holds_streams: bool,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct Limit {
    pub name: String,
    pub mode: Mode,
    pub measure: Measure,
    pub key: Vec<Part>,
    pub missing: WhenMissing,
    pub repeated: WhenRepeated,
    pub full: WhenFull,
    pub when: Option<Conditions>,
    pub exempt: Vec<Conditions>,
    pub overrides: Vec<Override>,
    pub cost: Cost,
    pub counted: Counted,
    /// Nanoseconds; 0 for not.
    pub block_for: u64,
    /// Whether a service is asked, too.
    pub across_gateways: bool,
    /// Where its records lie; those of keys that the configuration lists lie with the reserved ones.
    pub partition: Partition,
    /// What makes it the same limit in another configuration, beside the policy's name.
    pub identity: [u8; 16],
}

/// How much is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub meter: Meter,
    /// As it is announced; `None` for streams in flight.
    pub rate: Option<Rate>,
    /// The most at once.
    pub burst: u32,
}

/// Another measure for one key.
#[derive(Clone, Debug)]
pub struct Override {
    /// As the parts of the limit's key write it.
    pub key: Vec<u8>,
    pub measure: Measure,
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    Fixed(u32),
    /// A request header's number, at least 1; `most` where it is missing, repeated or no number.
    Header {
        name: String,
        most: u32,
    },
    /// One for each so many bytes begun, at least 1; `most` where no length is told.
    ContentLength {
        bytes: u32,
        most: u32,
    },
}

/// Which requests count in the end, by the status of their response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    All,
    /// Those with such a status; others are given back.
    Only(Vec<Statuses>),
    /// Those without one.
    AllBut(Vec<Statuses>),
}

/// `401`, `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    pub first: u16,
    pub last: u16,
}

impl Counted {
    /// Whether a response with this status gives back what its request took.
    pub fn gives_back(&self, status: u16) -> bool {
        let among = |list: &[Statuses]| list.iter().any(|range| (range.first..=range.last).contains(&status));
        match self {
            Self::All => false,
            Self::Only(list) => !among(list),
            Self::AllBut(list) => among(list),
        }
    }
}

/// Which requests a limit is for. All that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub methods: Vec<String>,
    pub paths: Vec<Template>,
    pub hosts: Vec<String>,
    pub headers: Vec<HeaderIs>,
    pub networks: Vec<Cidr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderIs {
    pub name: String,
    /// `None` for any value.
    pub exact: Option<String>,
}

/// The path or host can be read in more than one way where a condition asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Conditions {
    pub fn reads_head(&self) -> bool {
        !(self.methods.is_empty() && self.paths.is_empty() && self.hosts.is_empty() && self.headers.is_empty())
    }

    /// Whether what they ask of the request's head is so.
    ///
    /// # Errors
    /// The head can't be read in one way only.
    pub fn fit_head(&self, head: Option<&RequestHead>) -> Result<bool, Ambiguous> {
        if !self.reads_head() {
            return Ok(true);
        }
        let head = head.ok_or(Ambiguous)?;
        if !self.methods.is_empty() && !self.methods.iter().any(|method| method.as_bytes() == head.method) {
            return Ok(false);
        }
        if !self.paths.is_empty() {
            let segments = path::segments(&head.path).map_err(|_| Ambiguous)?;
            if !self.paths.iter().any(|template| template.matches(&segments)) {
                return Ok(false);
            }
        }
        if !self.hosts.is_empty() {
            let host = path::host(&head.authority).map_err(|_| Ambiguous)?;
            if !self.hosts.iter().any(|wanted| path::host_matches(wanted, &host)) {
                return Ok(false);
            }
        }
        // A header that stands twice holds only if each of its lines does.
        let holds = |is: &HeaderIs| {
            let mut values = head.headers.all_spelt(is.name.as_bytes()).peekable();
            values.peek().is_some()
                && values.all(|value| is.exact.as_ref().is_none_or(|exact| exact.as_bytes() == value))
        };
        Ok(self.headers.iter().all(holds))
    }

    /// Whether they ask for the client's address.
    pub fn reads_address(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether the address is in one of the networks.
    pub fn fit_address(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.networks.iter().any(|network| network.contains(address)))
    }
}

impl RateLimit {
    pub fn reads_head(&self) -> bool {
        self.limits.iter().any(Limit::reads_head)
    }

    /// Whether admitted requests are told where they stand.
    pub fn announces(&self) -> bool {
        self.announce != Announce::Off && self.mode == Mode::Enforce
    }

    /// Whether the upstream is told where its client stands.
    pub fn tells_upstream(&self) -> bool {
        self.tell_upstream && self.mode == Mode::Enforce
    }
}

impl Limit {
    /// Whether it must see the request's head.
    pub fn reads_head(&self) -> bool {
        self.key.iter().any(Part::reads_head)
            || self.when.iter().chain(&self.exempt).any(Conditions::reads_head)
            || !matches!(self.cost, Cost::Fixed(_))
    }

    /// Whether it counts streams in flight.
    pub fn holds_streams(&self) -> bool {
        matches!(self.measure.meter, Meter::InFlight(_))
    }

    /// Whether it counts one caller apart from others, so that its answer may be told.
    pub fn is_of_the_caller(&self) -> bool {
        self.key.iter().any(Part::is_of_the_caller)
    }

    /// Notes the parts of the store that it may use.
    pub fn note_parts(&self, parts: &mut Parts) {
        let own = self.measure.meter.kind();
        parts.note(own, self.partition);
        if self.full == WhenFull::Share {
            parts.note(own, Partition::Reserved);
        }
        for known in &self.overrides {
            parts.note(known.measure.meter.kind(), Partition::Reserved);
        }
    }
}

impl Policy for RateLimit {
    type Settings = Settings;
    const SETTINGS: &'static [&'static str] = &["store", "service"];

    const FILTER: &'static str = "rate_limit";
    const REASONS: &'static [Reason] = decide::REASONS;
    const OVERRIDABLE: &'static [&'static str] = &["mode", "announce"];

    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.typed::<RawRateLimit>()?.try_into()
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}
