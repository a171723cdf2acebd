//! A module's bytes → a compiled module, or Envoy's reason to refuse it.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Engine, Extern, ExternType, FuncType, InstancePre, Linker, Module, Store, StoreLimits, ValType,
};

use crate::{
    abi::{Guest, hostcalls},
    world::Shared,
};

/// The callbacks that Envoy calls, as `arguments:results`, all `i32`; and who may be missing.
const EXPORTS: &[(&str, &str)] = &[
    ("_initialize", ":"),
    ("_start", ":"),
    ("main", "ii:i"),
    ("__main_void", ":i"),
    ("malloc", "i:i"),
    ("proxy_on_memory_allocate", "i:i"),
    ("proxy_on_context_create", "ii:"),
    ("proxy_on_vm_start", "ii:i"),
    ("proxy_on_configure", "ii:i"),
    ("proxy_on_tick", "i:"),
    ("proxy_on_new_connection", "i:i"),
    ("proxy_on_downstream_data", "iii:i"),
    ("proxy_on_upstream_data", "iii:i"),
    ("proxy_on_downstream_connection_close", "ii:"),
    ("proxy_on_upstream_connection_close", "ii:"),
    ("proxy_on_request_headers", "iii:i"),
    ("proxy_on_request_body", "iii:i"),
    ("proxy_on_request_trailers", "ii:i"),
    ("proxy_on_response_headers", "iii:i"),
    ("proxy_on_response_body", "iii:i"),
    ("proxy_on_response_trailers", "ii:i"),
    ("proxy_on_http_call_response", "iiiii:"),
    ("proxy_on_grpc_receive_initial_metadata", "iii:"),
    ("proxy_on_grpc_receive_trailing_metadata", "iii:"),
    ("proxy_on_grpc_receive", "iii:"),
    ("proxy_on_grpc_close", "iii:"),
    ("proxy_on_queue_ready", "ii:"),
    ("proxy_on_log", "i:"),
    ("proxy_on_done", "i:i"),
    ("proxy_on_delete", "i:"),
];

/// The engine of all modules: with fuel, so that an endless loop ends.
pub fn engine() -> Result<&'static Engine, String> {
    static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).map_err(|error| format!("Wasmtime has no engine: {error:#}"))
    });
    ENGINE.as_ref().map_err(Clone::clone)
}

fn linker() -> Result<&'static Linker<Guest>, String> {
    static LINKER: LazyLock<Result<Linker<Guest>, String>> = LazyLock::new(|| {
        hostcalls::linker(engine()?).map_err(|error| format!("the host's calls don't link: {error:#}"))
    });
    LINKER.as_ref().map_err(Clone::clone)
}

/// Checks a module as Envoy does. Compiled modules are kept, since a scenario starts three VMs and a
/// run has many scenarios.
pub fn load(bytes: &[u8]) -> Result<InstancePre<Guest>, String> {
    static LOADED: LazyLock<Mutex<HashMap<[u8; 32], InstancePre<Guest>>>> = LazyLock::new(Mutex::default);
    let key: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(loaded) = LOADED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(loaded.clone());
    }
    let module = Module::new(engine()?, bytes).map_err(|error| format!("Failed to load Wasm module: {error:#}"))?;
    abi(&module)?;
    imports(&module)?;
    exports(&module)?;
    let loaded =
        linker()?.instantiate_pre(&module).map_err(|error| format!("Failed to load Wasm module: {error:#}"))?;
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, loaded.clone());
    Ok(loaded)
}

fn abi(module: &Module) -> Result<(), String> {
    let exports = |name| module.get_export(name).is_some();
    if exports("proxy_abi_version_0_2_1") || exports("proxy_abi_version_0_2_0") {
        Ok(())
    } else if exports("proxy_abi_version_0_1_0") {
        Err("Proxy-Wasm ABI 0.1.0 runs in Envoy, but not in this host: build for 0.2.1".into())
    } else {
        Err("Missing or unknown Proxy-Wasm ABI version".into())
    }
}

fn imports(module: &Module) -> Result<(), String> {
    let linker = linker()?;
    // The store is only asked for the types of what the linker holds.
    let mut store = Store::new(engine()?, Guest::new(Shared::default(), Default::default(), StoreLimits::default()));
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        match (import.ty(), linker.get(&mut store, import.module(), import.name())) {
            (ExternType::Func(want), Ok(Extern::Func(have))) => {
                let have = have.ty(&store);
                if !FuncType::eq(&want, &have) {
                    let (want, have) = (signature(&want), signature(&have));
                    return Err(format!(
                        "Failed to load Wasm module due to an import type mismatch: {name}, want: {want}, but host exports: {have}"
                    ));
                }
            }
            _ => return Err(format!("Failed to load Wasm module due to a missing import: {name}")),
        }
    }
    Ok(())
}

fn exports(module: &Module) -> Result<(), String> {
    for (name, want) in EXPORTS.iter().copied() {
        if let Some(ExternType::Func(have)) = module.get_export(name) {
            let (arguments, results) = want.split_once(':').unwrap_or((want, ""));
            let want = FuncType::new(
                module.engine(),
                arguments.chars().map(|_| ValType::I32),
                results.chars().map(|_| ValType::I32),
            );
            if !FuncType::eq(&want, &have) {
                let (want, have) = (signature(&want), signature(&have));
                return Err(format!(
                    "Bad function signature for: {name}, want: {want}, but the module exports: {have}"
                ));
            }
        }
    }
    if module.get_export("malloc").or_else(|| module.get_export("proxy_on_memory_allocate")).is_none() {
        return Err("Wasm module is missing malloc function.".into());
    }
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => Ok(()),
        _ => Err("Wasm module is missing memory.".into()),
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
