//! The proxy: workers with the VMs of a chain of filters, streams in flight, and time.
//!
//! 1. Each filter starts in a canary, which is dropped, in the main thread's VM and in each worker's.
//! 2. A step sends, answers or waits on one stream. A stream without a name is played to its end; one
//!    with a name stays open until it ends.
//! 3. Time passes only where a step says so, and where a stream can go on with nothing but an event:
//!    a callout's answer, a tick. Whoever still waits after ten seconds leaves.
//! 4. A VM that trapped comes back under `fail_reload`, a second later, with the next request.

mod anew;
mod exchange;
mod mishap;
mod play;

use std::collections::BTreeMap;

use super::{
    Shared,
    callouts::Pending,
    logs::Level,
    queues::Ready,
    stream::{Filter, Run, Stream, Trap},
};
pub use crate::scenario::FailurePolicy;
use crate::{
    outcome::Message,
    scenario::{Request, Step},
    vm::Counts,
};

/// A filter's place in a worker.
pub struct Slot {
    /// `None` after a trap.
    pub vm: Option<Box<dyn Filter>>,
    pub policy: FailurePolicy,
    /// Nanoseconds since the epoch.
    pub failed_at: Option<u64>,
}

/// Starts a VM of the filter at a place in the chain.
pub type Start = Box<dyn Fn(usize) -> Result<Box<dyn Filter>, String>>;

pub struct Proxy {
    world: Shared,
    start: Start,
    /// The main thread's.
    main: Vec<Slot>,
    workers: Vec<Vec<Slot>>,
    open: BTreeMap<String, Open>,
    connections: u64,
}

/// A stream in flight.
struct Open {
    worker: usize,
    stream: Stream,
    request: Request,
    /// The step whose lines the upstream's or a later filter's answer holds.
    answered_by: Step,
    connection: u64,
    /// What reached the upstream before the attempt that is in the stream.
    earlier: Vec<Message>,
    /// Attempts that were answered.
    answers: usize,
    redirects: u32,
}

/// How long Envoy waits before it makes a new VM.
const BACK_OFF: u64 = 1_000_000_000;

impl Proxy {
    /// Starts so many filters on so many workers. The error is that of the VM that didn't start.
    pub fn start(world: Shared, filters: usize, workers: usize, start: Start) -> Result<Self, String> {
        let policy = world.borrow().given.failure_policy;
        let mut proxy =
            Self { world, start, main: Vec::new(), workers: Vec::new(), open: BTreeMap::new(), connections: 0 };
        proxy.workers.resize_with(workers.max(1), Vec::new);
        for filter in 0..filters {
            let slot = |vm| Slot { vm: Some(vm), policy, failed_at: None };
            let canary = (proxy.start)(filter)?;
            proxy.world.borrow_mut().forget(canary.vm());
            drop(canary);
            proxy.main.push(slot((proxy.start)(filter)?));
            for slots in &mut proxy.workers {
                slots.push(slot((proxy.start)(filter)?));
            }
        }
        Ok(proxy)
    }

    pub fn world(&self) -> &Shared {
        &self.world
    }

    /// What the filter at a place in the chain used on the first worker since the last call.
    pub fn take_counts(&mut self, filter: usize) -> Counts {
        let slot = self.workers.first_mut().and_then(|slots| slots.get_mut(filter));
        slot.and_then(|slot| slot.vm.as_mut()).map(|vm| vm.take_counts()).unwrap_or_default()
    }

    /// The worker that takes a step's request.
    fn worker_of(&self, step: &Step) -> usize {
        (step.worker.max(1) as usize - 1).min(self.workers.len().saturating_sub(1))
    }

    /// New VMs for those of a worker that trapped, where its policy makes some.
    fn reload(&mut self, worker: usize) {
        let Some(slots) = self.workers.get_mut(worker) else { return };
        for (filter, slot) in slots.iter_mut().enumerate() {
            let Some(failed_at) = slot.failed_at.filter(|_| slot.policy == FailurePolicy::FailReload) else { continue };
            {
                let mut world = self.world.borrow_mut();
                let waited = world.clock.now().saturating_sub(failed_at);
                // A scenario waits with Envoy, so that the next step finds a new VM.
                world.clock.advance(BACK_OFF.saturating_sub(waited));
            }
            match (self.start)(filter) {
                Ok(vm) => (slot.vm, slot.failed_at) = (Some(vm), None),
                Err(message) => self.world.borrow_mut().logs.write(Level::Error, &message),
            }
        }
    }

    /// Lets time pass; what becomes due happens at its time.
    fn pass(&mut self, nanoseconds: u64) {
        let until = self.world.borrow().clock.now().saturating_add(nanoseconds);
        while self.next_event(until) {}
        self.world.borrow_mut().clock.reach(until);
    }

    /// Plays the next event that is due until then; whether there was one.
    fn next_event(&mut self, until: u64) -> bool {
        if self.world.borrow().room.left_out().is_some() {
            return false;
        }
        let ready = self.world.borrow_mut().queues.next_ready();
        if let Some(Ready { vm, queue }) = ready {
            self.root(vm, |filter| filter.queue_ready(queue));
            return true;
        }
        let (answer, told, tick) = {
            let mut world = self.world.borrow_mut();
            let dues = [world.callouts.next_due(), world.grpc.next_due(), world.timers.next_due()];
            let Some(due) = dues.into_iter().flatten().min().filter(|due| *due <= until) else { return false };
            world.clock.reach(due);
            let now = world.clock.now();
            let answer = world.callouts.take_due(now);
            let told = if answer.is_none() { world.grpc.take_due(now) } else { None };
            let tick = if answer.is_none() && told.is_none() { world.timers.take_due(now) } else { None };
            (answer, told, tick)
        };
        if let Some(Pending { vm, token, answer, .. }) = answer {
            self.root(vm, |filter| filter.answered(token, answer));
        }
        // What came in one piece is told before anything else comes.
        let mut told = told;
        while let Some((vm, token, event)) = told {
            self.root(vm, |filter| filter.grpc(token, event));
            told = self.world.borrow_mut().grpc.take_ready();
        }
        if let Some(vm) = tick {
            self.root(vm, |filter| filter.tick());
        }
        true
    }

    /// A callback of a VM's root context, which may act on any of the VM's streams.
    fn root(&mut self, vm: u32, callback: impl FnOnce(&mut dyn Filter) -> Result<(), Trap>) {
        if !self.world.borrow_mut().room.event() {
            return;
        }
        let places = std::iter::once((None, &self.main))
            .chain(self.workers.iter().enumerate().map(|(worker, slots)| (Some(worker), slots)));
        let is_it = |slot: &Slot| slot.vm.as_ref().is_some_and(|filter| filter.vm() == vm);
        let found = places.filter_map(|(worker, slots)| Some((worker, slots.iter().position(is_it)?))).next();
        let Some((worker, place)) = found else { return };
        let own = |open: &&mut Open| Some(open.worker) == worker;
        self.open.values_mut().filter(own).for_each(|open| open.stream.lend_to(vm));
        let slots = match worker {
            Some(worker) => self.workers.get_mut(worker),
            None => Some(&mut self.main),
        };
        let Some(slots) = slots else { return };
        let returned = slots.get_mut(place).and_then(|slot| slot.vm.as_mut()).map(|filter| {
            callback(filter.as_mut())?;
            filter.failed().map_or(Ok(()), Err)
        });
        self.open.values_mut().filter(own).for_each(|open| open.stream.reclaim_from(vm));
        if let Some(Err(trap)) = returned {
            slots.iter_mut().skip(place).take(1).for_each(|slot| slot.trapped(&self.world, &trap));
            return;
        }
        for open in self.open.values_mut().filter(own) {
            let mut run = Run { world: &self.world, slots, stream: &mut open.stream };
            let acted = run.after_root();
            run.settle(acted);
        }
    }
}
