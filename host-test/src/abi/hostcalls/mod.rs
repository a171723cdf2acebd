//! What a module can import, by noun.

mod beyond;
mod buffers;
mod callouts;
mod foreign;
mod grpc;
mod headers;
mod log;
mod metrics;
mod properties;
mod queues;
mod reply;
mod status;
mod store;
mod stream;
mod time;
mod wasi;

use wasmtime::{Engine, Linker};

use super::Guest;

/// Everything that Envoy offers to a module.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    beyond::add(&mut linker)?;
    buffers::add(&mut linker)?;
    callouts::add(&mut linker)?;
    foreign::add(&mut linker)?;
    grpc::add(&mut linker)?;
    headers::add(&mut linker)?;
    log::add(&mut linker)?;
    metrics::add(&mut linker)?;
    properties::add(&mut linker)?;
    queues::add(&mut linker)?;
    reply::add(&mut linker)?;
    status::add(&mut linker)?;
    store::add(&mut linker)?;
    stream::add(&mut linker)?;
    time::add(&mut linker)?;
    wasi::add(&mut linker)?;
    Ok(linker)
}

/// Registers calls of `env`: `name(|call, argument: type, …| body)`.
macro_rules! calls {
    ($linker:ident; $($name:ident(|$call:ident $(, $argument:ident : $type:ty)*| $body:expr);)*) => {
        $($linker.func_wrap("env", stringify!($name), |caller: wasmtime::Caller<'_, $crate::abi::Guest> $(, $argument: $type)*| {
            let caller = $crate::abi::Call::noting(caller, &[$($crate::world::trace::Number::number($argument)),*]);
            $crate::abi::Call::enter(caller, stringify!($name), |$call| $body)
        })?;)*
    };
}
use calls;
