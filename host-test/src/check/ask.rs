//! What a module itself says: whether Envoy would load it, whether it takes its configuration, and
//! which policy it has in force on a route. Nothing here knows how a policy is chosen; a plain request
//! is played, and the module's own counters tell.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{
    document::{Node, Value},
    edge::{Route, VirtualHost},
    wasm::{Code, Failure, Handed, Wasm},
};
use crate::{
    bounded,
    build::{
        self,
        inspect::{self, Inspection},
    },
    scenario::{Encoding, FailurePolicy, Given, HeaderLines, Place, Request, Scenario, Step},
    vm::{self, Limits, Session},
};

/// A module that took its configuration.
pub struct Asked {
    bytes: Vec<u8>,
    scenario: Scenario,
    pub inspection: Inspection,
    pub sha256: String,
    /// The filter's name in its counters; `None` for a module of somebody else.
    pub filter: Option<String>,
    /// Metrics that it defined.
    pub series: usize,
    /// What it keeps in the store once it is configured.
    pub store_bytes: usize,
}

/// A module that can't be asked.
pub struct Silent {
    pub why: Why,
    /// What it imports and exports, where it could be read.
    pub inspection: Option<Inspection>,
}

pub enum Why {
    /// It is neither here nor named.
    Missing(String),
    /// The proxy fetches it, from this address.
    Unseen(String),
    /// Envoy wouldn't load it, for this reason.
    Refused(String),
    /// Only Envoy can serialise its configuration, which is this message.
    Unserialised(String),
    /// It refuses its configuration, for this reason.
    Unconfigured(String),
}

/// What came of a plain request to a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub policy: String,
    pub mode: String,
    pub reason: String,
    /// Why it is this policy, where another was named.
    pub notes: Vec<String>,
    /// The status of the filter's own reply.
    pub refused_with: Option<String>,
    pub trap: Option<String>,
    pub log: Vec<String>,
}

/// What the upstream answers.
const ANSWERED: &str = "200";

/// Where modules lie.
pub struct Modules<'a> {
    /// Tried for a file that isn't where the configuration says, by its last name.
    pub folders: &'a [PathBuf],
}

impl Modules<'_> {
    /// Loads and configures the module of a filter.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub fn ask(&self, wasm: &Wasm<'_>, file: &Path) -> Result<Asked, Box<Silent>> {
        let silent = |why, inspection| Box::new(Silent { why, inspection });
        let bytes = self.bytes(wasm, file).map_err(|why| silent(why, None))?;
        let bytes = wat::parse_bytes(&bytes).map_or_else(|_| bytes.clone(), |module| module.into_owned());
        let inspection = inspect::inspect(&bytes).ok();
        if let Err(reason) = vm::check(&bytes) {
            return Err(silent(Why::Refused(reason), inspection));
        }
        let (configuration, configuration_as) = match &wasm.configuration {
            None => (serde_json::Value::Null, Encoding::String),
            Some((Handed::Text(text), _)) => (text.as_str().into(), Encoding::String),
            Some((Handed::Struct(value), _)) => (value.clone(), Encoding::Struct),
            Some((Handed::Other(message), _)) => {
                return Err(silent(Why::Unserialised(message.clone()), inspection));
            }
        };
        let scenario = scenario(wasm, configuration, configuration_as);
        let sha256 = build::sha256(&bytes);
        let session = match Session::start(&bytes, &scenario, Limits::default()) {
            Ok(session) => session,
            Err(refusal) => return Err(silent(Why::Unconfigured(refusal.reason), inspection)),
        };
        let world = session.world().borrow();
        let counters = world.metrics.counters();
        let filter = counters.keys().find_map(|name| Some(field(name, "filter")?.to_owned()));
        let (series, store_bytes) = (world.metrics.len(), world.store.bytes());
        drop(world);
        Ok(Asked { bytes, scenario, inspection: inspection.unwrap_or_default(), sha256, filter, series, store_bytes })
    }

    fn bytes(&self, wasm: &Wasm<'_>, file: &Path) -> Result<Vec<u8>, Why> {
        match &wasm.code {
            Code::Missing => Err(Why::Missing("no module is named".into())),
            Code::Inline(bytes, _) => Ok(bytes.clone()),
            Code::File(name, _) => self
                .find(name, file)
                .and_then(|path| bounded::read(&path, vm::LARGEST as u64).ok())
                .ok_or_else(|| Why::Missing(format!("{name} isn't there"))),
            Code::Remote(address, sha256, _) => {
                let found = self.find(address.rsplit('/').next().unwrap_or_default(), file);
                let bytes = found
                    .and_then(|path| bounded::read(&path, vm::LARGEST as u64).ok())
                    .filter(|bytes| sha256.is_empty() || build::sha256(bytes).eq_ignore_ascii_case(sha256));
                bytes.ok_or_else(|| Why::Unseen(address.clone()))
            }
        }
    }

    /// Where it is said to be: from here, beside the configuration, or by its last name in a folder.
    fn find(&self, name: &str, file: &Path) -> Option<PathBuf> {
        let last = Path::new(name).file_name()?;
        let beside = file.parent().map(|folder| folder.join(name));
        let elsewhere = self.folders.iter().map(|folder| folder.join(last));
        [PathBuf::from(name)].into_iter().chain(beside).chain(elsewhere).find(|path| path.is_file())
    }
}

impl Asked {
    /// Which policy is in force for a plain request to a route.
    pub fn route(&self, host: &VirtualHost<'_>, route: &Route<'_>) -> Answer {
        let mut scenario = self.scenario.clone();
        scenario.given.route = place(route.name, route.metadata);
        scenario.given.virtual_host = place(host.name, host.metadata);
        let authority = if host.domain.is_empty() { "edge.example" } else { host.domain };
        let request = Request {
            method: route.method.clone(),
            authority: authority.into(),
            path: route.path.clone(),
            headers: HeaderLines::default(),
            ..Request::default()
        };
        scenario.steps = serde_json::from_value::<Step>(serde_json::json!({}))
            .map(|step| vec![Step { request: Some(request), ..step }])
            .unwrap_or_default();
        let outcome = vm::run_bytes(&self.bytes, &scenario, Limits::default());
        let Some(play) = outcome.plays.first() else { return Answer::default() };
        let mut decisions: Vec<[&str; 3]> = play.metrics.keys().filter_map(|metric| decision(metric)).collect();
        // What is said of no policy comes last.
        decisions.sort_by_key(|[policy, ..]| *policy == NO_POLICY);
        let [policy, mode, reason] = decisions.first().copied().unwrap_or_default();
        Answer {
            policy: policy.to_owned(),
            mode: mode.to_owned(),
            reason: reason.to_owned(),
            notes: decisions.iter().skip(1).map(|[.., reason]| (*reason).to_owned()).collect(),
            refused_with: play.client.as_ref().map(|client| client.start.clone()).filter(|status| status != ANSWERED),
            trap: outcome.traps.first().cloned(),
            log: play.log.clone(),
        }
    }
}

/// Stands in counters where no policy was chosen.
const NO_POLICY: &str = "none";

/// Policy, mode and reason of a counter of decisions.
fn decision(metric: &str) -> Option<[&str; 3]> {
    Some([field(metric, "policy")?, field(metric, "mode")?, field(metric, "reason")?])
}

/// The word behind another in a name such as `portcullis.decisions.filter.x.policy.y`.
fn field<'a>(metric: &'a str, name: &str) -> Option<&'a str> {
    let mut words = metric.strip_prefix("portcullis.decisions.")?.split('.');
    words.find(|word| *word == name)?;
    words.next()
}

fn scenario(wasm: &Wasm<'_>, configuration: serde_json::Value, configuration_as: Encoding) -> Scenario {
    let given = Given {
        failure_policy: match wasm.failure {
            Failure::Open => FailurePolicy::FailOpen,
            Failure::Closed => FailurePolicy::FailClosed,
            Failure::Reload => FailurePolicy::FailReload,
        },
        allow_on_headers_stop_iteration: wasm.holds_head_alone,
        ..Given::default()
    };
    Scenario { plugin: wasm.root_id.clone(), configuration, configuration_as, given, ..Scenario::default() }
}

fn place(name: &str, metadata: Option<&Node>) -> Place {
    let namespaces = metadata.and_then(|metadata| metadata.get("filter_metadata")).map(Node::fields);
    let fields = |node: &Node| match &node.value {
        Value::Map(_) => node.to_json().as_object().cloned().unwrap_or_default(),
        _ => serde_json::Map::new(),
    };
    let metadata = namespaces.unwrap_or_default().iter().map(|(name, node)| (name.clone(), fields(node)));
    Place { name: name.to_owned(), metadata: metadata.collect() }
}
