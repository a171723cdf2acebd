//! Contexts and streams: who acts, and what goes on.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest},
    world::{Side, Status, exchange::Resume, stream::Act},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_continue_stream(|call, stream: u32| continue_stream(call, stream));
        proxy_set_effective_context(|call, id: u32| {
            let vm = call.guest().vm;
            if id != 0 && !call.guest().roots.contains_key(&id) && !call.world(|world| world.exchanges.contains_key(&(vm, id))) {
                return Err(Status::BadArgument.into());
            }
            call.guest().effective = (id != 0).then_some(id);
            Ok(())
        });
        proxy_close_stream(|call, stream: u32| {
            match stream {
                0 | 1 => {
                    let Some(exchange) = call.guest().exchange() else { return Ok(()) };
                    if let Some(other) = call.guest().other() {
                        call.guest().acts(other, Act::Close);
                        return Ok(());
                    }
                    let closed = exchange.borrow_mut().close();
                    closed.map_err(|fatal| call.fatal(fatal))
                }
                2 | 3 => Ok(()),
                _ => Err(Status::BadArgument.into()),
            }
        });
        proxy_done(|call| {
            let guest = call.guest();
            let root = guest.root();
            if !guest.ending.remove(&root) {
                return Err(Status::NotFound.into());
            }
            guest.over.push(root);
            Ok(())
        });
    }
    Ok(())
}

fn continue_stream(call: &mut Call<'_>, stream: u32) -> Answer {
    let resume = Resume::from_number(stream)?;
    let Some(exchange) = call.guest().exchange() else { return Ok(()) };
    let resumed = exchange.borrow_mut().resume(resume);
    resumed.map_err(|fatal| call.fatal(fatal))?;
    if let Some(other) = call.guest().other() {
        for side in [Side::Request, Side::Response] {
            if exchange.borrow_mut().take_resumed(side) {
                call.guest().acts(other, Act::Resume(side));
            }
        }
    }
    Ok(())
}
