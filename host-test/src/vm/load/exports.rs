//! What a module exports: callbacks by their types, its allocator, its memory.

use wasmtime::{ExternType, FuncType, Module, ValType};

use super::signature;

pub const NO_MEMORY: &str = "the module has no memory that it exports or imports; Envoy 1.40 loads it, and dies at the first pointer (SIGSEGV): \
     export the memory";

/// The callbacks that Envoy calls, as `arguments:results`, all `i32`.
const CALLBACKS: &[(&str, &str)] = &[
    ("proxy_validate_configuration", "ii:i"),
    ("proxy_on_vm_start", "ii:i"),
    ("proxy_on_configure", "ii:i"),
    ("proxy_on_tick", "i:"),
    ("proxy_on_context_create", "ii:"),
    ("proxy_on_new_connection", "i:i"),
    ("proxy_on_downstream_data", "iii:i"),
    ("proxy_on_upstream_data", "iii:i"),
    ("proxy_on_downstream_connection_close", "ii:"),
    ("proxy_on_upstream_connection_close", "ii:"),
    ("proxy_on_request_headers", "iii:i"),
    ("proxy_on_request_body", "iii:i"),
    ("proxy_on_request_trailers", "ii:i"),
    ("proxy_on_request_metadata", "ii:i"),
    ("proxy_on_response_headers", "iii:i"),
    ("proxy_on_response_body", "iii:i"),
    ("proxy_on_response_trailers", "ii:i"),
    ("proxy_on_response_metadata", "ii:i"),
    ("proxy_on_http_call_response", "iiiii:"),
    ("proxy_on_grpc_receive_initial_metadata", "iii:"),
    ("proxy_on_grpc_receive_trailing_metadata", "iii:"),
    ("proxy_on_grpc_receive", "iii:"),
    ("proxy_on_grpc_close", "iii:"),
    ("proxy_on_queue_ready", "ii:"),
    ("proxy_on_foreign_function", "iii:"),
    ("proxy_on_log", "i:"),
    ("proxy_on_done", "i:i"),
    ("proxy_on_delete", "i:"),
];

const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// Callbacks by which a filter sees connections, and those by which it sees HTTP.
const NETWORK: [&str; 3] = ["proxy_on_new_connection", "proxy_on_downstream_data", "proxy_on_upstream_data"];
const HTTP: [&str; 6] = [
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
];

/// `imports_memory`: whether the host makes the module's memory.
pub fn check(module: &Module, imports_memory: bool) -> Result<(), String> {
    start(module)?;
    let allocates = |name| function(module, name).is_some();
    // The second is looked for only where the first isn't there.
    match ALLOCATORS.into_iter().find(|name| allocates(name)) {
        Some(name) => typed(module, name, "i:i")?,
        None => return Err("Wasm module is missing malloc function.".into()),
    }
    for (name, want) in CALLBACKS.iter().copied() {
        typed(module, name, want)?;
    }
    if !imports_memory && !module.exports().any(|export| matches!(export.ty(), ExternType::Memory(_))) {
        return Err(NO_MEMORY.into());
    }
    let exports = |names: &[&str]| names.iter().any(|name| function(module, name).is_some());
    if exports(&NETWORK) && !exports(&HTTP) {
        return Err("this is a network filter: it exports callbacks for connections and none for HTTP, \
                    and this host plays HTTP only; run it in Envoy as a network filter"
            .into());
    }
    Ok(())
}

/// What runs first: `_initialize` and then `main` or `__main_void`, or else `_start`. What isn't run
/// may have any type.
fn start(module: &Module) -> Result<(), String> {
    if function(module, "_initialize").is_none() {
        return typed(module, "_start", ":");
    }
    typed(module, "_initialize", ":")?;
    if function(module, "main").is_some() {
        return typed(module, "main", "ii:i");
    }
    typed(module, "__main_void", ":i")
}

fn function(module: &Module, name: &str) -> Option<FuncType> {
    match module.get_export(name) {
        Some(ExternType::Func(kind)) => Some(kind),
        _ => None,
    }
}

/// A function that isn't there has every type.
fn typed(module: &Module, name: &str, want: &str) -> Result<(), String> {
    let Some(have) = function(module, name) else { return Ok(()) };
    let (arguments, results) = want.split_once(':').unwrap_or((want, ""));
    let numbers = |text: &str| text.chars().map(|_| ValType::I32).collect::<Vec<_>>();
    let want = FuncType::new(module.engine(), numbers(arguments), numbers(results));
    if FuncType::eq(&want, &have) {
        return Ok(());
    }
    let (want, have) = (signature(&want), signature(&have));
    Err(format!("Bad function signature for: {name}, want: {want}, but the module exports: {have}"))
}
