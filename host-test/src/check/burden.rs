//! What all modules of one check may cost together. A file names as many as it likes, and each is hostile until it
//! has shown otherwise.
//!
//! 1. A VM whose memory doesn't fit beside the others' isn't kept: the next question is put to a new one.
//! 2. Instructions, and memory that has to be filled once more, are work. Once it is used up, nothing is asked.

use std::{cell::Cell, rc::Rc};

use crate::vm::Counts;

/// Bytes that VMs keep between two questions, all together.
const MEMORY: u64 = 1 << 30;
/// Units of fuel, all together; some fifteen seconds.
const WORK: u64 = 10_000_000_000;

/// Shared by the modules of one check.
#[derive(Clone, Debug)]
pub struct Burden(Rc<Left>);

#[derive(Debug)]
struct Left {
    memory: Cell<u64>,
    work: Cell<u64>,
}

impl Default for Burden {
    fn default() -> Self {
        Self(Rc::new(Left { memory: Cell::new(MEMORY), work: Cell::new(WORK) }))
    }
}

impl Burden {
    pub fn is_spent(&self) -> bool {
        self.0.work.get() == 0
    }

    pub fn work(&self, fuel: u64) {
        self.0.work.set(self.0.work.get().saturating_sub(fuel));
    }

    /// What a start or a question cost.
    pub fn of(&self, counts: &Counts, is_start: bool) {
        // The canary, the main thread and the worker each fill it, at no fuel to speak of.
        let memory = if is_start { counts.memory_bytes.saturating_mul(4) } else { 0 };
        self.work(counts.fuel.saturating_add(memory));
    }

    /// Room for a VM with this much memory, if there is any.
    pub fn room(&self, bytes: u64) -> Option<Room> {
        // The main thread has one like it.
        let bytes = bytes.saturating_mul(2);
        self.0.memory.set(self.0.memory.get().checked_sub(bytes)?);
        Some(Room { burden: self.clone(), bytes })
    }
}

/// Is given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    burden: Burden,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let memory = &self.burden.0.memory;
        memory.set(memory.get().saturating_add(self.bytes));
    }
}
