//! What Envoy offers beyond the ABI. DNS isn't played: a module that only links it runs, a module that
//! calls it is told.

use wasmtime::{Caller, Linker};

use super::calls;
use crate::{
    abi::{Guest, call::count},
    world::{Status, logs::Level},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        envoy_resolve_dns(|call, _address: u32, _address_size: u32, _token: u32| {
            let text = "envoy_resolve_dns is not played by this host, and answers UNIMPLEMENTED";
            call.world(|world| world.logs.write(Level::Error, text));
            Err(Status::Unimplemented.into())
        });
    }
    linker.func_wrap("env", "pthread_equal", |mut caller: Caller<'_, Guest>, left: u32, right: u32| {
        count(&mut caller, "pthread_equal", false).map(|()| u32::from(left == right))
    })?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |mut caller: Caller<'_, Guest>, _memory: u32| {
        count(&mut caller, "emscripten_notify_memory_growth", false)
    })?;
    Ok(())
}
