//! gRPC calls, as far as they are played: one to a cluster that isn't there, and what is done with a token
//! that no call has. A call that could be made is told in the log.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest},
    world::{Status, callouts::Kind, logs::Level},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_grpc_call(
            |call, cluster: u32, cluster_size: u32, _service: u32, _service_size: u32, _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32, _message: u32, _message_size: u32, _timeout: u32, token: u32| {
                begin(call, cluster, cluster_size, token)
            }
        );
        proxy_grpc_stream(
            |call, cluster: u32, cluster_size: u32, _service: u32, _service_size: u32, _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32, token: u32| {
                begin(call, cluster, cluster_size, token)
            }
        );
        proxy_grpc_send(|_call, token: u32, _message: u32, _message_size: u32, _end: u32| {
            Err(match Kind::of(token) {
                Kind::GrpcStream => Status::NotFound,
                Kind::Http | Kind::GrpcCall | Kind::None => Status::BadArgument,
            }
            .into())
        });
        proxy_grpc_cancel(|_call, token: u32| end(token));
        proxy_grpc_close(|_call, token: u32| end(token));
    }
    Ok(())
}

fn begin(call: &mut Call<'_>, cluster: u32, cluster_size: u32, token: u32) -> Answer {
    let cluster = call.bytes(cluster, cluster_size)?;
    let known = call.world(|world| {
        let name = String::from_utf8_lossy(&cluster);
        let known = world.given.clusters.contains_key(&*name);
        if known {
            let text = format!("gRPC calls to `{name}` are not played by this host; UNIMPLEMENTED is answered");
            world.logs.write(Level::Error, &text);
        }
        known
    });
    call.put_number(token, 0)?;
    Err(if known { Status::Unimplemented } else { Status::ParseFailure }.into())
}

/// No call is under way, so none can be ended.
fn end(token: u32) -> Answer {
    Err(match Kind::of(token) {
        Kind::GrpcCall | Kind::GrpcStream => Status::NotFound,
        Kind::Http | Kind::None => Status::BadArgument,
    }
    .into())
}
