//! How the last callout ended.

use wasmtime::Linker;

use super::calls;
use crate::abi::Guest;

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_status(|call, code: u32, text: u32, text_size: u32| {
            let (number, message) = call.guest().status.clone();
            call.put_number(code, number)?;
            call.give(&message, text, text_size)
        });
    }
    Ok(())
}
