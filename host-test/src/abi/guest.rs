//! What the host keeps for one VM.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use wasmtime::{Memory, StoreLimits, TypedFunc};

use crate::world::{Exchange, Plugin, Shared, callouts::Answer, metrics::Defined};

/// How far a VM has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `_initialize` and the like run.
    Starting,
    /// `on_configure` runs.
    Configuring,
    Serving,
}

/// The root context of the one plugin that a VM holds.
pub const ROOT: u32 = 1;

pub struct Guest {
    pub world: Shared,
    pub plugin: Rc<Plugin>,
    /// The VM's number in the world.
    pub vm: u32,
    pub metrics: Defined,
    pub memory: Option<Memory>,
    pub allocator: Option<TypedFunc<u32, u32>>,
    pub limits: StoreLimits,
    pub stage: Stage,
    /// Whether the allocator runs.
    pub allocating: bool,
    /// The context whose callback runs.
    pub context: u32,
    /// The context that the guest chose instead, until the callback ends.
    pub effective: Option<u32>,
    /// The answer to a callout, while its callback runs.
    pub answer: Option<Answer>,
    /// What `proxy_get_status` tells.
    pub status: (u32, String),
    /// How often each call was made.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Guest {
    pub fn new(world: Shared, plugin: Rc<Plugin>, limits: StoreLimits) -> Self {
        let vm = world.borrow_mut().next_vm();
        Self {
            world,
            plugin,
            vm,
            metrics: Defined::default(),
            memory: None,
            allocator: None,
            limits,
            stage: Stage::Starting,
            allocating: false,
            context: ROOT,
            effective: None,
            answer: None,
            status: (0, String::new()),
            calls: BTreeMap::new(),
        }
    }

    /// The stream whose context is in effect; `None` for the root context.
    pub fn exchange(&self) -> Option<Rc<RefCell<Exchange>>> {
        let id = self.effective.unwrap_or(self.context);
        self.world.borrow().exchanges.get(&(self.vm, id)).cloned()
    }
}
