//! What the host keeps for one VM.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use wasmtime::{Memory, StoreLimits, TypedFunc};

use super::{budget::Budget, restricted::Doing};
use crate::world::{
    Exchange, Plugin, Shared,
    callouts::Answer,
    faults::Met,
    foreign::Foreign,
    grpc::Event,
    metrics::Defined,
    stream::{Act, Acted},
};

/// How far a VM has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `_initialize` and the like run.
    Starting,
    /// `on_configure` runs.
    Configuring,
    Serving,
}

/// The first root context of a VM.
pub const ROOT: u32 = 1;

pub struct Guest {
    pub world: Shared,
    /// The plugin whose context runs.
    pub plugin: Rc<Plugin>,
    /// By root context.
    pub roots: BTreeMap<u32, Rc<Plugin>>,
    /// The root context of each stream's.
    pub streams: HashMap<u32, u32>,
    /// Root contexts that wait for `proxy_done`, and those that need wait no longer.
    pub ending: BTreeSet<u32>,
    pub over: Vec<u32>,
    /// The root contexts that made callouts, by their tokens.
    pub callers: HashMap<u32, u32>,
    /// The VM's number in the world.
    pub vm: u32,
    pub metrics: Defined,
    pub foreign: Foreign,
    pub memory: Option<Memory>,
    pub allocator: Option<TypedFunc<u32, u32>>,
    pub limits: StoreLimits,
    pub stage: Stage,
    /// Whether the configuration was taken.
    pub configured: bool,
    /// Whether the allocator runs.
    pub allocating: bool,
    /// The context whose callback runs.
    pub context: u32,
    /// The context that the guest chose instead, until the callback ends.
    pub effective: Option<u32>,
    /// Whether the running callback replied, for whichever stream: its own goes no further then.
    pub stops: bool,
    /// The answer to a callout, while its callback runs.
    pub answer: Option<Answer>,
    /// What a gRPC call brings, while its callback runs.
    pub grpc: Option<Event>,
    /// What `proxy_get_status` tells.
    pub status: (u32, Vec<u8>),
    /// A callback within a call that trapped.
    pub trapped: Option<(String, wasmtime::Error)>,
    /// How often each call was made.
    pub calls: BTreeMap<&'static str, u64>,
    /// What the running callback used of the host.
    pub budget: Budget,
    scratch: BTreeMap<u32, Vec<u8>>,
    /// The token of the last question to DNS; Envoy's first is 2.
    dns: u32,
}

impl Guest {
    pub fn new(world: Shared, plugin: Rc<Plugin>, limits: StoreLimits) -> Self {
        let vm = world.borrow_mut().next_vm();
        Self {
            world,
            plugin,
            roots: BTreeMap::new(),
            streams: HashMap::new(),
            ending: BTreeSet::new(),
            over: Vec::new(),
            callers: HashMap::new(),
            vm,
            metrics: Defined::default(),
            foreign: Foreign::default(),
            memory: None,
            allocator: None,
            limits,
            stage: Stage::Starting,
            configured: false,
            allocating: false,
            context: ROOT,
            effective: None,
            stops: false,
            answer: None,
            grpc: None,
            status: (0, Vec::new()),
            trapped: None,
            calls: BTreeMap::new(),
            budget: Budget::default(),
            scratch: BTreeMap::new(),
            dns: 1,
        }
    }

    /// What the guest does at the moment of a call.
    pub fn doing(&self) -> Doing {
        match (self.memory, self.stage) {
            (None, _) => Doing::Instantiating,
            _ if self.allocating => Doing::Allocating,
            (_, Stage::Starting) => Doing::Starting,
            (_, Stage::Configuring | Stage::Serving) => Doing::Serving,
        }
    }

    /// What a fault meets, if this is the filter under test.
    pub fn met(&self) -> Option<Met> {
        self.plugin.under_test.then_some(Met { vm: self.vm, configured: self.configured })
    }

    /// The root context of a context; its own, if it is one.
    pub fn root_of(&self, context: u32) -> u32 {
        self.streams.get(&context).copied().unwrap_or(context)
    }

    /// The root context of the context in effect.
    pub fn root(&self) -> u32 {
        self.root_of(self.effective.unwrap_or(self.context))
    }

    /// The context in effect, where it isn't the one whose callback runs.
    pub fn other(&self) -> Option<u32> {
        self.effective.filter(|effective| *effective != self.context)
    }

    /// Remembers what the running callback did to another context's stream.
    pub fn acts(&self, context: u32, act: Act) {
        self.world.borrow_mut().acts.push_back(Acted { vm: self.vm, context, act });
    }

    /// Remembers which root context an answer is for.
    pub fn calls_out(&mut self, token: u32) {
        let root = self.root();
        self.callers.insert(token, root);
    }

    /// The configuration that was last read in the context in effect.
    pub fn scratch(&self) -> Vec<u8> {
        self.scratch.get(&self.effective.unwrap_or(self.context)).cloned().unwrap_or_default()
    }

    pub fn keep_scratch(&mut self, bytes: Vec<u8>) {
        self.scratch.insert(self.effective.unwrap_or(self.context), bytes);
    }

    /// An answer of DNS is handed to the root context; its token.
    pub fn begin_dns(&mut self, answer: Vec<u8>) -> u32 {
        self.scratch.insert(ROOT, answer);
        self.dns = self.dns.wrapping_add(1);
        self.dns
    }

    pub fn end_dns(&mut self) {
        self.scratch.remove(&ROOT);
    }

    /// A callback of a gRPC call begins.
    pub fn begin_grpc(&mut self, event: Event) {
        if let Event::Close(code, text) = &event {
            self.status = (*code, text.clone());
        }
        self.grpc = Some(event);
    }

    /// It has ended. A code stays for later answers, the text doesn't.
    pub fn end_grpc(&mut self, close: bool) {
        self.grpc = None;
        if close {
            self.status.1.clear();
        }
    }

    /// The stream whose context is in effect; `None` for the root context.
    pub fn exchange(&self) -> Option<Rc<RefCell<Exchange>>> {
        let id = self.effective.unwrap_or(self.context);
        self.world.borrow().exchanges.get(&(self.vm, id)).cloned()
    }
}
