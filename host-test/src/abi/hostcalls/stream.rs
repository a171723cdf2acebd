//! Contexts and streams: who acts, and what goes on.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest, guest::ROOT},
    world::{Status, exchange::Resume},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_continue_stream(|call, stream: u32| continue_stream(call, stream));
        proxy_set_effective_context(|call, id: u32| {
            let vm = call.guest().vm;
            if id != 0 && id != ROOT && !call.world(|world| world.exchanges.contains_key(&(vm, id))) {
                return Err(Status::BadArgument.into());
            }
            call.guest().effective = (id != 0).then_some(id);
            Ok(())
        });
        proxy_close_stream(|call, stream: u32| {
            match stream {
                0 | 1 => {
                    if let Some(exchange) = call.guest().exchange() {
                        exchange.borrow_mut().closed = true;
                    }
                    Ok(())
                }
                2 | 3 => Ok(()),
                _ => Err(Status::BadArgument.into()),
            }
        });
        // No root context is shutting down, so nobody waits for this.
        proxy_done(|_call| Err(Status::NotFound.into()));
    }
    Ok(())
}

fn continue_stream(call: &mut Call<'_>, stream: u32) -> Answer {
    let resume = Resume::from_number(stream)?;
    let Some(exchange) = call.guest().exchange() else { return Ok(()) };
    let resumed = exchange.borrow_mut().resume(resume);
    resumed.map_err(|fatal| wasmtime::Error::msg(fatal).into())
}
