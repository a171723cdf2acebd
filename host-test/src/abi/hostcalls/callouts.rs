//! Calls to other clusters.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::Guest,
    world::{callouts::Asked, pairs},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_http_call(
            |call, cluster: u32, cluster_size: u32, headers: u32, headers_size: u32, body: u32, body_size: u32, trailers: u32, trailers_size: u32, timeout: u32, token: u32| {
                let cluster = call.bytes(cluster, cluster_size)?;
                let headers = pairs::deserialise(&call.bytes(headers, headers_size)?);
                let body = call.bytes(body, body_size)?;
                call.bytes(trailers, trailers_size)?;
                let vm = call.guest().vm;
                let cluster = String::from_utf8_lossy(&cluster);
                let made = call.world(|world| world.http(vm, &cluster, &Asked { headers, body }, timeout));
                // Written even where no call was made.
                call.put_number(token, made.unwrap_or(0))?;
                if let Ok(token) = made {
                    call.guest().calls_out(token);
                }
                Ok(made.map(drop)?)
            }
        );
    }
    Ok(())
}
