//! The proxy: workers with the VMs of a chain of filters, streams in flight, and time.
//!
//! 1. Each filter begins in a VM that others are made from, and is tried in a canary, which is dropped. Then
//!    it starts in the main thread's VM, and in each worker's.
//! 2. A step sends, answers or waits on one stream. A stream without a name is played to its end; one
//!    with a name stays open until it ends.
//! 3. Time passes only where a step says so, and where a stream can go on with nothing but an event:
//!    a callout's answer, a tick. Whoever still waits after ten seconds leaves.
//! 4. A VM that trapped comes back under `fail_reload` with the first request that comes a while after its
//!    worker last made one, or tried to; those before are refused. Envoy draws that while from the back-off to
//!    one and a half times as much, each time anew: here it is the longest.
//! 5. A new configuration overlaps with the one before it (`update`, `thread`).
//! 6. What is due at once comes to root contexts between the pieces of a message, and what they do to streams is done
//!    behind their callback, in order (`stream::acts`).

mod anew;
mod exchange;
mod mishap;
mod play;
mod root;
mod thread;
mod update;

use std::{collections::BTreeMap, rc::Rc};

pub use self::{root::Root, thread::Slot};
use self::{
    thread::Thread,
    update::{Drain, Tried},
};
use super::{
    Plugin, Shared,
    callouts::Pending,
    queues::Ready,
    stream::{Acted, Filter, Run, Stream, Trap},
};
use crate::{
    outcome::Message,
    scenario::{FailurePolicy, Request, Step},
    vm::Counts,
};

/// Makes a VM for the filter at a place in the chain, and initialises it.
pub type Start = Box<dyn Fn(usize, &Plugin) -> Result<Box<dyn Filter>, String>>;

/// How long the first step waits for what was asked for at the start. Nanoseconds.
pub const START_WITHIN: u64 = 2_000_000_000;

pub struct Proxy {
    world: Shared,
    start: Start,
    /// The main one, then the workers.
    threads: Vec<Thread>,
    open: BTreeMap<String, Open>,
    connections: u64,
    /// How many configurations there were before this one.
    generation: u32,
    drains: Vec<Drain>,
    tried: Tried,
    /// The place of the filter under test.
    under_test: usize,
}

/// A stream in flight.
struct Open {
    thread: usize,
    /// The configuration that it began with.
    generation: u32,
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
    /// Envoy is given its pieces all at once.
    in_one_go: bool,
}

impl Proxy {
    /// Starts a chain of filters on so many workers. The error is that of the canary that didn't start.
    pub fn start(
        world: Shared,
        chain: &[Rc<Plugin>],
        under_test: usize,
        workers: usize,
        start: Start,
    ) -> Result<Self, String> {
        let mut proxy = Self {
            world,
            start,
            threads: Vec::new(),
            open: BTreeMap::new(),
            connections: 0,
            generation: 0,
            drains: Vec::new(),
            tried: Tried::default(),
            under_test,
        };
        proxy.threads = (0..=workers.max(1)).map(Thread::new).collect();
        for (place, plugin) in chain.iter().enumerate() {
            proxy.try_out(place, plugin)?;
            proxy.place(0, place, plugin);
        }
        // The workers begin once the main thread is done.
        for thread in 1..proxy.threads.len() {
            chain.iter().enumerate().for_each(|(place, plugin)| proxy.place(thread, place, plugin));
        }
        proxy.events_of_start();
        Ok(proxy)
    }

    fn place(&mut self, thread: usize, place: usize, plugin: &Rc<Plugin>) {
        let Some(thread) = self.threads.get_mut(thread) else { return };
        let slot = thread.slot(&self.world, &self.start, place, plugin);
        if slot.root.is_none() {
            self.tried.spoil(place, plugin);
        }
        thread.chain.push(slot);
    }

    pub fn world(&self) -> &Shared {
        &self.world
    }

    /// What the filter under test used on the first worker since the last call.
    pub fn take_counts(&mut self) -> Counts {
        let slot = self.threads.get(1).and_then(|worker| worker.chain.get(self.under_test));
        let root = slot.and_then(|slot| slot.root.as_ref());
        root.and_then(|root| root.call(|filter| filter.take_counts())).unwrap_or_default()
    }

    /// The worker that takes a step's request.
    fn worker_of(&self, step: &Step) -> usize {
        (step.worker.max(1) as usize).min(self.threads.len().saturating_sub(1))
    }

    /// New VMs for those of a worker that trapped, where the policy makes some.
    fn reload(&mut self, thread: usize) {
        let (policy, longest, now) = {
            let world = self.world.borrow();
            let base = world.given.reload_backoff.0;
            (world.given.failure_policy, base.saturating_add(base / 2), world.clock.now())
        };
        let Some(thread) = self.threads.get_mut(thread).filter(|_| policy == FailurePolicy::FailReload) else { return };
        for place in 0..thread.chain.len() {
            let Some(slot) = thread.chain.get(place) else { continue };
            let trapped = slot.root.as_ref().is_some_and(|root| !root.vm.is_alive());
            let waited = slot.loaded_at.is_none_or(|loaded| now.saturating_sub(loaded) >= longest);
            if !trapped || !waited {
                continue;
            }
            let again = thread.slot(&self.world, &self.start, place, &Rc::clone(&slot.plugin));
            if let Some(slot) = thread.chain.get_mut(place) {
                slot.loaded_at = Some(now);
                // Where the new one doesn't start, the old one stays what it is.
                if again.root.is_some() {
                    slot.root = again.root;
                }
            }
        }
    }

    /// Ends what nothing holds any more.
    fn sweep(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.sweep(&self.world));
    }

    /// Lets time pass; what becomes due happens at its time.
    fn pass(&mut self, nanoseconds: u64) {
        let until = self.world.borrow().clock.now().saturating_add(nanoseconds);
        while self.next_event(until) {}
        self.world.borrow_mut().clock.reach(until);
    }

    /// What was asked for at the start is answered before the first step, if it doesn't take long.
    fn events_of_start(&mut self) {
        let until = self.world.borrow().clock.now().saturating_add(START_WITHIN);
        loop {
            let due = {
                let world = self.world.borrow();
                let (dues, now) = ([world.callouts.next_due(), world.grpc.next_due()], world.clock.now());
                dues.into_iter().flatten().min().unwrap_or(now).max(now)
            };
            if due > until || !self.next_event(due) {
                return;
            }
        }
    }

    /// Plays the next event that is due until then; whether there was one.
    fn next_event(&mut self, until: u64) -> bool {
        if self.world.borrow().room.left_out().is_some() {
            return false;
        }
        let ready = self.world.borrow_mut().queues.next_ready();
        if let Some(Ready { vm, root, queue }) = ready {
            let successor = self.threads.iter().find_map(|thread| thread.successor(vm));
            if let Some(vm) = successor {
                self.root(vm.number, |filter| filter.queue_ready(root, queue));
            }
            return true;
        }
        let (answer, told, tick) = {
            let mut world = self.world.borrow_mut();
            let drained = self.drains.iter().map(|drain| drain.until).min();
            let late = self.open.values().filter_map(|open| open.stream.times_out()).min();
            let dues = [world.callouts.next_due(), world.grpc.next_due(), world.timers.next_due(), drained, late];
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
            return true;
        }
        if told.is_some() {
            // What came in one piece is told before anything else comes.
            let mut told = told;
            while let Some((vm, token, event)) = told {
                self.root(vm, |filter| filter.grpc(token, event));
                told = self.world.borrow_mut().grpc.take_ready();
            }
            return true;
        }
        if let Some((vm, root)) = tick {
            self.root(vm, |filter| filter.tick(root));
            return true;
        }
        let now = self.world.borrow().clock.now();
        let late = |(_, open): &(&String, &Open)| open.stream.times_out().is_some_and(|time| time <= now);
        if let Some(name) = self.open.iter().find(late).map(|(name, _)| name.clone()) {
            self.run(&name, |run| run.upstream_is_late());
            return true;
        }
        if let Some(drain) = self.drains.iter().find(|drain| drain.until <= now) {
            self.drained(drain.generation);
        }
        true
    }

    /// A callback of a VM's root context, which may act on any of the VM's streams.
    fn root(&mut self, vm: u32, callback: impl FnOnce(&mut dyn Filter) -> Result<(), Trap>) {
        if !self.world.borrow_mut().room.event() {
            return;
        }
        let found = self.threads.iter().enumerate().find_map(|(thread, own)| Some((thread, own.root_in(vm)?)));
        let Some((thread, root)) = found else { return };
        self.world.borrow_mut().enter(thread);
        let own = |open: &&mut Open| open.thread == thread;
        self.open.values_mut().filter(own).for_each(|open| open.stream.lend_to(vm));
        let returned = root.call(|filter| {
            callback(filter)?;
            filter.failed().map_or(Ok(()), Err)
        });
        self.open.values_mut().filter(own).for_each(|open| open.stream.reclaim_from(vm));
        if let Some(Err(trap)) = returned {
            root.vm.trapped(&self.world, &trap);
            return;
        }
        self.acts();
    }

    /// Does what callbacks asked for in the streams of other contexts.
    fn acts(&mut self) {
        if self.world.borrow().acts.is_empty() {
            return;
        }
        let unreached = self.unreached();
        loop {
            let next = self.world.borrow_mut().acts.pop_front();
            let Some(Acted { vm, context, act }) = next else { break };
            let of_it = |(_, open): &(&String, &Open)| open.stream.seat_of(vm, context).is_some();
            let Some((name, thread)) = self.open.iter().find(of_it).map(|(name, open)| (name.clone(), open.thread))
            else {
                continue;
            };
            self.world.borrow_mut().enter(thread);
            if let Some(mut run) = self.running(&name) {
                run.act_on(vm, context, act);
            }
        }
        self.forget_unreached(unreached);
    }

    /// A stream, with the others that are in flight on its thread.
    fn running(&mut self, name: &str) -> Option<Run<'_>> {
        let thread = self.open.get(name)?.thread;
        let (mut stream, mut others) = (None, Vec::new());
        for (other, open) in self.open.iter_mut().filter(|(_, open)| open.thread == thread) {
            if other == name {
                stream = Some(&mut open.stream);
            } else if !open.stream.ended {
                others.push(&mut open.stream);
            }
        }
        Some(Run { world: &self.world, stream: stream?, others })
    }

    /// Streams whose requests haven't reached the upstream.
    fn unreached(&self) -> Vec<String> {
        let unreached = |open: &Open| open.stream.upstream.is_none() && !open.stream.ended;
        self.open.iter().filter(|(_, open)| unreached(open)).map(|(name, _)| name.clone()).collect()
    }

    /// What was sent upstream of a stream that ended before there was a connection, nobody has.
    fn forget_unreached(&mut self, names: Vec<String>) {
        for name in names {
            let open = self.open.get_mut(&name);
            if let Some(open) = open.filter(|open| open.stream.ended && !open.stream.connected) {
                open.stream.upstream = None;
            }
        }
    }
}
