//! A scenario: a configuration, what is given around the filter, steps, and what must be seen.
//! One YAML file, many hosts. `schema.json` beside this crate's manifest describes the format.

pub mod around;
pub mod bytes;
pub mod callout;
pub mod expect;
pub mod fault;
pub mod filter;
pub mod grpc;
pub mod headers;
pub mod line;
pub mod load;
pub mod module;
pub mod raw;
pub mod retry;
pub mod schedule;
pub mod search;
pub mod span;
pub mod step;
pub mod update;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::envoy::versions;

pub use self::{
    around::Around,
    bytes::Bytes,
    callout::{CalloutAnswer, Trouble},
    expect::{Expect, ExpectMessage, ExpectUpstream, HeaderExpectation},
    fault::{Answers, Bounds, Fault, Mishap, When, Written},
    filter::Filter,
    grpc::{Act, GrpcAct},
    headers::HeaderLines,
    line::METHODS,
    load::{LARGEST, files, folders, load, load_folder, parse},
    module::Module,
    raw::Raw,
    retry::{Redirects, Retries, RetryOn},
    schedule::Schedule,
    search::matching,
    span::Span,
    step::{Body, Part, Peer, Reply, Request, Response, Step},
    update::Update,
};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The behaviour, as a sentence.
    pub scenario: String,
    /// The plugin under test. Default: the one in whose folder the file stands.
    #[serde(default)]
    pub plugin: String,
    /// The module under test instead of a plugin: a package under `host-test/guests`, or the path of a
    /// `.wasm` or `.wat` file from here. It has no component, so the hosts are `wasm` and `envoy`.
    #[serde(default)]
    pub module: Option<Module>,
    /// What stands under `configuration` in the filter's Envoy configuration.
    #[serde(default)]
    pub configuration: Value,
    /// How the configuration travels. Default: `struct`; text is no struct, and always travels as `string`.
    #[serde(default)]
    pub configuration_as: Encoding,
    /// What stands under `vm_config.configuration`; travels in the same way.
    #[serde(default)]
    pub vm_configuration: Value,
    /// Filters that stand before the one under test, in the order in which a request meets them.
    #[serde(default)]
    pub before: Vec<Filter>,
    /// Filters that stand behind it.
    #[serde(default)]
    pub after: Vec<Filter>,
    /// The configuration must be refused, with an error that holds each of these texts.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Texts that the log must hold once the configuration was taken.
    #[serde(default)]
    pub configured: Vec<String>,
    #[serde(default)]
    pub given: Given,
    /// What goes wrong around the filter under test, from its start to the last step. Not played in Envoy.
    #[serde(default)]
    pub faults: Vec<Fault>,
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Texts that appear in no output: not at the client, not in logs, records or metrics.
    #[serde(default)]
    pub never: Vec<String>,
    /// Hosts on which the scenario isn't played, each with the reason.
    #[serde(default)]
    pub skip: BTreeMap<HostKind, String>,
    /// The versions of Envoy that it holds for; on others it isn't played. Default: all.
    #[serde(default)]
    pub envoy: Versions,
    /// Where the scenario was read.
    #[serde(skip)]
    pub file: PathBuf,
    /// What stands around the filter under test, where it comes from a bootstrap.
    #[serde(skip)]
    pub around: Around,
}

/// A range of minor versions of Envoy, both ends in it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Versions {
    /// The first, as text: `"1.37"`.
    pub since: Option<String>,
    /// The last, as text: `"1.39"`.
    pub until: Option<String>,
}

impl Versions {
    /// Why it isn't played on a minor version of Envoy 1.
    pub fn skipped(&self, minor: u32) -> Option<String> {
        let of = |end: &Option<String>| end.as_deref().map(versions::minor);
        let too_old = of(&self.since).is_some_and(|since| minor < since);
        let too_new = of(&self.until).is_some_and(|until| minor > until);
        let end =
            |word: &str, end: &Option<String>| format!("holds {word} Envoy {}", end.as_deref().unwrap_or_default());
        match (too_old, too_new) {
            (true, _) => Some(end("since", &self.since)),
            (_, true) => Some(end("until", &self.until)),
            _ => None,
        }
    }
}

impl Scenario {
    /// Whether a host can play this scenario at all.
    pub fn runs_on(&self, host: HostKind) -> bool {
        match host {
            HostKind::Wasm | HostKind::Envoy => true,
            HostKind::Component => self.chain().iter().all(|filter| filter.module.is_none()),
        }
    }

    /// Whether exchanges stay open from step to step.
    pub fn in_flight(&self) -> bool {
        self.steps.iter().any(|step| step.stream.is_some())
    }

    /// Whether its exchanges need a connection each in Envoy, whose worker can be chosen.
    pub fn needs_connections(&self) -> bool {
        self.in_flight() || self.updates() || self.given.workers > 1 || self.goes_step_by_step()
    }

    /// Whether something may come to a root context between two pieces of a message, so that each has to be worked
    /// off before the next one follows. A plugin that asks no cluster hears of nothing.
    fn goes_step_by_step(&self) -> bool {
        let at_once = |step: &Step| step.is_raw() || !step.responses.is_empty();
        let hears = !self.given.clusters.is_empty() || self.chain().iter().any(|filter| filter.module.is_some());
        // A single answer may be asked for more than once.
        let anew = self.given.retries.is_some() || self.given.redirects.is_some();
        hears && !anew && !self.steps.iter().any(at_once)
    }

    /// Whether the configuration changes on the way.
    pub fn updates(&self) -> bool {
        self.steps.iter().any(|step| step.update.is_some())
    }
}

/// How Envoy hands the configuration to the filter.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `google.protobuf.Struct`: native YAML, arrives as serialised protobuf.
    #[default]
    Struct,
    /// `google.protobuf.StringValue` that holds JSON.
    String,
}

/// What a filter runs in.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// The proxy-wasm module in Wasmtime.
    Wasm,
    /// The component in Wasmtime.
    Component,
    /// The proxy-wasm module in Envoy.
    Envoy,
}

impl std::fmt::Display for HostKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Wasm => "wasm",
            Self::Component => "component",
            Self::Envoy => "envoy",
        })
    }
}

/// What stands around the filter before the first step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// The route that requests take.
    pub route: Place,
    /// Routes that requests take instead, by the path that they have: the first that fits is taken.
    pub routes: Vec<ByPath>,
    /// The virtual host of all routes.
    pub virtual_host: Place,
    /// The route that a later filter makes of it: it changes the request and clears the route cache.
    pub reroute: Option<Place>,
    /// What the route does with an attempt that failed.
    pub retries: Option<Retries>,
    /// What the route does with a response that redirects.
    pub redirects: Option<Redirects>,
    /// The protocol on both sides of the proxy.
    pub protocol: Protocol,
    /// Clusters that the filter may call, each with its answers in order; the last one is repeated.
    pub clusters: BTreeMap<String, Vec<CalloutAnswer>>,
    /// The filter's `failure_policy`.
    pub failure_policy: FailurePolicy,
    /// The base of the back-off under `fail_reload`: `reload_config.backoff.base_interval`. A VM that trapped comes
    /// back one to one and a half times as long after its worker last made one: say `pass`.
    pub reload_backoff: Span,
    /// How long a configuration that was replaced serves the streams that it has: Envoy's `--drain-time-s`,
    /// in whole seconds.
    pub drain: Span,
    /// The filter's `allow_on_headers_stop_iteration`: holding a head holds the head alone.
    pub allow_on_headers_stop_iteration: bool,
    /// `vm_config.environment_variables` of each filter: secrets by name.
    pub environment: BTreeMap<String, String>,
    /// The listener's and the cluster's `per_connection_buffer_limit_bytes`. Over HTTP/2 Envoy holds 16 MiB
    /// of a message all the same.
    pub buffer_limit: usize,
    /// How many workers the proxy has; a step chooses one.
    pub workers: u32,
    /// How much each VM of the filter under test may use. Not played in Envoy.
    pub limits: Bounds,
}

impl Given {
    /// How much of a message filters may hold. Over HTTP/2 it is a stream's window, 16 MiB, whatever the
    /// limit of connections.
    pub fn held_at_most(&self) -> usize {
        match self.protocol {
            Protocol::Http1 => self.buffer_limit,
            Protocol::Http2 => 16 << 20,
        }
    }
}

impl Default for Given {
    fn default() -> Self {
        Self {
            route: Place::default(),
            routes: Vec::new(),
            virtual_host: Place::default(),
            reroute: None,
            retries: None,
            redirects: None,
            protocol: Protocol::default(),
            clusters: BTreeMap::new(),
            failure_policy: FailurePolicy::default(),
            reload_backoff: Span(1_000_000_000),
            drain: Span(600_000_000_000),
            allow_on_headers_stop_iteration: true,
            environment: BTreeMap::new(),
            buffer_limit: 1 << 20,
            workers: 1,
            limits: Bounds::default(),
        }
    }
}

/// What a trap means to requests: Envoy's `failure_policy`. Envoy's own default is `fail_closed`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// Refused; a new VM for a request that comes later than the back-off.
    #[default]
    FailReload,
    /// Refused for ever.
    FailClosed,
    /// Passed on unfiltered for ever.
    FailOpen,
}

/// A route for paths that begin so.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByPath {
    pub prefix: String,
    pub to: Place,
}

/// A route or a virtual host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    pub name: String,
    /// `filter_metadata` of Envoy's `Metadata`: by namespace.
    pub metadata: BTreeMap<String, Map<String, Value>>,
    /// Namespaces under `typed_filter_metadata`; `portcullis check` meets them, no scenario says them.
    #[serde(skip)]
    pub typed: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Http1,
    Http2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_played_in_its_range_of_versions_alone() {
        let of = |yaml: &str| serde_saphyr::from_str::<Versions>(yaml).unwrap();
        let range = of("{since: '1.37', until: '1.39'}");
        assert_eq!(range.skipped(36).as_deref(), Some("holds since Envoy 1.37"));
        assert_eq!((range.skipped(37), range.skipped(39)), (None, None));
        assert_eq!(range.skipped(40).as_deref(), Some("holds until Envoy 1.39"));
        assert_eq!(of("{}").skipped(1), None);
        assert_eq!(
            of("{since: 1.40}").skipped(39).as_deref(),
            Some("holds since Envoy 1.40"),
            "no number: 1.40 is not 1.4"
        );
    }
}
