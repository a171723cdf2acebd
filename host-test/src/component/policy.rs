//! One instance of a policy: exchanges in, verdicts out.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{LazyLock, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::{
    Store, StoreLimitsBuilder,
    component::{HasSelf, Linker, ResourceAny},
};

use super::{
    bindings::{
        HeadPolicy, HeadPolicyPre,
        portcullis::policy::types::{self, Edit, Header, RequestHead, ResponseHead, Verdict},
    },
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
pub fn load(bytes: &[u8]) -> anyhow::Result<HeadPolicyPre<Guest>> {
    static LOADED: LazyLock<Mutex<HashMap<[u8; 32], HeadPolicyPre<Guest>>>> = LazyLock::new(Mutex::default);
    let key: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(loaded) = LOADED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(loaded.clone());
    }
    let loaded = compile(bytes)?;
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, loaded.clone());
    Ok(loaded)
}

fn compile(bytes: &[u8]) -> anyhow::Result<HeadPolicyPre<Guest>> {
    let engine = vm::engine().map_err(anyhow::Error::msg)?;
    let component = vm::cache::component(engine, bytes)?;
    let mut linker = Linker::new(engine);
    HeadPolicy::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(HeadPolicyPre::new(linker.instantiate_pre(&component)?)?)
}

pub struct Policy {
    store: Store<Guest>,
    policy: HeadPolicy,
    limits: Limits,
    exchanges: HashMap<u32, ResourceAny>,
    next: u32,
}

impl Policy {
    /// An instance without a configuration.
    pub fn start(
        component: &HeadPolicyPre<Guest>,
        world: &Shared,
        plugin: &Plugin,
        limits: Limits,
    ) -> anyhow::Result<Self> {
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
        Ok(Self { store, policy, limits, exchanges: HashMap::new(), next: 2 })
    }

    fn call<T, F>(&mut self, id: u32, callback: &str, call: F) -> Result<T, Trap>
    where
        F: FnOnce(&HeadPolicy, &mut Store<Guest>, ResourceAny) -> wasmtime::Result<T>,
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
}

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
        let filter = self.policy.portcullis_policy_head_filter();
        let taken = self
            .limits
            .arm(&mut self.store)
            .and_then(|()| filter.call_configure(&mut self.store, &plugin.configuration));
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
        let exchange = self
            .limits
            .arm(&mut self.store)
            .and_then(|()| self.policy.portcullis_policy_head_filter().exchange().call_constructor(&mut self.store));
        self.exchanges.insert(id, exchange.map_err(|error| trap("exchange", &error))?);
        Ok(())
    }

    fn headers(&mut self, id: u32, side: Side, _lines: u32, _end: bool) -> Result<u32, Trap> {
        let lines = self.with(id, |exchange| exchange.half(side).headers.clone()).flatten().unwrap_or_default();
        let verdict = match side {
            Side::Request => self.call(id, "on-request-head", |policy, store, exchange| {
                let filter = policy.portcullis_policy_head_filter();
                filter.exchange().call_on_request_head(store, exchange, &request_head(&lines))
            }),
            Side::Response => self.call(id, "on-response-head", |policy, store, exchange| {
                let filter = policy.portcullis_policy_head_filter();
                filter.exchange().call_on_response_head(store, exchange, &response_head(&lines))
            }),
        }?;
        Ok(self.with(id, |exchange| apply(exchange, Map::Headers(side), verdict)).unwrap_or_default())
    }

    fn body(&mut self, _: u32, _: Side, _: u32, _: bool) -> Result<u32, Trap> {
        Ok(0)
    }

    fn trailers(&mut self, _: u32, _: Side, _: u32) -> Result<u32, Trap> {
        Ok(0)
    }

    fn log(&mut self, _: u32) -> Result<(), Trap> {
        Ok(())
    }

    fn tick(&mut self, _: u32) -> Result<(), Trap> {
        self.store.data_mut().exchange = None;
        let filter = self.policy.portcullis_policy_head_filter();
        let told = self.limits.arm(&mut self.store).and_then(|()| filter.call_on_tick(&mut self.store));
        told.map_err(|error| trap("on-tick", &error))
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
            let filter = policy.portcullis_policy_head_filter();
            filter.exchange().call_on_answer(store, exchange, token, answer.as_deref())
        })?;
        let act = match verdict {
            Verdict::Hold => return Ok(()),
            Verdict::Reply(reply) => Act::Reply(self::reply(reply)),
            Verdict::Pass | Verdict::Edit(_) => {
                self.with(id, |exchange| apply(exchange, Map::Headers(Side::Request), verdict));
                Act::Resume(Side::Request)
            }
        };
        let guest = self.store.data();
        guest.world.borrow_mut().acts.push_back(Acted { vm: guest.vm, context: id, act });
        Ok(())
    }

    fn done(&mut self, id: u32) -> Result<(), Trap> {
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
