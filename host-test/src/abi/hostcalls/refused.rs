//! What Envoy offers and this host doesn't play: a module that only links it runs, a module that
//! calls it is told.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::{
    abi::{Call, Guest, call::count},
    world::{Status, logs::Level},
};

/// Calls of `env` that answer a status, with the number of their arguments, all `i32`.
const UNPLAYED: &[(&str, usize)] = &[
    ("proxy_grpc_call", 12),
    ("proxy_grpc_stream", 9),
    ("proxy_grpc_send", 4),
    ("proxy_grpc_close", 1),
    ("proxy_grpc_cancel", 1),
    ("envoy_resolve_dns", 3),
];

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for (name, arguments) in UNPLAYED.iter().copied() {
        let kind = FuncType::new(linker.engine(), vec![ValType::I32; arguments], [ValType::I32]);
        linker.func_new("env", name, kind, move |caller, _, results| {
            let status = Call::enter(caller, name, |call| {
                let text = format!("{name} is not played by this host, and answers UNIMPLEMENTED");
                call.world(|world| world.logs.write(Level::Error, &text));
                Err(Status::Unimplemented.into())
            })?;
            results.iter_mut().for_each(|result| *result = Val::I32(status.cast_signed()));
            Ok(())
        })?;
    }
    linker.func_wrap("env", "pthread_equal", |mut caller: Caller<'_, Guest>, left: u32, right: u32| {
        count(&mut caller, "pthread_equal", false).map(|()| u32::from(left == right))
    })?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |mut caller: Caller<'_, Guest>, _memory: u32| {
        count(&mut caller, "emscripten_notify_memory_growth", false)
    })?;
    Ok(())
}
