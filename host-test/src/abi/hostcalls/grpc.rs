//! gRPC calls.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest},
    world::{grpc::Asked, pairs},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_grpc_call(
            |call, target: u32, target_size: u32, service: u32, service_size: u32, method: u32, method_size: u32, metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout: u32, token: u32| {
                let mut asked = asked(call, (target, target_size), (service, service_size), (method, method_size), (metadata, metadata_size))?;
                asked.single = Some((call.bytes(message, message_size)?, timeout));
                begin(call, asked, token)
            }
        );
        proxy_grpc_stream(
            |call, target: u32, target_size: u32, service: u32, service_size: u32, method: u32, method_size: u32, metadata: u32, metadata_size: u32, token: u32| {
                let asked = asked(call, (target, target_size), (service, service_size), (method, method_size), (metadata, metadata_size))?;
                begin(call, asked, token)
            }
        );
        proxy_grpc_send(|call, token: u32, message: u32, message_size: u32, end: u32| {
            let (message, vm) = (call.bytes(message, message_size)?, call.guest().vm);
            Ok(call.world(|world| world.grpc.send(vm, token, message, end != 0))?)
        });
        proxy_grpc_cancel(|call, token: u32| {
            let vm = call.guest().vm;
            Ok(call.world(|world| world.grpc.cancel(vm, token))?)
        });
        proxy_grpc_close(|call, token: u32| {
            let vm = call.guest().vm;
            Ok(call.world(|world| world.grpc.close(vm, token))?)
        });
    }
    Ok(())
}

/// A pointer and a size.
type Place = (u32, u32);

fn asked(call: &mut Call<'_>, target: Place, service: Place, method: Place, metadata: Place) -> Answer<Asked> {
    let mut bytes = |(pointer, size): Place| call.bytes(pointer, size);
    let (target, service, method) = (bytes(target)?, bytes(service)?, bytes(method)?);
    let metadata = pairs::deserialise(&bytes(metadata)?);
    Ok(Asked { vm: call.guest().vm, target, service, method, metadata, single: None })
}

fn begin(call: &mut Call<'_>, asked: Asked, token: u32) -> Answer {
    let begun = call.world(|world| world.grpc(asked));
    if let Some(why) = begun.fatal {
        return Err(call.fatal(why));
    }
    for (token, event) in begun.told {
        let (callback, number) = event.callback();
        call.guest().begin_grpc(event);
        let root = call.guest().root();
        call.call_back(callback, (root, token, number))?;
        call.guest().end_grpc(false);
    }
    // Left as it was where no call was made.
    let number = begun.token?;
    call.guest().calls_out(number);
    call.put_number(token, number)
}
