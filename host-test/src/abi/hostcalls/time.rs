//! The clock and ticks.

use wasmtime::Linker;

use super::calls;
use crate::abi::Guest;

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_current_time_nanoseconds(|call, time: u32| {
            let now = call.world(|world| world.clock.of_day());
            call.put(time, &now.to_le_bytes())
        });
        proxy_set_tick_period_milliseconds(|call, period: u32| {
            let (vm, root) = (call.guest().vm, call.guest().root());
            call.world(|world| world.timers.set(vm, root, world.clock.now(), period));
            Ok(())
        });
    }
    Ok(())
}
