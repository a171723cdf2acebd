//! What the probe keeps between callbacks. Nothing stays borrowed while the host is called: some
//! calls run a callback before they return.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use crate::script::Script;

#[derive(Default)]
pub struct State {
    /// By root context.
    pub scripts: RefCell<BTreeMap<u32, Rc<Script>>>,
    /// The root context of each stream's.
    pub roots: RefCell<BTreeMap<u32, u32>>,
    /// How often each callback ran, by context.
    pub calls: RefCell<BTreeMap<(u32, &'static str), u32>>,
    /// The stream that was created last.
    pub stream: Cell<u32>,
    /// The numbers of compare-and-swap and of a queue that were seen last.
    pub cas: Cell<Option<u32>>,
    pub queue: Cell<Option<u32>>,
    /// Whether the allocator gives nothing.
    pub no_memory: Cell<bool>,
}

thread_local! {
    static STATE: State = State::default();
}

impl State {
    /// The root context of a context: its own, if it is one.
    pub fn root(&self, context: u32) -> u32 {
        self.roots.borrow().get(&context).copied().unwrap_or(context)
    }
}

pub fn with<T>(read: impl FnOnce(&State) -> T) -> T {
    STATE.with(read)
}

/// A number of the whole proxy as it is shown: by how much it grew.
pub fn growth(last: &Cell<Option<u32>>, number: u32) -> String {
    match last.replace(Some(number)) {
        None => "new".into(),
        Some(before) => format!("+{}", number.wrapping_sub(before)),
    }
}
