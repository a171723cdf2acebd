//! The memory that all VMs of a proxy with the same `vm_id` share: values by key, changed by compare-and-swap.
//!
//! 1. Nothing expires and nothing can be deleted: keys are fixed by the configuration, and values keep their size.
//! 2. A value is written only over the one that was read ([`Over::Version`]), or where there is none
//!    ([`Over::Nothing`]). Whoever is late reads again.
//! 3. Strangers write there as well: a value is checked before it is believed, by whoever reads it.

/// The number of a value, as the proxy gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Value(Vec<u8>, Version),
    /// The proxy doesn't let this filter read: its capability list leaves the call out.
    Unreadable,
}

/// What a new value stands in place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Nothing,
    Version(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Another was faster; nothing was written.
    Lost,
    /// The proxy doesn't let this filter write.
    Unwritable,
}

pub trait Store {
    fn get(&mut self, key: &[u8]) -> Found;

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written;
}
