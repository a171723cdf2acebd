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
    pub script: RefCell<Rc<Script>>,
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
