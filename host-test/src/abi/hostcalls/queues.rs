//! Shared queues.

use wasmtime::Linker;

use super::calls;
use crate::abi::Guest;

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_register_shared_queue(|call, name: u32, name_size: u32, queue: u32| {
            let name = call.bytes(name, name_size)?;
            let (vm, root, own) = (call.guest().vm, call.guest().root(), call.guest().plugin.vm_id.clone());
            call.keep(name.len())?;
            let id = call.world(|world| world.queues.register(&own, &name, vm, root));
            call.put_number(queue, id)
        });
        proxy_resolve_shared_queue(|call, vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, queue: u32| {
            let (vm_id, name) = (call.bytes(vm_id, vm_id_size)?, call.bytes(name, name_size)?);
            let own = call.guest().plugin.vm_id.clone();
            let id = call.world(|world| world.queues.resolve(&own, &vm_id, &name))?;
            call.put_number(queue, id)
        });
        proxy_enqueue_shared_queue(|call, queue: u32, value: u32, value_size: u32| {
            let value = call.bytes(value, value_size)?;
            call.keep(value.len())?;
            Ok(call.world(|world| world.queues.enqueue(queue, value))?)
        });
        proxy_dequeue_shared_queue(|call, queue: u32, value: u32, value_size: u32| {
            // What can't be handed over is lost, as in Envoy.
            let taken = call.world(|world| world.queues.dequeue(queue))?;
            call.world(|world| world.room.free(taken.len()));
            call.give(&taken, value, value_size)
        });
    }
    Ok(())
}
