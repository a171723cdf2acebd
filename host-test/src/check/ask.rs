//! What a module itself says: whether Envoy would load it, whether it takes its configuration, and
//! which policy it has in force on a route. Nothing here knows how a policy is chosen; a plain request
//! is played, and the module's own counters tell.
//!
//! 1. It is asked in the surroundings that the bootstrap gives it: name, root, `vm_id`, environment,
//!    capability list, both configurations.
//! 2. One VM answers for many routes, as in the proxy; but once something was written into the store, or
//!    the filter answered by itself, or trapped, the question is put to a new one.

use std::cell::{Cell, RefCell};

use super::{
    burden::{Burden, Room},
    document::{Node, Value},
    modules::Module,
    questions::Question,
    virtual_host::{Route, VirtualHost},
    wasm::{Failure, Handed, Wasm},
};
use crate::{
    build::inspect::Inspection,
    outcome::{Cut, Play},
    scenario::{Around, Encoding, FailurePolicy, Given, HeaderLines, Place, Request, Scenario, Step},
    vm::{Limits, Session},
};

/// A module that took its configuration.
pub struct Asked {
    module: Module,
    scenario: Scenario,
    /// Answers the next question, unless an answer has changed it.
    session: RefCell<Kept>,
    burden: Burden,
    traps: Cell<u32>,
    /// The filter's name in its counters; `None` for a module of somebody else.
    pub filter: Option<String>,
    /// Metrics that it defined.
    pub series: usize,
    /// What it kept in the store at most, once it was configured and while it was asked.
    pub store_bytes: Cell<usize>,
    /// What it says itself that it keeps at most.
    pub store_bound: Option<u64>,
}

/// A VM for the next question, and its place among all that are kept.
type Kept = Option<(Session, Room)>;

/// A module that can't be asked.
pub struct Silent {
    pub why: Why,
    /// What it imports and exports, where it could be read.
    pub inspection: Option<Inspection>,
}

impl Silent {
    /// Whether something is wrong, and not just unseen.
    pub fn is_wrong(&self) -> bool {
        matches!(self.why, Why::Missing(_) | Why::Refused(_) | Why::Unconfigured(_))
    }
}

pub enum Why {
    /// It is neither here nor named.
    Missing(String),
    /// The proxy fetches it, from this address.
    Unseen(String),
    /// It runs in Envoy, for all that is known, and can't be tried here, for this reason.
    Untried(String),
    /// Nothing is wrong with that: it is compiled into the proxy, or no filter of HTTP.
    Other,
    /// Envoy wouldn't load it, for this reason.
    Refused(String),
    /// Only Envoy can serialise its configuration, which is this message.
    Unserialised(String),
    /// It refuses its configuration, for this reason.
    Unconfigured(String),
    /// The same, and these variables were stood in for.
    Unequipped(String, Vec<String>),
}

/// What came of a plain request to a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the filter is switched off there.
    pub off: bool,
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

/// A module that traps so often isn't asked any more: each trap may have used all of a callback's fuel.
const TRAPS: u32 = 8;

/// Stands in the reason of a trap at a bound that this host has and Envoy hasn't.
const BEYOND: &str = "; in Envoy it would ";

impl Asked {
    /// Configures a module.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub fn new(module: Module, wasm: &Wasm<'_>, burden: &Burden) -> Result<Self, Why> {
        if burden.is_spent() {
            return Err(Why::Untried("the modules before it have used up what all may use together".into()));
        }
        let (scenario, stood_in) = scenario(wasm)?;
        let session =
            Session::start(&module.bytes, &scenario, Limits::default()).map_err(|refusal| match stood_in {
                _ if refusal.reason.contains(BEYOND) => {
                    burden.work(Limits::default().fuel);
                    Why::Untried(refusal.reason)
                }
                stood_in if stood_in.is_empty() => Why::Unconfigured(refusal.reason),
                stood_in => Why::Unequipped(refusal.reason, stood_in),
            })?;
        let world = session.world().borrow();
        let filter = world.metrics.counters().keys().find_map(|name| Some(field(name, "filter")?.to_owned()));
        let (series, store_bytes) = (world.metrics.len(), Cell::new(world.store.bytes()));
        drop(world);
        let store_bound = session.startup_log().iter().find_map(|line| store_bound(line));
        let counts = session.startup_counts();
        burden.of(counts, true);
        let room = burden.room(counts.memory_bytes);
        let (session, traps) = (RefCell::new(room.map(|room| (session, room))), Cell::new(0));
        Ok(Self { module, scenario, session, burden: burden.clone(), traps, filter, series, store_bytes, store_bound })
    }

    /// Whether it isn't asked any more, as all modules together have used up what they may.
    pub fn is_spent(&self) -> bool {
        self.burden.is_spent()
    }

    pub fn inspection(&self) -> &Inspection {
        &self.module.inspection
    }

    pub fn sha256(&self) -> &str {
        &self.module.sha256
    }

    /// Which policy is in force for a request to a route; `None` of a module that has trapped too often, and once
    /// all of them have used up what they may.
    pub fn route(&self, host: &VirtualHost<'_>, route: &Route<'_>, question: &Question) -> Option<Answer> {
        if self.traps.get() >= TRAPS || self.burden.is_spent() {
            return None;
        }
        let Question { method, authority, path } = question.clone();
        let request = Request { method, authority, path, headers: HeaderLines::default(), ..Request::default() };
        let step = Step { request: Some(request), ..Step::default() };
        let kept = self.session.borrow_mut().take().map(|(session, _)| session);
        let is_fresh = kept.is_none();
        let mut answered = self.put(kept, host, route, &step)?;
        // What it had answered before may be why.
        let is_endless = |answer: &Answer| answer.trap.as_ref().is_some_and(|trap| trap.contains(BEYOND));
        if !is_fresh && !answered.2 && !is_endless(&answered.0) {
            answered = self.put(None, host, route, &step)?;
        }
        let (answer, session, _) = answered;
        *self.session.borrow_mut() = session;
        if answer.trap.is_some() {
            self.traps.set(self.traps.get() + 1);
            if is_endless(&answer) {
                self.burden.work(Limits::default().fuel);
            }
        }
        Some(answer)
    }

    /// Puts the question to a session, or to a new one; the session, if the next question can be put to it and there
    /// is room for it; and whether it could.
    fn put(
        &self,
        session: Option<Session>,
        host: &VirtualHost<'_>,
        route: &Route<'_>,
        step: &Step,
    ) -> Option<(Answer, Kept, bool)> {
        let new = || {
            let session = Session::start(&self.module.bytes, &self.scenario, Limits::default()).ok()?;
            self.burden.of(session.startup_counts(), true);
            Some(session)
        };
        let mut session = session.or_else(new)?;
        let written = {
            let mut world = session.world().borrow_mut();
            world.given.route = place(route.name, route.metadata);
            world.given.virtual_host = place(host.name, host.metadata);
            world.store.written()
        };
        let (play, counts) = session.play(step, Cut::AsWritten);
        self.burden.of(&counts, false);
        let (trap, is_clean) = {
            let mut world = session.world().borrow_mut();
            self.store_bytes.set(self.store_bytes.get().max(world.store.bytes()));
            (world.trace.take_traps().into_iter().next(), world.store.written() == written)
        };
        let answer = Answer { trap, ..Answer::of(&play) };
        let again = is_clean && answer.trap.is_none() && answer.refused_with.is_none() && play.missed.is_empty();
        let room = self.burden.room(counts.memory_bytes).filter(|_| again);
        Some((answer, room.map(|room| (session, room)), again))
    }
}

impl Answer {
    fn of(play: &Play) -> Self {
        let mut decisions: Vec<[&str; 3]> = play.metrics.keys().filter_map(|metric| decision(metric)).collect();
        // What is said of no policy comes last.
        decisions.sort_by_key(|[policy, ..]| *policy == NO_POLICY);
        let [policy, mode, reason] = decisions.first().copied().unwrap_or_default();
        Self {
            policy: policy.to_owned(),
            mode: mode.to_owned(),
            reason: reason.to_owned(),
            notes: decisions.iter().skip(1).map(|[.., reason]| (*reason).to_owned()).collect(),
            refused_with: play.client.as_ref().map(|client| client.start.clone()).filter(|status| status != ANSWERED),
            log: play.log.clone(),
            ..Self::default()
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

/// What a filter's log promises: `the store holds at most 4096 bytes`.
fn store_bound(line: &str) -> Option<u64> {
    line.split_once("the store holds at most ")?.1.split_once(" bytes")?.0.parse().ok()
}

/// A filter in its surroundings, and the variables of the proxy's that are not set here.
fn scenario(wasm: &Wasm<'_>) -> Result<(Scenario, Vec<String>), Why> {
    let given = Given {
        failure_policy: match wasm.failure {
            Failure::Open => FailurePolicy::FailOpen,
            Failure::Closed => FailurePolicy::FailClosed,
            Failure::Reload => FailurePolicy::FailReload,
        },
        allow_on_headers_stop_iteration: wasm.holds_head_alone,
        ..Given::default()
    };
    let value = |handed: &Option<(Handed, &Node)>| match handed {
        None => Ok(serde_json::Value::Null),
        Some((Handed::Text(text), _)) => Ok(text.as_str().into()),
        Some((Handed::Struct(value), _)) => Ok(value.clone()),
        Some((Handed::Other(message), _)) => Err(Why::Unserialised(message.clone())),
    };
    let mut environment = wasm.environment.values.clone();
    let mut stood_in = Vec::new();
    for name in &wasm.environment.of_host {
        let value = std::env::var(name).unwrap_or_else(|_| {
            stood_in.push(name.clone());
            format!("stands-in-for-{name}-which-is-not-set-here")
        });
        environment.insert(name.clone(), value);
    }
    let around = Around {
        name: Some(wasm.name.clone()),
        vm_id: Some(wasm.vm_id().to_owned()),
        environment,
        capabilities: wasm.capabilities().map(|list| list.fields().iter().map(|(name, _)| name.clone()).collect()),
    };
    let scenario = Scenario {
        plugin: wasm.root_id.clone(),
        configuration: value(&wasm.configuration)?,
        vm_configuration: value(&wasm.vm_configuration)?,
        // Text travels as text all the same.
        configuration_as: Encoding::Struct,
        given,
        around,
        ..Scenario::default()
    };
    Ok((scenario, stood_in))
}

fn place(name: &str, place: Option<&Node>) -> Place {
    let fields = |node: &Node| match &node.value {
        Value::Map(_) => node.to_json().as_object().cloned().unwrap_or_default(),
        _ => serde_json::Map::new(),
    };
    let metadata = metadata_of(place, "filter_metadata").map(|(name, node)| (name.clone(), fields(node)));
    let typed = metadata_of(place, "typed_filter_metadata").map(|(name, _)| name.clone());
    Place { name: name.to_owned(), metadata: metadata.collect(), typed: typed.collect() }
}

fn metadata_of<'a>(metadata: Option<&'a Node>, kind: &str) -> impl Iterator<Item = &'a (String, Node)> {
    metadata.and_then(|metadata| metadata.get(kind)).map(Node::fields).unwrap_or_default().iter()
}
