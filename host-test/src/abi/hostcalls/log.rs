//! The log.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::Guest,
    world::{Logs, Status, logs::Level},
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_log(|call, level: u32, text: u32, text_size: u32| {
            let level = Level::from_number(level).ok_or(Status::BadArgument)?;
            let text = call.bytes(text, text_size)?;
            call.world(|world| world.logs.said(level, &String::from_utf8_lossy(&text)));
            Ok(())
        });
        proxy_get_log_level(|call, level: u32| call.put_number(level, Logs::THRESHOLD as u32));
    }
    Ok(())
}
