//! Compiled code, kept on disk: compilation takes a hundred times longer than reading its result.
//!
//! 1. The key is the sha256 of the bytes, the kind, and of Wasmtime's version and the engine's
//!    configuration as the engine itself tells them.
//! 2. A file holds the sha256 of its code. What is cut short or altered is compiled again.
//! 3. `folder`: code is only taken from a folder that is the user's own and closed to others.
//! 4. The folder is bounded; what wasn't used for longest goes first.
//! 5. `--no-cache`, or `PORTCULLIS_NO_CACHE` with any value, does without. So does whatever fails
//!    here: the cache is never the reason why something doesn't run.

mod code;
mod folder;

use std::{
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Module, component::Component};

use self::code::Code;
pub use self::folder::Folder;
use crate::envoy;

/// Bytes of all files together.
pub const LARGEST: u64 = 1 << 30;

static OFF: AtomicBool = AtomicBool::new(false);

/// From now on everything is compiled anew, and nothing is kept.
pub fn switch_off() {
    OFF.store(true, Ordering::Relaxed);
}

/// The module of these bytes, kept in a folder where there is one.
pub fn module(engine: &Engine, bytes: &[u8], folder: Option<&Folder>) -> wasmtime::Result<Module> {
    get(engine, bytes, folder)
}

/// The component of these bytes, kept in the user's folder.
pub fn component(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    get(engine, bytes, ours())
}

/// The folder beside the downloaded Envoys, where there is to be a cache.
pub fn ours() -> Option<&'static Folder> {
    static FOLDER: LazyLock<Option<Folder>> = LazyLock::new(|| {
        let folder = envoy::find::cache().join("compiled");
        match Folder::open(&folder, LARGEST) {
            Ok(folder) => Some(folder),
            Err(error) => {
                eprintln!("compiled modules aren't kept: {error:#}");
                None
            }
        }
    });
    if OFF.load(Ordering::Relaxed) || env::var_os("PORTCULLIS_NO_CACHE").is_some_and(|value| !value.is_empty()) {
        return None;
    }
    FOLDER.as_ref()
}

fn get<C: Code>(engine: &Engine, bytes: &[u8], folder: Option<&Folder>) -> wasmtime::Result<C> {
    let Some(folder) = folder else { return C::new(engine, bytes) };
    let name = name::<C>(engine, bytes);
    if let Some(code) = folder.read(&name)
        && let Ok(code) = C::load(engine, &code)
    {
        return Ok(code);
    }
    let code = C::new(engine, bytes)?;
    // A full disk only means that the next run compiles again.
    let _ = code.save().map(|saved| folder.write(&name, &saved));
    Ok(code)
}

fn name<C: Code>(engine: &Engine, bytes: &[u8]) -> String {
    let mut engines = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut engines);
    let key = Sha256::new().chain_update(C::KIND).chain_update(engines.finish().to_le_bytes()).chain_update(bytes);
    format!("{:x}", key.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::vm::engine;

    const ANSWER: &str = r#"(module (func (export "answer") (result i32) (i32.const 42)))"#;

    fn answer(module: &Module) -> i32 {
        let mut store = wasmtime::Store::new(module.engine(), ());
        crate::vm::Limits::default().arm(&mut store).unwrap();
        let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
        instance.get_typed_func::<(), i32>(&mut store, "answer").unwrap().call(&mut store, ()).unwrap()
    }

    #[test]
    fn a_kept_module_does_what_the_compiled_one_does() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("c"), LARGEST).unwrap();
        let (engine, bytes) = (engine().unwrap(), wat::parse_str(ANSWER).unwrap());
        let first: Module = get(engine, &bytes, Some(&folder)).unwrap();
        let kept = folder.read(&name::<Module>(engine, &bytes)).unwrap();
        assert_eq!(kept, Code::save(&first).unwrap());
        let second: Module = get(engine, &bytes, Some(&folder)).unwrap();
        assert_eq!((answer(&first), answer(&second)), (42, 42));
    }

    #[test]
    fn a_file_that_was_cut_or_altered_is_compiled_again_and_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("c");
        let folder = Folder::open(&path, LARGEST).unwrap();
        let (engine, bytes) = (engine().unwrap(), wat::parse_str(ANSWER).unwrap());
        let module: Module = get(engine, &bytes, Some(&folder)).unwrap();
        let file = path.join(name::<Module>(engine, &bytes));
        let good = fs::read(&file).unwrap();
        let altered = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        for bad in
            [Vec::new(), good[..20].to_vec(), good[..good.len() - 1].to_vec(), altered(0), altered(good.len() / 2)]
        {
            fs::write(&file, bad).unwrap();
            assert!(folder.read(&name::<Module>(engine, &bytes)).is_none());
            let again: Module = get(engine, &bytes, Some(&folder)).unwrap();
            assert_eq!(answer(&again), answer(&module));
            assert_eq!(fs::read(&file).unwrap(), good, "the file is whole again");
        }
    }

    #[test]
    fn code_of_another_engine_has_another_name() {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(false);
        let other = Engine::new(&config).unwrap();
        let ours = engine().unwrap();
        assert_ne!(name::<Module>(ours, b"x"), name::<Module>(&other, b"x"));
        assert_ne!(name::<Module>(ours, b"x"), name::<Module>(ours, b"y"));
        assert_ne!(name::<Module>(ours, b"x"), name::<Component>(ours, b"x"));
    }
}
