//! Properties and filter state.

use std::rc::Rc;

use wasmtime::Linker;

use super::calls;
use crate::{abi::Guest, world::Status};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_property(|call, path: u32, path_size: u32, value: u32, value_size: u32| {
            let path = call.bytes(path, path_size)?;
            let exchange = call.guest().exchange();
            let exchange = exchange.as_ref().map(|exchange| exchange.borrow());
            let plugin = Rc::clone(&call.guest().plugin);
            let found = call.world(|world| world.property(&plugin, exchange.as_deref(), &path))?;
            call.give(&found, value, value_size)
        });
        proxy_set_property(|call, path: u32, path_size: u32, value: u32, value_size: u32| {
            let (path, value) = (call.bytes(path, path_size)?, call.bytes(value, value_size)?);
            let guest = call.guest();
            let exchange = guest.exchange().ok_or(Status::NotFound)?;
            let declaration = guest.foreign.declaration(guest.root(), &path);
            Ok(exchange.borrow_mut().set_declared(&path, &value, declaration)?)
        });
    }
    Ok(())
}
