//! What the world needs of a filter: its callbacks, whatever runs it.

use std::rc::Rc;

use crate::{
    vm::Counts,
    world::{Plugin, Side, callouts::Answer, grpc::Event},
};

/// A filter in a VM. What it reads and writes of a stream goes through the world's exchange of its
/// VM and context; what comes back is the number that the callback returned.
pub trait Filter {
    /// The VM's number in the world, unlike that of every other.
    fn vm(&self) -> u32;
    /// Whether further root contexts can live in the same VM.
    fn is_shared(&self) -> bool {
        true
    }
    /// Starts a root context with its configuration, and gives its id.
    fn start_root(&mut self, plugin: &Rc<Plugin>) -> Result<u32, Refused>;
    /// The end of a root context; whether it is over at once.
    fn end_root(&mut self, _root: u32) -> Result<bool, Trap> {
        Ok(true)
    }
    /// The id of a stream that begins now.
    fn next_id(&mut self) -> u32;
    fn begin(&mut self, id: u32, root: u32) -> Result<(), Trap>;
    fn headers(&mut self, id: u32, side: Side, lines: u32, end: bool) -> Result<u32, Trap>;
    fn body(&mut self, id: u32, side: Side, size: u32, end: bool) -> Result<u32, Trap>;
    fn trailers(&mut self, id: u32, side: Side, lines: u32) -> Result<u32, Trap>;
    fn log(&mut self, id: u32) -> Result<(), Trap>;
    /// The end of the stream.
    fn done(&mut self, id: u32) -> Result<(), Trap>;
    fn tick(&mut self, _root: u32) -> Result<(), Trap> {
        Ok(())
    }
    fn queue_ready(&mut self, _root: u32, _queue: u32) -> Result<(), Trap> {
        Ok(())
    }
    /// The answer to a callout; it is readable while this runs.
    fn answered(&mut self, _token: u32, _answer: Answer) -> Result<(), Trap> {
        Ok(())
    }
    /// What a gRPC call brings; it is readable while this runs.
    fn grpc(&mut self, _token: u32, _event: Event) -> Result<(), Trap> {
        Ok(())
    }
    /// A trap behind the last callback, whose answer holds.
    fn failed(&mut self) -> Option<Trap> {
        None
    }
    /// What was used since the last call.
    fn take_counts(&mut self) -> Counts {
        Counts::default()
    }
}

/// A root context that doesn't start.
#[derive(Clone, Debug)]
pub struct Refused {
    pub root: u32,
    /// In Envoy's words.
    pub message: String,
    /// The VM is of no more use, either.
    pub trap: Option<Trap>,
}

/// A filter that ended by a trap; its VM is of no more use.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The callback in which it happened.
    pub callback: String,
    pub message: String,
}
