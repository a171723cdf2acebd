//! A module's bytes → a compiled module, or Envoy's reason to refuse it. In Envoy's order:
//!
//! 1. `abi`: the mark of a version of the ABI that is known, the first of the exports.
//! 2. Compilation, from the cache where it can be.
//! 3. `imports`: each is one of the host's calls, with its type; one memory and one table may be
//!    imported under any name, and Envoy makes them.
//! 4. `exports`: callbacks of the right types, an allocator, a memory.
//!
//! Where Envoy takes a module and then dies of it, this host refuses it and says so.

mod abi;
mod exports;
mod imports;

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use wasmtime::{FuncType, Linker, Memory, Module, Store, ValType};

pub use self::abi::accept;
use self::{abi::Version, imports::Given};
use super::{cache, engine::engine};
use crate::abi::{Guest, hostcalls};

/// Bytes of the largest module that is compiled. V8 takes 1 GiB; compilation of that would never end.
pub const LARGEST: usize = 64 << 20;

/// How long a module may compile.
const COMPILE_WITHIN: Duration = Duration::from_secs(120);

/// Modules that are kept compiled in memory; a run needs one for each plugin.
const KEPT: usize = 64;

/// A module that Envoy would take.
#[derive(Clone)]
pub struct Loaded {
    module: Module,
    given: Given,
}

impl Loaded {
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// An instance, and the memory that calls read and write.
    pub fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<(wasmtime::Instance, Memory)> {
        let linker = linker().map_err(wasmtime::Error::msg)?;
        let (instance, imported) = self.given.instantiate(linker, &self.module, store)?;
        let exported = instance.exports(&mut *store).find_map(wasmtime::Export::into_memory);
        // `exports` refused a module that has neither.
        let memory = exported.or(imported).ok_or_else(|| wasmtime::Error::msg(exports::NO_MEMORY))?;
        Ok((instance, memory))
    }
}

fn linker() -> Result<&'static Linker<Guest>, String> {
    static LINKER: LazyLock<Result<Linker<Guest>, String>> = LazyLock::new(|| {
        hostcalls::linker(engine()?).map_err(|error| format!("the host's calls don't link: {error:#}"))
    });
    LINKER.as_ref().map_err(Clone::clone)
}

/// Checks a module as Envoy does. Compiled modules are kept, since a scenario starts three VMs and a
/// run has many scenarios.
pub fn load(bytes: &[u8]) -> Result<Loaded, String> {
    static LOADED: LazyLock<Mutex<HashMap<[u8; 32], Loaded>>> = LazyLock::new(Mutex::default);
    let key: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(loaded) = LOADED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(loaded.clone());
    }
    let loaded = check(bytes, cache::ours())?;
    let mut kept = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(key, loaded.clone());
    Ok(loaded)
}

/// The same without memory of earlier modules; compiled code is kept in `folder`, if any.
pub fn check(bytes: &[u8], folder: Option<&'static cache::Folder>) -> Result<Loaded, String> {
    if bytes.len() > LARGEST {
        return Err(format!(
            "the module has {} bytes, and this host compiles at most {LARGEST}; strip it, or build it for size",
            bytes.len()
        ));
    }
    let version = abi::version(bytes)?;
    let module = compile(bytes, folder, COMPILE_WITHIN)?;
    let given = imports::check(linker()?, &module, version)?;
    exports::check(&module, given.memory())?;
    Ok(Loaded { module, given })
}

/// Compilation can't be stopped, so it has a thread of its own, which is left alone when it takes too
/// long: a few MiB of functions with many locals compile for hours.
fn compile(bytes: &[u8], folder: Option<&'static cache::Folder>, within: Duration) -> Result<Module, String> {
    let (engine, bytes) = (engine()?, bytes.to_vec());
    let (done, compiled) = mpsc::channel();
    let compiling = thread::Builder::new().name("compile".into()).spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = done.send(cache::module(engine, &bytes, folder));
    });
    compiling.map_err(|error| format!("no thread to compile in: {error}"))?;
    match compiled.recv_timeout(within) {
        Ok(module) => module.map_err(|error| format!("Failed to load Wasm bytecode: {error:#}")),
        Err(RecvTimeoutError::Timeout) => Err(format!(
            "the module isn't compiled within {} s; it has too many functions, or functions with too many locals",
            within.as_secs()
        )),
        Err(RecvTimeoutError::Disconnected) => Err("Failed to load Wasm bytecode: the compiler panicked on it".into()),
    }
}

/// `i32 i32 -> i32`, as Envoy writes it.
fn signature(kind: &FuncType) -> String {
    let list = |kinds: Vec<ValType>| match kinds.as_slice() {
        [] => "void".to_owned(),
        kinds => kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    format!("{} -> {}", list(kind.params().collect()), list(kind.results().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_compiles_too_long_is_refused() {
        let functions = "(func (result i32) (i32.const 1))".repeat(20_000);
        let bytes = wat::parse_str(format!("(module {functions})")).unwrap();
        let reason = compile(&bytes, None, Duration::ZERO).unwrap_err();
        assert!(reason.contains("isn't compiled within 0 s"), "{reason}");
        assert!(compile(&wat::parse_str("(module)").unwrap(), None, COMPILE_WITHIN).is_ok());
    }
}
