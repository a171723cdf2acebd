//! Bodies and configurations.

use std::rc::Rc;

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest, Stage},
    world::{Status, body, grpc::Event},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_buffer_bytes(|call, buffer: u32, start: u32, most: u32, value: u32, value_size: u32| {
            let bytes = read(call, buffer)?;
            call.give(body::part(&bytes, start, most), value, value_size)
        });
        proxy_get_buffer_status(|call, buffer: u32, size: u32, flags: u32| {
            let bytes = read(call, buffer)?;
            call.put_number(size, u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
            call.put_number(flags, 0)
        });
        proxy_set_buffer_bytes(|call, buffer: u32, start: u32, length: u32, data: u32, data_size: u32| {
            if let (5, Some(Event::Message(_))) = (buffer, &call.guest().grpc) {
                let data = call.bytes(data, data_size)?;
                if let Some(Event::Message(message)) = &mut call.guest().grpc {
                    body::write(message, start, length, &data)?;
                }
                return Ok(());
            }
            if let (4, Some(answer)) = (buffer, &call.guest().answer) {
                // There, and not to be changed.
                answer.body()?;
                return Err(Status::BadArgument.into());
            }
            body::writable(buffer, call.guest().stage == Stage::Configuring)?;
            let exchange = call.exchange()?;
            let data = call.bytes(data, data_size)?;
            let checked = exchange.borrow().check_buffer(buffer);
            checked.map_err(|fatal| call.fatal(fatal))?;
            let set = exchange.borrow_mut().set_buffer(buffer, start, length, &data);
            Ok(set?)
        });
    }
    Ok(())
}

/// The buffer of foreign functions. Without a body in hand it shows the configuration that was read last.
const SCRATCH: u32 = 8;

fn read(call: &mut Call<'_>, buffer: u32) -> Answer<Vec<u8>> {
    let guest = call.guest();
    if let (4, Some(answer)) = (buffer, &guest.answer) {
        return Ok(answer.body()?.to_vec());
    }
    if let (5, Some(Event::Message(message))) = (buffer, &guest.grpc) {
        return Ok(message.clone());
    }
    let scratch = guest.scratch();
    let (exchange, configuring) = (guest.exchange(), guest.stage == Stage::Configuring);
    let exchange = exchange.as_ref().map(|exchange| exchange.borrow());
    if buffer == SCRATCH {
        let shown = exchange.map_or(Ok(None), |exchange| exchange.body_in_hand());
        return Ok(shown.map_err(|fatal| call.fatal(fatal))?.unwrap_or(scratch));
    }
    let checked = exchange.as_ref().map_or(Ok(()), |exchange| exchange.check_buffer(buffer));
    checked.map_err(|fatal| call.fatal(fatal))?;
    let plugin = Rc::clone(&call.guest().plugin);
    let configuration = configuring.then_some(plugin.configuration.as_slice());
    let bytes =
        call.world(|world| world.buffer(exchange.as_deref(), buffer, configuration, &plugin.vm_configuration))?;
    if body::is_configuration(buffer) {
        call.guest().keep_scratch(bytes.clone());
    }
    Ok(bytes)
}
