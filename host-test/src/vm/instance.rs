//! One VM: its start, its callbacks, and what they cost.

use std::rc::Rc;

use wasmtime::{Memory, Store, Trap as Fault, WasmBacktrace, WasmParams, WasmResults};

use super::{
    limits::{Counts, Limits},
    load::Loaded,
};
use crate::{
    abi::{Budget, Guest, Stage, guest::ROOT},
    world::{
        Plugin, Shared, Side,
        callouts::Answer,
        grpc::Event,
        stream::{Filter, Refused, Trap},
        trace::Numbers,
    },
};

pub struct Instance {
    store: Store<Guest>,
    instance: wasmtime::Instance,
    memory: Memory,
    limits: Limits,
    fuel: u64,
    next: u32,
    /// A trap behind a callback that had returned.
    failed: Option<Trap>,
}

impl Instance {
    /// Envoy's start of a VM: `_initialize` (or `_start`). The error is Envoy's or the trap's.
    pub fn start(module: &Loaded, world: &Shared, plugin: &Plugin, limits: Limits) -> Result<Self, String> {
        {
            let mut world = world.borrow_mut();
            world.envoy = limits.envoy;
            world.trace.created(limits.trace || limits.watch);
        }
        let guest = Guest::new(Shared::clone(world), Rc::new(plugin.clone()), limits.of_store());
        let mut store = Store::new(module.module().engine(), guest);
        store.limiter(|guest| &mut guest.limits);
        limits.arm(&mut store).map_err(|error| error.to_string())?;
        let (instance, memory) = module
            .instantiate(&mut store)
            .map_err(|error| format!("Failed to create new Wasm instance: {}", told(&error, limits)))?;
        let allocator = ["malloc", "proxy_on_memory_allocate"]
            .into_iter()
            .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
        store.data_mut().memory = Some(memory);
        store.data_mut().allocator = allocator;
        let mut vm = Self { store, instance, memory, limits, fuel: 0, next: ROOT, failed: None };
        vm.begin().map_err(|Trap { callback, message }| format!("Function: {callback} failed: {message}"))?;
        vm.store.data_mut().stage = Stage::Serving;
        Ok(vm)
    }

    fn begin(&mut self) -> Result<(), Trap> {
        if self.call::<(), ()>(ROOT, "_initialize", ())?.is_some() {
            if self.call::<(u32, u32), u32>(ROOT, "main", (0, 0))?.is_none() {
                self.call::<(), u32>(ROOT, "__main_void", ())?;
            }
        } else {
            self.call::<(), ()>(ROOT, "_start", ())?;
        }
        Ok(())
    }

    /// `on_vm_start` and `on_configure`.
    fn configure(&mut self, root: u32, callback: &str, length: usize) -> Result<(), Refused> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let refused = |why: String, trap| {
            Err(Refused { root, message: format!("Unable to create Wasm plugin: {callback} {why}"), trap })
        };
        match self.call::<(u32, u32), u32>(root, callback, (root, length)) {
            Ok(Some(0)) => refused("answered false".into(), None),
            Ok(_) => Ok(()),
            Err(trap) => refused(format!("failed: {}", trap.message), Some(trap)),
        }
    }

    /// One callback for a context, and the ends of root contexts that it lets go; `None` where the module
    /// doesn't have it.
    fn call<P: WasmParams + Numbers, R: WasmResults + Numbers>(
        &mut self,
        context: u32,
        callback: &str,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        let returned = self.call_once(context, callback, arguments)?;
        while let Some(root) = self.store.data_mut().over.pop() {
            self.delete_root(root)?;
        }
        Ok(returned)
    }

    fn delete_root(&mut self, root: u32) -> Result<(), Trap> {
        let deleted = self.call_once::<_, ()>(root, "proxy_on_delete", (root,)).map(drop);
        let guest = self.store.data_mut();
        guest.roots.remove(&root);
        let vm = guest.vm;
        guest.world.borrow_mut().timers.forget_root(vm, root);
        deleted
    }

    fn call_once<P: WasmParams + Numbers, R: WasmResults + Numbers>(
        &mut self,
        context: u32,
        callback: &str,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        // Its signature was checked when the module was loaded.
        let Ok(function) = self.instance.get_typed_func::<P, R>(&mut self.store, callback) else { return Ok(None) };
        let trap = |message| Trap { callback: callback.to_owned(), message };
        let guest = self.store.data_mut();
        (guest.context, guest.effective, guest.budget) = (context, None, Budget::default());
        if let Some(plugin) = guest.roots.get(&guest.root_of(context)) {
            guest.plugin = Rc::clone(plugin);
        }
        self.limits.arm(&mut self.store).map_err(|error| trap(error.to_string()))?;
        let world = Shared::clone(&self.store.data().world);
        world.borrow_mut().trace.called(callback, &arguments);
        let answer = function.call(&mut self.store, arguments);
        let fuel = self.limits.fuel - self.store.get_fuel().unwrap_or(0);
        self.fuel += fuel;
        match answer {
            Ok(answer) => {
                world.borrow_mut().trace.returned(callback, &answer, fuel);
                if let Some((within, error)) = self.store.data_mut().trapped.take() {
                    let message = told(&error, self.limits);
                    world.borrow_mut().trace.trapped(&within, &message);
                    return Err(Trap { callback: within, message });
                }
                self.deferred();
                Ok(Some(answer))
            }
            Err(error) => {
                let message = told(&error, self.limits);
                world.borrow_mut().trace.trapped(callback, &message);
                Err(trap(message))
            }
        }
    }
}

impl Instance {
    /// The body that a callback finds or leaves, where calls are kept to be told.
    fn body_in_hand(&self, id: u32, side: Side) -> Option<Vec<u8>> {
        let guest = self.limits.trace.then(|| self.store.data())?;
        let exchange = guest.world.borrow().exchanges.get(&(guest.vm, id)).cloned()?;
        exchange.borrow().half(side).body.clone()
    }

    /// What a callback left to be told once it has returned.
    fn deferred(&mut self) {
        let (world, vm) = (Shared::clone(&self.store.data().world), self.vm());
        while self.failed.is_none() {
            let next = world.borrow_mut().grpc.take_deferred(vm);
            let Some((token, event)) = next else { return };
            self.failed = self.grpc(token, event).err();
        }
    }
}

impl Filter for Instance {
    fn vm(&self) -> u32 {
        self.store.data().vm
    }

    fn start_root(&mut self, plugin: &Rc<Plugin>) -> Result<u32, Refused> {
        let root = self.next_id();
        self.store.data_mut().configured = false;
        self.store.data_mut().roots.insert(root, Rc::clone(plugin));
        self.call::<(u32, u32), ()>(root, "proxy_on_context_create", (root, 0)).map_err(|trap| {
            let message = format!("Function: {} failed: {}", trap.callback, trap.message);
            Refused { root, message, trap: Some(trap) }
        })?;
        self.configure(root, "proxy_on_vm_start", plugin.vm_configuration.len())?;
        self.store.data_mut().stage = Stage::Configuring;
        let configured = self.configure(root, "proxy_on_configure", plugin.configuration.len());
        let guest = self.store.data_mut();
        (guest.stage, guest.configured) = (Stage::Serving, true);
        configured.map(|()| root)
    }

    fn end_root(&mut self, root: u32) -> Result<bool, Trap> {
        if self.call::<_, u32>(root, "proxy_on_done", (root,))? == Some(0) {
            self.store.data_mut().ending.insert(root);
            return Ok(false);
        }
        self.delete_root(root).map(|()| true)
    }

    fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn begin(&mut self, id: u32, root: u32) -> Result<(), Trap> {
        self.store.data_mut().streams.insert(id, root);
        self.call::<_, ()>(id, "proxy_on_context_create", (id, root)).map(drop)
    }

    fn headers(&mut self, id: u32, side: Side, lines: u32, end: bool) -> Result<u32, Trap> {
        let callback = match side {
            Side::Request => "proxy_on_request_headers",
            Side::Response => "proxy_on_response_headers",
        };
        self.call(id, callback, (id, lines, u32::from(end))).map(Option::unwrap_or_default)
    }

    fn body(&mut self, id: u32, side: Side, size: u32, end: bool) -> Result<u32, Trap> {
        let callback = match side {
            Side::Request => "proxy_on_request_body",
            Side::Response => "proxy_on_response_body",
        };
        let before = self.body_in_hand(id, side);
        let world = Shared::clone(&self.store.data().world);
        world.borrow_mut().trace.held(before.as_deref());
        let answer = self.call(id, callback, (id, size, u32::from(end))).map(Option::unwrap_or_default);
        if let Some(left) = self.body_in_hand(id, side).filter(|left| before.as_ref() != Some(left)) {
            world.borrow_mut().trace.left(callback, &left);
        }
        answer
    }

    fn trailers(&mut self, id: u32, side: Side, lines: u32) -> Result<u32, Trap> {
        let callback = match side {
            Side::Request => "proxy_on_request_trailers",
            Side::Response => "proxy_on_response_trailers",
        };
        self.call(id, callback, (id, lines)).map(Option::unwrap_or_default)
    }

    fn log(&mut self, id: u32) -> Result<(), Trap> {
        self.call::<_, ()>(id, "proxy_on_log", (id,)).map(drop)
    }

    fn done(&mut self, id: u32) -> Result<(), Trap> {
        // A stream ends whatever `on_done` answers.
        self.call::<_, u32>(id, "proxy_on_done", (id,))?;
        self.call::<_, ()>(id, "proxy_on_delete", (id,))?;
        self.store.data_mut().streams.remove(&id);
        Ok(())
    }

    fn tick(&mut self, root: u32) -> Result<(), Trap> {
        self.call::<_, ()>(root, "proxy_on_tick", (root,)).map(drop)
    }

    fn queue_ready(&mut self, root: u32, queue: u32) -> Result<(), Trap> {
        if !self.store.data().roots.contains_key(&root) {
            return Ok(());
        }
        self.call::<_, ()>(root, "proxy_on_queue_ready", (root, queue)).map(drop)
    }

    fn answered(&mut self, token: u32, answer: Answer) -> Result<(), Trap> {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (headers, body, trailers) =
            (size(answer.headers.len()), size(answer.body.len()), size(answer.trailers.len()));
        let guest = self.store.data_mut();
        let root = guest.callers.remove(&token).unwrap_or(ROOT);
        if !guest.roots.contains_key(&root) {
            // Its calls ended with it.
            return Ok(());
        }
        if let Some((code, text)) = &answer.status {
            guest.status = (*code, text.clone().into_bytes());
        }
        guest.answer = Some(answer);
        let arguments = (root, token, headers, body, trailers);
        let returned = self.call::<_, ()>(root, "proxy_on_http_call_response", arguments).map(drop);
        let guest = self.store.data_mut();
        guest.answer = None;
        // The code stays for later answers, the text doesn't.
        guest.status.1.clear();
        returned
    }

    fn failed(&mut self) -> Option<Trap> {
        self.failed.take()
    }

    fn grpc(&mut self, token: u32, event: Event) -> Result<(), Trap> {
        let (callback, number) = event.callback();
        let close = matches!(event, Event::Close(..));
        let guest = self.store.data_mut();
        let root = guest.callers.get(&token).copied().unwrap_or(ROOT);
        guest.begin_grpc(event);
        let returned = self.call::<_, ()>(root, callback, (root, token, number)).map(drop);
        let guest = self.store.data_mut();
        if close {
            guest.callers.remove(&token);
        }
        guest.end_grpc(close);
        let (world, vm) = (Shared::clone(&guest.world), guest.vm);
        world.borrow_mut().grpc.told(vm, token, close);
        returned
    }

    fn take_counts(&mut self) -> Counts {
        let calls = std::mem::take(&mut self.store.data_mut().calls);
        Counts {
            hostcalls: calls.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            fuel: std::mem::take(&mut self.fuel),
            memory_bytes: self.memory.data_size(&self.store) as u64,
        }
    }
}

/// A trap for people: what happened, and in which functions, innermost first.
fn told(error: &wasmtime::Error, limits: Limits) -> String {
    let what = match error.downcast_ref::<Fault>() {
        Some(Fault::OutOfFuel) => {
            format!("more than {} units of fuel in one callback; in Envoy it would block its worker", limits.fuel)
        }
        Some(Fault::Interrupt) => {
            format!("more than {} s in one callback; in Envoy it would block its worker", limits.time.as_secs())
        }
        Some(fault) => fault.to_string(),
        None => error.root_cause().to_string(),
    };
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let names: Vec<&str> = frames.iter().filter_map(|frame| frame.func_name()).take(4).collect();
    if names.is_empty() { what } else { format!("{what} (in {})", names.join(" < ")) }
}
