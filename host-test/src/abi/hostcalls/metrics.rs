//! Counters, gauges and histograms.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Call, Guest, call::Stop},
    world::{
        Metrics, Status,
        metrics::{self, Defined},
    },
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_define_metric(|call, kind: u32, name: u32, name_size: u32, id: u32| {
            let name = call.bytes(name, name_size)?;
            call.keep(name.len())?;
            let defined = stats(call, |defined, metrics| defined.define(metrics, kind, &metrics::name(&name)))?;
            call.put_number(id, defined)
        });
        proxy_increment_metric(|call, id: u32, by: i64| {
            named(call, id);
            stats(call, |defined, metrics| defined.increment(metrics, id, by))
        });
        proxy_record_metric(|call, id: u32, amount: u64| {
            named(call, id);
            stats(call, |defined, metrics| defined.record(metrics, id, amount))
        });
        proxy_get_metric(|call, id: u32, value: u32| {
            named(call, id);
            let read = stats(call, |defined, metrics| defined.get(metrics, id))?;
            call.guest().world.borrow_mut().trace.carried(true, read.cast_signed().to_string().as_bytes());
            call.put(value, &read.to_le_bytes())
        });
    }
    Ok(())
}

/// Tells the trace which metric it is: an id says nothing to people.
fn named(call: &mut Call<'_>, id: u32) {
    let guest = call.guest();
    if let Some(name) = guest.metrics.name(id) {
        guest.world.borrow_mut().trace.carried(false, name.as_bytes());
    }
}

fn stats<T, F>(call: &mut Call<'_>, change: F) -> Result<T, Stop>
where
    F: FnOnce(&mut Defined, &mut Metrics) -> Result<T, Status>,
{
    let guest = call.guest();
    Ok(change(&mut guest.metrics, &mut guest.world.borrow_mut().metrics)?)
}
