//! Header maps.

use wasmtime::Linker;

use super::calls;
use crate::{
    abi::{Answer, Call, Guest},
    world::{
        Exchange, Status,
        maps::Map,
        pairs::{self, Pairs},
    },
};

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    calls! { linker;
        proxy_get_header_map_value(|call, map: u32, name: u32, name_size: u32, value: u32, value_size: u32| {
            let (map, name) = (Map::from_number(map)?, call.bytes(name, name_size)?);
            if let (Map::Callout(part), Some(answer)) = (map, &call.guest().answer) {
                let found = answer.value(part, &name)?;
                return call.give(&found, value, value_size);
            }
            if let Some(lines) = metadata(call, map) {
                let found = lines.into_iter().find(|(line, _)| line.eq_ignore_ascii_case(&name));
                return call.give(&found.ok_or(Status::NotFound)?.1, value, value_size);
            }
            let exchange = call.exchange()?;
            let found = exchange.borrow().value(map, &name).map(<[u8]>::to_vec)?;
            call.give(&found, value, value_size)
        });
        proxy_get_header_map_pairs(|call, map: u32, value: u32, value_size: u32| {
            let map = Map::from_number(map)?;
            if let (Map::Callout(part), Some(answer)) = (map, &call.guest().answer) {
                let pairs = answer.pairs(part);
                return call.give(&pairs, value, value_size);
            }
            if let Some(lines) = metadata(call, map).filter(|lines| !lines.is_empty()) {
                let lines = pairs::serialise(lines.iter().map(|(name, line)| (name.as_slice(), line.as_slice())));
                return call.give(&lines, value, value_size);
            }
            let pairs = call.guest().exchange().map(|exchange| exchange.borrow().pairs(map));
            call.give(&pairs.unwrap_or_default(), value, value_size)
        });
        proxy_get_header_map_size(|call, map: u32, size: u32| {
            let mut bytes = 0;
            edit(call, Map::from_number(map)?, |exchange, map| { bytes = exchange.map_size(map)?; Ok(()) })?;
            call.put_number(size, u32::try_from(bytes).unwrap_or(u32::MAX))
        });
        proxy_set_header_map_pairs(|call, map: u32, lines: u32, lines_size: u32| {
            let (map, lines) = (Map::from_number(map)?, pairs::deserialise(&call.bytes(lines, lines_size)?));
            edit(call, map, |exchange, map| exchange.set_pairs(map, lines))
        });
        proxy_replace_header_map_value(|call, map: u32, name: u32, name_size: u32, value: u32, value_size: u32| {
            let map = Map::from_number(map)?;
            let (name, value) = (call.bytes(name, name_size)?, call.bytes(value, value_size)?);
            edit(call, map, |exchange, map| exchange.replace(map, &name, &value))
        });
        proxy_add_header_map_value(|call, map: u32, name: u32, name_size: u32, value: u32, value_size: u32| {
            let map = Map::from_number(map)?;
            let (name, value) = (call.bytes(name, name_size)?, call.bytes(value, value_size)?);
            edit(call, map, |exchange, map| exchange.add(map, &name, &value))
        });
        proxy_remove_header_map_value(|call, map: u32, name: u32, name_size: u32| {
            let (map, name) = (Map::from_number(map)?, call.bytes(name, name_size)?);
            edit(call, map, |exchange, map| exchange.remove(map, &name))
        });
    }
    Ok(())
}

/// The metadata of a gRPC call, while its callback runs.
fn metadata(call: &mut Call<'_>, map: Map) -> Option<Pairs> {
    match (map, &call.guest().grpc) {
        (Map::Callout(part), Some(event)) => event.map(part).cloned(),
        _ => None,
    }
}

fn edit<F>(call: &mut Call<'_>, map: Map, edit: F) -> Answer
where
    F: FnOnce(&mut Exchange, Map) -> Result<(), Status>,
{
    let exchange = call.exchange()?;
    let edited = edit(&mut exchange.borrow_mut(), map);
    Ok(edited?)
}
