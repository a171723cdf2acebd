//! One call of a guest: who may make it, what it reads from the guest's memory and leaves there.

use std::{cell::RefCell, rc::Rc};

use wasmtime::{Caller, Extern, Memory};

use super::{
    guest::{Guest, ROOT},
    restricted,
};
use crate::world::{Exchange, Status, World, logs::Level};

/// How a call ends when not with OK.
pub enum Stop {
    /// By a status that the guest sees.
    Status(Status),
    /// By the guest's end.
    Trap(wasmtime::Error),
}

pub type Answer<T = ()> = Result<T, Stop>;

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

const NO_MEMORY: Stop = Stop::Status(Status::InvalidMemoryAccess);

/// Whether a call may be made now, and how often it was.
pub fn count(caller: &mut Caller<'_, Guest>, name: &'static str, wasi: bool) -> wasmtime::Result<()> {
    let guest = caller.data_mut();
    *guest.calls.entry(name).or_default() += 1;
    restricted::check(guest.doing(), name, wasi).map_err(wasmtime::Error::msg)?;
    guest.budget.call().map_err(wasmtime::Error::msg)
}

/// WASI's `ENOTCAPABLE`.
const NOT_CAPABLE: u32 = 76;

/// Whether the capability list has a call; where it hasn't, the log says so.
fn allowed(caller: &Caller<'_, Guest>, name: &str, kind: &str) -> bool {
    let guest = caller.data();
    let allowed = guest.plugin.allows(name);
    if !allowed {
        let line = format!("Attempted call to restricted {kind} capability: {name}");
        guest.world.borrow_mut().logs.write(Level::Error, &line);
    }
    allowed
}

pub struct Call<'a> {
    caller: Caller<'a, Guest>,
}

impl<'a> Call<'a> {
    /// Makes a call of `env` and gives its status to the guest.
    pub fn enter<F>(mut caller: Caller<'a, Guest>, name: &'static str, body: F) -> wasmtime::Result<u32>
    where
        F: FnOnce(&mut Self) -> Answer,
    {
        count(&mut caller, name, false)?;
        let world = Rc::clone(&caller.data().world);
        world.borrow_mut().trace.asked(name);
        let failed = caller.data().met().and_then(|met| world.borrow_mut().faults.call(met, name));
        let answer = match failed {
            Some(status) => Err(status.into()),
            None if !allowed(&caller, name, "proxy-wasm") => Err(Status::InternalFailure.into()),
            None => body(&mut Self { caller }),
        };
        let status = match answer {
            Ok(()) => 0,
            Err(Stop::Status(status)) => status as u32,
            Err(Stop::Trap(error)) => return Err(error),
        };
        world.borrow_mut().trace.answered(name, status);
        Ok(status)
    }

    /// Makes a call of WASI, whose numbers are its own; a bad pointer is 21, `EFAULT`.
    pub fn wasi<F>(mut caller: Caller<'a, Guest>, name: &'static str, body: F) -> wasmtime::Result<u32>
    where
        F: FnOnce(&mut Self) -> Answer<u32>,
    {
        count(&mut caller, name, true)?;
        let world = Rc::clone(&caller.data().world);
        world.borrow_mut().trace.asked(name);
        let answer = if allowed(&caller, name, "WASI") { body(&mut Self { caller }) } else { Ok(NOT_CAPABLE) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Stop::Status(_)) => 21,
            Err(Stop::Trap(error)) => return Err(error),
        };
        world.borrow_mut().trace.answered(name, answer);
        Ok(answer)
    }

    /// Keeps the arguments of the call that is about to be entered, for the trace.
    pub fn noting(caller: Caller<'a, Guest>, arguments: &[i64]) -> Caller<'a, Guest> {
        caller.data().world.borrow_mut().trace.note(arguments);
        caller
    }

    /// Runs a callback of the root context before the call returns, and gives the running one its place back.
    pub fn call_back(&mut self, callback: &str, arguments: (u32, u32, u32)) -> Answer {
        let Some(function) = self.caller.get_export(callback).and_then(Extern::into_func) else { return Ok(()) };
        let function = function.typed::<(u32, u32, u32), ()>(&self.caller)?;
        let guest = self.guest();
        let running = std::mem::replace(&mut guest.context, ROOT);
        let effective = guest.effective.take();
        self.world(|world| world.trace.called(callback, &arguments));
        let called = function.call(&mut self.caller, arguments);
        match called {
            Ok(()) => self.world(|world| world.trace.returned(callback, &(), 0)),
            Err(error) => drop(self.ended_within(callback, error)),
        }
        let guest = self.guest();
        (guest.context, guest.effective) = (running, effective);
        Ok(())
    }

    /// A trap within a call: the running callback goes on, and only then has the VM ended.
    fn ended_within(&mut self, callback: &str, error: wasmtime::Error) -> Stop {
        self.guest().trapped.get_or_insert((callback.to_owned(), error));
        NO_MEMORY
    }

    pub fn guest(&mut self) -> &mut Guest {
        self.caller.data_mut()
    }

    pub fn world<T>(&mut self, read: impl FnOnce(&mut World) -> T) -> T {
        read(&mut self.caller.data().world.borrow_mut())
    }

    /// The guest's end by what would end Envoy's process.
    pub fn fatal(&mut self, why: &str) -> Stop {
        self.world(|world| world.fatal.push(why.to_owned()));
        wasmtime::Error::msg(why.to_owned()).into()
    }

    /// The stream in effect; a call that needs one is a bad argument without.
    pub fn exchange(&mut self) -> Answer<Rc<RefCell<Exchange>>> {
        self.caller.data().exchange().ok_or(Stop::Status(Status::BadArgument))
    }

    fn memory(&self) -> Answer<Memory> {
        self.caller.data().memory.ok_or(NO_MEMORY)
    }

    pub fn bytes(&mut self, pointer: u32, length: u32) -> Answer<Vec<u8>> {
        let memory = self.memory()?;
        let (start, length) = (pointer as usize, length as usize);
        let (bytes, guest) = memory.data_and_store_mut(&mut self.caller);
        let bytes = bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or(NO_MEMORY)?;
        guest.budget.bytes(length).map_err(wasmtime::Error::msg)?;
        guest.world.borrow_mut().trace.carried(false, bytes);
        guest.world.borrow_mut().room.carry(length).map_err(wasmtime::Error::msg)?;
        Ok(bytes.to_vec())
    }

    pub fn put(&mut self, pointer: u32, bytes: &[u8]) -> Answer {
        let memory = self.memory()?;
        memory.write(&mut self.caller, pointer as usize, bytes).map_err(|_| NO_MEMORY)
    }

    pub fn put_number(&mut self, pointer: u32, number: u32) -> Answer {
        self.put(pointer, &number.to_le_bytes())
    }

    /// Makes room for what outlives the call.
    pub fn keep(&mut self, bytes: usize) -> Answer {
        Ok(self.world(|world| world.room.keep(bytes)).map_err(wasmtime::Error::msg)?)
    }

    /// Whether a fault takes the allocator's answer away.
    fn no_memory(&mut self) -> bool {
        let met = self.guest().met();
        met.is_some_and(|met| self.world(|world| world.faults.allocation(met)))
    }

    /// Hands bytes over in memory that the guest allocates.
    pub fn give(&mut self, bytes: &[u8], pointer: u32, size: u32) -> Answer {
        self.guest().budget.bytes(bytes.len()).map_err(wasmtime::Error::msg)?;
        self.world(|world| world.trace.carried(true, bytes));
        self.world(|world| world.room.carry(bytes.len())).map_err(wasmtime::Error::msg)?;
        let mut place = 0;
        let length = u32::try_from(bytes.len()).map_err(|_| NO_MEMORY)?;
        if length > 0 {
            let allocator = self.caller.data().allocator.clone().ok_or(NO_MEMORY)?;
            self.guest().allocating = true;
            self.world(|world| world.trace.called("malloc", &(length,)));
            let allocated = allocator.call(&mut self.caller, length);
            self.guest().allocating = false;
            match allocated {
                Ok(allocated) => place = allocated,
                Err(error) => return Err(self.ended_within("malloc", error)),
            }
            if self.no_memory() {
                place = 0;
            }
            self.world(|world| world.trace.returned("malloc", &place, 0));
            if place == 0 {
                return Err(NO_MEMORY);
            }
            self.put(place, bytes)?;
        }
        self.put_number(pointer, place)?;
        self.put_number(size, length)
    }
}
