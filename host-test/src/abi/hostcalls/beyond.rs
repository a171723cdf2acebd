//! What Envoy offers beyond the ABI.
//!
//! A question for an address that is one already is answered before the call returns, as buffer 8 of the root
//! context. Names are not looked up by this host: a module that asks is told.

use std::net::{IpAddr, SocketAddr};

use wasmtime::{Caller, Linker};

use super::calls;
use crate::{
    abi::{Guest, call::count, guest::ROOT},
    world::{Status, logs::Level},
};

/// One address, for no time, with no port: their number, the seconds of each, then each ended by NUL.
fn answer(address: IpAddr) -> Vec<u8> {
    let text = SocketAddr::new(address, 0).to_string();
    [1_u32.to_le_bytes().as_slice(), &[0; 4], text.as_bytes(), &[0]].concat()
}

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        envoy_resolve_dns(|call, address: u32, address_size: u32, token: u32| {
            let asked = call.bytes(address, address_size)?;
            // Written before anything is asked.
            call.put_number(token, 0)?;
            let Some(address) = std::str::from_utf8(&asked).ok().and_then(|asked| asked.parse().ok()) else {
                let text = "envoy_resolve_dns is played for addresses only by this host, and answers UNIMPLEMENTED to a name";
                call.world(|world| world.logs.write(Level::Error, text));
                return Err(Status::Unimplemented.into());
            };
            let answer = answer(address);
            let size = u32::try_from(answer.len()).unwrap_or(u32::MAX);
            let number = call.guest().begin_dns(answer);
            call.call_back("envoy_on_resolve_dns", (ROOT, number, size))?;
            call.guest().end_dns();
            call.put_number(token, number)
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
