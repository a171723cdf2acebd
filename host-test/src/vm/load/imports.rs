//! What a module imports, against what the host offers.

use wasmtime::{
    Extern, ExternType, FuncType, Instance, InstancePre, Linker, Memory, MemoryType, Module, Ref, Store, StoreLimits,
    Table, TableType,
};

use super::{Version, signature};
use crate::{abi::Guest, world::Shared};

/// A name of two parts, and what is to stand there.
#[derive(Clone)]
struct Named<T> {
    module: String,
    name: String,
    kind: T,
}

/// What the host makes for each instance, since the module brings none of its own.
#[derive(Clone)]
pub struct Given {
    memory: Option<Named<MemoryType>>,
    table: Option<Named<TableType>>,
    /// Where it makes nothing, all is linked once.
    linked: Option<InstancePre<Guest>>,
}

impl Given {
    pub fn memory(&self) -> bool {
        self.memory.is_some()
    }

    pub fn instantiate(
        &self,
        linker: &Linker<Guest>,
        module: &Module,
        store: &mut Store<Guest>,
    ) -> wasmtime::Result<(Instance, Option<Memory>)> {
        if let Some(linked) = &self.linked {
            return Ok((linked.instantiate(store)?, None));
        }
        let mut linker = linker.clone();
        let mut memory = None;
        if let Some(Named { module, name, kind }) = &self.memory {
            let made = Memory::new(&mut *store, kind.clone())?;
            linker.define(&mut *store, module, name, made)?;
            memory = Some(made);
        }
        if let Some(Named { module, name, kind }) = &self.table {
            let made = Table::new(&mut *store, kind.clone(), Ref::null(kind.element().heap_type()))?;
            linker.define(&mut *store, module, name, made)?;
        }
        Ok((linker.instantiate(store, module)?, memory))
    }
}

pub fn check(linker: &Linker<Guest>, module: &Module, version: Version) -> Result<Given, String> {
    // The store is only asked for the types of what the linker holds.
    let mut store =
        Store::new(module.engine(), Guest::new(Shared::default(), Default::default(), StoreLimits::default()));
    let mut given = Given { memory: None, table: None, linked: None };
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let missing = || Err(format!("Failed to load Wasm module due to a missing import: {name}"));
        match import.ty() {
            ExternType::Func(want) => {
                if name == "env.proxy_get_log_level" && version == Version::V0_2_0 {
                    return missing();
                }
                let Ok(Extern::Func(have)) = linker.get(&mut store, import.module(), import.name()) else {
                    return missing();
                };
                let have = have.ty(&store);
                if !FuncType::eq(&want, &have) {
                    let (want, have) = (signature(&want), signature(&have));
                    return Err(format!(
                        "Failed to load Wasm module due to an import type mismatch: {name}, want: {want}, but host exports: {have}"
                    ));
                }
            }
            ExternType::Memory(kind) => put(&mut given.memory, import.module(), import.name(), kind)?,
            ExternType::Table(kind) => put(&mut given.table, import.module(), import.name(), kind)?,
            ExternType::Tag(_) => {
                return Err(format!("the import {name} is a tag, of which Envoy 1.40 dies (SIGTRAP): import none"));
            }
            ExternType::Global(_) => return missing(),
        }
    }
    if given.memory.is_none() && given.table.is_none() {
        let linked = linker.instantiate_pre(module);
        given.linked = Some(linked.map_err(|error| format!("Failed to load Wasm module: {error:#}"))?);
    }
    Ok(given)
}

fn put<T>(place: &mut Option<Named<T>>, module: &str, name: &str, kind: T) -> Result<(), String> {
    if let Some(first) = place {
        return Err(format!(
            "the module imports {}.{} and {module}.{name}, and of two memories or two tables Envoy 1.40 dies (SIGSEGV): import one",
            first.module, first.name
        ));
    }
    *place = Some(Named { module: module.to_owned(), name: name.to_owned(), kind });
    Ok(())
}
