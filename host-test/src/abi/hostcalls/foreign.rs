//! Foreign functions: calls that only Envoy has.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Guest, Stop},
    envoy::versions,
    world::{Status, foreign::Function},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_call_foreign_function(
            |call, name: u32, name_size: u32, argument: u32, argument_size: u32, value: u32, value_size: u32| {
                let (name, argument) = (call.bytes(name, name_size)?, call.bytes(argument, argument_size)?);
                let envoy = call.world(|world| world.envoy);
                let there = std::str::from_utf8(&name).is_ok_and(|name| versions::has_foreign_function(envoy, name));
                let function = Function::named(&name).filter(|_| there).ok_or(Status::NotFound)?;
                let exchange = call.guest().exchange();
                let mut exchange = exchange.as_ref().map(|exchange| exchange.borrow_mut());
                let guest = call.guest();
                guest.foreign.root = guest.root();
                let mut world = guest.world.borrow_mut();
                let exchange = exchange.as_deref_mut();
                let answered = world.foreign(&guest.plugin, &mut guest.foreign, exchange, function, &argument);
                drop(world);
                // A function that fails gives nothing, rather than leaving the guest's places as they were.
                call.give(answered.as_deref().unwrap_or_default(), value, value_size)?;
                answered.map(drop).map_err(Stop::Status)
            }
        );
    }
    Ok(())
}
