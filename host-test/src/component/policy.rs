//! One instance of a policy: exchanges in, verdicts out.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{LazyLock, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::{Store, StoreLimitsBuilder, component::ResourceAny};

use super::{
    bindings::head::portcullis::policy::types::{self, Edit, Header, RequestHead, ResponseHead, Verdict},
    contract::{Contract, Loaded},
    host::{Guest, ROOT},
};
use crate::{
    vm::{self, Limits},
    world::{
        Exchange, Headers, Plugin, Shared, Side,
        grpc::Event,
        maps::Map,
        metrics::Defined,
        reply::Reply,
        stream::{Act, Acted, Filter, Refused, Trap},
    },
};

/// Compiles a component and links it to the world. What was compiled is kept, since a run has many
/// scenarios.
pub fn load(bytes: &[u8]) -> anyhow::Result<Loaded> {
    static LOADED: LazyLock<Mutex<HashMap<[u8; 32], Loaded>>> = LazyLock::new(Mutex::default);
    let key: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(loaded) = LOADED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(loaded.clone());
    }
    let loaded = compile(bytes)?;
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, loaded.clone());
    Ok(loaded)
}

fn compile(bytes: &[u8]) -> anyhow::Result<Loaded> {
    let engine = vm::engine().map_err(anyhow::Error::msg)?;
    let component = vm::cache::component(engine, bytes)?;
    Loaded::link(engine, &component)
}

pub struct Policy {
    store: Store<Guest>,
    policy: Contract,
    limits: Limits,
    exchanges: HashMap<u32, ResourceAny>,
    /// Bytes of the body that were told to an exchange that holds its request.
    held: HashMap<u32, usize>,
    next: u32,
}

impl Policy {
    /// An instance without a configuration.
    pub fn start(component: &Loaded, world: &Shared, plugin: &Plugin, limits: Limits) -> anyhow::Result<Self> {
        let guest = Guest {
            world: Shared::clone(world),
            plugin: Rc::new(plugin.clone()),
            vm: world.borrow_mut().next_vm(),
            metrics: Defined::default(),
            limits: StoreLimitsBuilder::new().memory_size(limits.memory).build(),
            exchange: None,
            configuring: false,
            calls: HashMap::new(),
        };
        let mut store = Store::new(vm::engine().map_err(anyhow::Error::msg)?, guest);
        store.limiter(|guest| &mut guest.limits);
        limits.arm(&mut store)?;
        let policy = component.instantiate(&mut store)?;
        Ok(Self { store, policy, limits, exchanges: HashMap::new(), held: HashMap::new(), next: 2 })
    }

    fn call<T, F>(&mut self, id: u32, callback: &str, call: F) -> Result<T, Trap>
    where
        F: FnOnce(&Contract, &mut Store<Guest>, ResourceAny) -> wasmtime::Result<T>,
    {
        self.store.data_mut().exchange = Some(id);
        let answer = self.limits.arm(&mut self.store).and_then(|()| match self.exchanges.get(&id) {
            Some(exchange) => call(&self.policy, &mut self.store, *exchange),
            None => Err(wasmtime::Error::msg("the exchange has ended")),
        });
        answer.map_err(|error| trap(callback, &error))
    }

    /// What the filter's exchange is in the world.
    fn with<T>(&self, id: u32, read: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        let exchange = self.store.data().world.borrow().exchanges.get(&(self.store.data().vm, id)).cloned()?;
        let mut exchange = exchange.borrow_mut();
        Some(read(&mut exchange))
    }

    /// The number that a callback of the body returns for a verdict; `size` is what is held with this piece.
    fn judge(&mut self, id: u32, verdict: Verdict, size: usize) -> u32 {
        if let Verdict::Hold = verdict {
            self.held.insert(id, size);
            return HOLD_HEAD;
        }
        self.held.remove(&id);
        let replies = matches!(verdict, Verdict::Reply(_));
        let number =
            self.with(id, |exchange| apply(exchange, Map::Headers(Side::Request), verdict)).unwrap_or_default();
        if replies { HOLD_HEAD } else { number }
    }

    /// Does what a verdict says outside of the stream's own callbacks.
    fn act(&mut self, id: u32, verdict: Verdict) {
        let act = match verdict {
            Verdict::Hold => return,
            Verdict::Reply(reply) => Act::Reply(self::reply(reply)),
            Verdict::Pass | Verdict::Edit(_) => {
                self.with(id, |exchange| apply(exchange, Map::Headers(Side::Request), verdict));
                Act::Resume(Side::Request)
            }
        };
        self.held.remove(&id);
        let guest = self.store.data();
        guest.world.borrow_mut().acts.push_back(Acted { vm: guest.vm, context: id, act });
    }
}

/// What a callback of proxy-wasm returns that holds its head, or its body, and hears of what follows.
const HOLD_HEAD: u32 = 1;

impl Filter for Policy {
    fn vm(&self) -> u32 {
        self.store.data().vm
    }

    /// A component has one configuration.
    fn is_shared(&self) -> bool {
        false
    }

    fn start_root(&mut self, plugin: &Rc<Plugin>) -> Result<u32, Refused> {
        let refused = |message, trap| Refused { root: ROOT, message, trap };
        self.store.data_mut().plugin = Rc::clone(plugin);
        self.store.data_mut().configuring = true;
        let taken = self
            .limits
            .arm(&mut self.store)
            .and_then(|()| self.policy.configure(&mut self.store, &plugin.configuration));
        self.store.data_mut().configuring = false;
        match taken {
            Ok(taken) => taken.map(|()| ROOT).map_err(|reason| refused(reason, None)),
            Err(error) => {
                let trap = trap("configure", &error);
                Err(refused(format!("configure failed: {}", trap.message), Some(trap)))
            }
        }
    }

    fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn begin(&mut self, id: u32, _root: u32) -> Result<(), Trap> {
        self.store.data_mut().exchange = Some(id);
        let exchange = self.limits.arm(&mut self.store).and_then(|()| self.policy.exchange(&mut self.store));
        self.exchanges.insert(id, exchange.map_err(|error| trap("exchange", &error))?);
        Ok(())
    }

    fn headers(&mut self, id: u32, side: Side, _lines: u32, end: bool) -> Result<u32, Trap> {
        let lines = self.with(id, |exchange| exchange.half(side).headers.clone()).flatten().unwrap_or_default();
        let verdict = match side {
            Side::Request => self.call(id, "on-request-head", |policy, store, exchange| {
                policy.request_head(store, exchange, &request_head(&lines), end)
            }),
            Side::Response => self.call(id, "on-response-head", |policy, store, exchange| {
                policy.response_head(store, exchange, &response_head(&lines))
            }),
        }?;
        if side == Side::Request && self.policy.reads_bodies() && matches!(verdict, Verdict::Hold) {
            self.held.insert(id, 0);
            return Ok(HOLD_HEAD);
        }
        Ok(self.with(id, |exchange| apply(exchange, Map::Headers(side), verdict)).unwrap_or_default())
    }

    fn body(&mut self, id: u32, side: Side, size: u32, end: bool) -> Result<u32, Trap> {
        if side == Side::Response || !self.policy.reads_bodies() {
            return Ok(0);
        }
        let told = self.held.get(&id).copied().unwrap_or_default();
        let body = self.with(id, |exchange| exchange.half(side).body.clone()).flatten().unwrap_or_default();
        let piece = body.get(told..).unwrap_or_default();
        let verdict = self
            .call(id, "on-request-body", |policy, store, exchange| policy.request_body(store, exchange, piece, end))?;
        Ok(self.judge(id, verdict, size as usize))
    }

    fn trailers(&mut self, id: u32, side: Side, _: u32) -> Result<u32, Trap> {
        if side == Side::Response || !self.policy.reads_bodies() {
            return Ok(0);
        }
        let verdict =
            self.call(id, "on-request-trailers", |policy, store, exchange| policy.request_trailers(store, exchange))?;
        Ok(self.judge(id, verdict, 0))
    }

    fn log(&mut self, _: u32) -> Result<(), Trap> {
        Ok(())
    }

    fn tick(&mut self, _: u32) -> Result<(), Trap> {
        self.store.data_mut().exchange = None;
        let told = self.limits.arm(&mut self.store).and_then(|()| self.policy.tick(&mut self.store));
        told.map_err(|error| trap("on-tick", &error))?;
        let mut held: Vec<u32> = self.held.keys().copied().collect();
        held.sort_unstable();
        for id in held {
            let verdict = self.call(id, "on-held-tick", |policy, store, exchange| policy.held_tick(store, exchange))?;
            self.act(id, verdict);
        }
        Ok(())
    }

    fn grpc(&mut self, token: u32, event: Event) -> Result<(), Trap> {
        let answer = match event {
            Event::Message(message) => Some(message),
            Event::Close(..) => None,
            Event::InitialMetadata(_) | Event::TrailingMetadata(_) => return Ok(()),
        };
        let guest = self.store.data_mut();
        guest.world.borrow_mut().grpc.told(guest.vm, token, answer.is_none());
        // The stream may be gone.
        let asking = guest.calls.remove(&token).filter(|id| self.exchanges.contains_key(id));
        let Some(id) = asking else { return Ok(()) };
        let verdict = self.call(id, "on-answer", |policy, store, exchange| {
            policy.answer(store, exchange, token, answer.as_deref())
        })?;
        self.act(id, verdict);
        Ok(())
    }

    fn done(&mut self, id: u32) -> Result<(), Trap> {
        self.held.remove(&id);
        let Some(exchange) = self.exchanges.remove(&id) else { return Ok(()) };
        self.store.data_mut().exchange = Some(id);
        let dropped = self.limits.arm(&mut self.store).and_then(|()| exchange.resource_drop(&mut self.store));
        dropped.map_err(|error| trap("exchange", &error))
    }
}

/// Makes a verdict's changes and gives the number that a callback of proxy-wasm would return.
fn apply(exchange: &mut Exchange, map: Map, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => 0,
        // All of the message, body included.
        Verdict::Hold => 4,
        Verdict::Edit(edits) => {
            for edit in edits {
                // The map is open: its callback runs.
                let _ = match edit {
                    Edit::Set(Header { name, value }) => exchange.replace(map, &name, &value),
                    Edit::Add(Header { name, value }) => exchange.add(map, &name, &value),
                    Edit::Remove(name) => exchange.remove(map, &name),
                };
            }
            0
        }
        Verdict::Reply(reply) => {
            // No policy runs behind the end of its stream, where this fails.
            let _ = exchange.send(self::reply(reply));
            0
        }
    }
}

fn reply(types::Reply { status, headers, body, details, grpc_status }: types::Reply) -> Reply {
    let headers = headers.into_iter().map(|Header { name, value }| (name, value)).collect();
    let grpc_status = grpc_status.and_then(|status| i32::try_from(status).ok()).unwrap_or(-1);
    Reply { status: status.into(), headers, body, details, grpc_status }
}

fn request_head(lines: &Headers) -> RequestHead {
    let of = |name: &[u8]| lines.get(name).unwrap_or_default().to_vec();
    RequestHead {
        method: of(b":method"),
        scheme: of(b":scheme"),
        authority: of(b":authority"),
        path: of(b":path"),
        headers: headers(lines),
    }
}

fn response_head(lines: &Headers) -> ResponseHead {
    let status = lines.get(b":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    ResponseHead { status: status.unwrap_or_default(), headers: headers(lines) }
}

fn headers(lines: &Headers) -> Vec<Header> {
    let lines = lines.lines().iter().filter(|(name, _)| !name.starts_with(b":"));
    lines.map(|(name, value)| Header { name: name.clone(), value: value.clone() }).collect()
}

fn trap(callback: &str, error: &wasmtime::Error) -> Trap {
    Trap { callback: callback.to_owned(), message: error.root_cause().to_string() }
}
