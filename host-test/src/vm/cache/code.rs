//! Modules and components as machine code in bytes. The only unsafe code of the host.

use wasmtime::{Engine, Module, component::Component};

pub trait Code: Sized {
    /// Part of the key.
    const KIND: &str;

    fn new(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    fn save(&self) -> wasmtime::Result<Vec<u8>>;
    /// The bytes are what `save` gave: only [`super::folder`] hands them out, which says why it may.
    fn load(engine: &Engine, saved: &Saved) -> wasmtime::Result<Self>;
}

/// Bytes that this program wrote, with a sum that holds, into a folder that nobody else can write to.
#[derive(Debug, PartialEq, Eq)]
pub struct Saved(Vec<u8>);

impl Saved {
    /// The caller answers for where they are from.
    pub(super) fn trusted(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
impl PartialEq<Vec<u8>> for Saved {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.0 == *other
    }
}

impl Code for Module {
    const KIND: &str = "module";

    fn new(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn save(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(unsafe_code, reason = "Wasmtime can't check that machine code is what it compiled")]
    fn load(engine: &Engine, saved: &Saved) -> wasmtime::Result<Self> {
        // SAFETY: `Saved` holds what `serialize` gave to this program of this user. Wasmtime itself
        // refuses code of another version or configuration.
        unsafe { Self::deserialize(engine, &saved.0) }
    }
}

impl Code for Component {
    const KIND: &str = "component";

    fn new(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, bytes)
    }

    fn save(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(unsafe_code, reason = "Wasmtime can't check that machine code is what it compiled")]
    fn load(engine: &Engine, saved: &Saved) -> wasmtime::Result<Self> {
        // SAFETY: as for a module.
        unsafe { Self::deserialize(engine, &saved.0) }
    }
}
