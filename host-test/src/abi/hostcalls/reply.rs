//! A reply of the filter's own.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::Guest,
    world::{pairs, reply::Reply, stream::Act},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_send_local_response(
            |call, status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32, headers_size: u32, grpc_status: i32| {
                let details = call.bytes(details, details_size)?;
                let body = call.bytes(body, body_size)?;
                let headers = pairs::deserialise(&call.bytes(headers, headers_size)?);
                let details = String::from_utf8_lossy(&details).into_owned();
                call.guest().stops = true;
                // The root context has nobody to reply to, and is told OK as well.
                let Some(exchange) = call.guest().exchange() else { return Ok(()) };
                let reply = Reply { status, headers, body, details, grpc_status };
                if let Some(other) = call.guest().other() {
                    call.guest().acts(other, Act::Reply(reply));
                    return Ok(());
                }
                let sent = exchange.borrow_mut().send(reply);
                sent.map_err(|fatal| call.fatal(fatal))
            }
        );
    }
    Ok(())
}
