//! A scenario: a configuration, what is given around the filter, steps, and what must be seen.
//! One YAML file, many hosts. `schema.json` beside this crate's manifest describes the format.

pub mod bytes;
pub mod expect;
pub mod headers;
pub mod load;
pub mod module;
pub mod step;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::{
    bytes::Bytes,
    expect::{Expect, ExpectMessage, ExpectUpstream, HeaderExpectation},
    headers::HeaderLines,
    load::{folders, load, load_folder},
    module::Module,
    step::{Body, Reply, Request, Response, Step},
};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
    /// The configuration must be refused, with an error that holds each of these texts.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Texts that the log must hold once the configuration was taken.
    #[serde(default)]
    pub configured: Vec<String>,
    #[serde(default)]
    pub given: Given,
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Texts that appear in no output: not at the client, not in logs, records or metrics.
    #[serde(default)]
    pub never: Vec<String>,
    /// Hosts on which the scenario isn't played, each with the reason.
    #[serde(default)]
    pub skip: BTreeMap<HostKind, String>,
    /// Where the scenario was read.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Scenario {
    /// Whether a host can play this scenario at all.
    pub fn runs_on(&self, host: HostKind) -> bool {
        self.module.is_none() || host != HostKind::Component
    }

    /// How the configuration travels.
    pub fn encoding(&self) -> Encoding {
        if self.configuration.is_string() { Encoding::String } else { self.configuration_as }
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// The route that requests take.
    pub route: Place,
    /// The virtual host of that route.
    pub virtual_host: Place,
    /// The route that a later filter makes of it: it changes the request and clears the route cache.
    pub reroute: Option<Place>,
    /// The protocol on both sides of the proxy.
    pub protocol: Protocol,
}

/// A route or a virtual host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    pub name: String,
    /// `filter_metadata` of Envoy's `Metadata`: by namespace.
    pub metadata: BTreeMap<String, Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Http1,
    Http2,
}
