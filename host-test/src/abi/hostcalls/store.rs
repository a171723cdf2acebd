//! Shared data.

use wasmtime::Linker;

use super::calls;
use crate::{abi::Guest, world::Status};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_shared_data(|call, key: u32, key_size: u32, value: u32, value_size: u32, cas: u32| {
            let key = call.bytes(key, key_size)?;
            let vm_id = call.guest().plugin.vm_id.clone();
            let found = call.world(|world| world.store.get(&vm_id, &key).map(|(value, cas)| (value.to_vec(), cas)));
            if let Some(met) = call.guest().met() {
                call.world(|world| world.raced(met, &vm_id, &key));
            }
            let (bytes, number) = found.ok_or(Status::NotFound)?;
            call.give(&bytes, value, value_size)?;
            call.put_number(cas, number)
        });
        proxy_set_shared_data(|call, key: u32, key_size: u32, value: u32, value_size: u32, cas: u32| {
            let (key, value) = (call.bytes(key, key_size)?, call.bytes(value, value_size)?);
            let vm_id = call.guest().plugin.vm_id.clone();
            let written = call.world(|world| world.write(&vm_id, &key, &value, cas));
            Ok(written.map_err(wasmtime::Error::msg)??)
        });
    }
    Ok(())
}
