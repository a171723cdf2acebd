//! `interface host` and `interface store`: the world's clock, log, counters, route, filter state, random bytes, ticks
//! and shared data.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use wasmtime::StoreLimits;

use super::bindings::{
    head::portcullis::policy::{
        host::{Host, Level, RouteProperty},
        store, types,
    },
    message::portcullis::policy::secrets,
};
use crate::world::{
    Exchange, Plugin, Shared,
    filter_state::Declaration,
    grpc::{Asked, Begun},
    logs,
    metrics::Defined,
};

/// What the world calls an instance's only configuration.
pub const ROOT: u32 = 1;

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
/// Bytes that one call gives at most.
const LARGEST_RANDOM: u32 = 64 * 1024;

/// What the host keeps for one instance.
pub struct Guest {
    pub world: Shared,
    pub plugin: Rc<Plugin>,
    pub metrics: Defined,
    pub limits: StoreLimits,
    /// The instance's number in the world.
    pub vm: u32,
    /// The stream whose verdict is asked for.
    pub exchange: Option<u32>,
    /// Whether `configure` runs.
    pub configuring: bool,
    /// Calls that weren't answered, each with the stream that it was made for.
    pub calls: HashMap<u32, u32>,
}

impl Guest {
    /// A property of the stream whose verdict is asked for.
    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        let exchange = self.current()?;
        let found = self.world.borrow().property(&self.plugin, Some(&exchange.borrow()), path);
        found.ok().filter(|value| !value.is_empty())
    }

    /// Outside of `configure` the id is 0, which no metric has.
    fn define(&mut self, kind: u32, name: &str) -> u32 {
        if !self.configuring {
            return 0;
        }
        self.metrics.define(&mut self.world.borrow_mut().metrics, kind, name).unwrap_or(0)
    }

    fn current(&self) -> Option<Rc<RefCell<Exchange>>> {
        self.world.borrow().exchanges.get(&(self.vm, self.exchange?)).cloned()
    }
}

impl types::Host for Guest {}

impl Host for Guest {
    fn now(&mut self) -> u64 {
        self.world.borrow().clock.of_day()
    }

    fn log(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Trace => logs::Level::Trace,
            Level::Debug => logs::Level::Debug,
            Level::Info => logs::Level::Info,
            Level::Warn => logs::Level::Warn,
            Level::Error => logs::Level::Error,
        };
        self.world.borrow_mut().logs.said(level, &message);
    }

    fn define_counter(&mut self, name: String) -> u32 {
        self.define(COUNTER, &name)
    }

    fn define_gauge(&mut self, name: String) -> u32 {
        self.define(GAUGE, &name)
    }

    fn set_gauge(&mut self, gauge: u32, value: u64) {
        // An unknown gauge is passed over.
        let _ = self.metrics.record(&mut self.world.borrow_mut().metrics, gauge, value);
    }

    fn increment(&mut self, counter: u32, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        // An unknown counter is passed over.
        let _ = self.metrics.increment(&mut self.world.borrow_mut().metrics, counter, by);
    }

    fn route(&mut self, property: RouteProperty) -> Option<Vec<u8>> {
        let path: &[u8] = match property {
            RouteProperty::RouteName => b"xds\0route_name",
            RouteProperty::VirtualHostName => b"xds\0virtual_host_name",
            RouteProperty::RouteMetadata => b"xds\0route_metadata",
            RouteProperty::VirtualHostMetadata => b"xds\0virtual_host_metadata",
        };
        self.property(path)
    }

    fn client_address(&mut self) -> Option<String> {
        self.property(b"source\0address").and_then(|address| String::from_utf8(address).ok())
    }

    fn dynamic_metadata(&mut self, namespace: String, path: Vec<String>) -> Option<Vec<u8>> {
        let parts = ["metadata", "filter_metadata", &namespace].into_iter().chain(path.iter().map(String::as_str));
        self.property(parts.collect::<Vec<_>>().join("\0").as_bytes())
    }

    fn earlier_record(&mut self, name: String) -> Option<String> {
        self.property(name.as_bytes()).and_then(|record| String::from_utf8(record).ok())
    }

    fn random(&mut self, size: u32) -> Vec<u8> {
        self.world.borrow_mut().random.bytes(size.min(LARGEST_RANDOM) as usize)
    }

    fn set_tick_period(&mut self, milliseconds: u32) {
        let mut world = self.world.borrow_mut();
        let now = world.clock.now();
        world.timers.set(self.vm, ROOT, now, milliseconds);
    }

    fn call(
        &mut self,
        cluster: String,
        service: String,
        method: String,
        message: Vec<u8>,
        timeout: u32,
    ) -> Option<u32> {
        let exchange = self.exchange?;
        let target = grpc_service(&cluster);
        let single = Some((message, timeout.max(1)));
        let (service, method) = (service.into_bytes(), method.into_bytes());
        let asked = Asked { vm: self.vm, target, service, method, metadata: Vec::new(), single };
        let Begun { token, .. } = self.world.borrow_mut().grpc(asked);
        let token = token.ok()?;
        self.calls.insert(token, exchange);
        Some(token)
    }

    fn leave_record(&mut self, name: String, text: String) {
        if let Some(exchange) = self.current() {
            let declaration = Declaration { read_only: false, outlives: true };
            // Nothing is read-only here, so this can't fail.
            let _ = exchange.borrow_mut().set_declared(name.as_bytes(), text.as_bytes(), declaration);
        }
    }
}

impl secrets::Host for Guest {
    /// A gateway's secrets are what Envoy's environment variables are.
    fn get(&mut self, name: String) -> Option<Vec<u8>> {
        let world = self.world.borrow();
        world.environment.get(&name).filter(|_| self.configuring).map(|value| value.clone().into_bytes())
    }
}

impl store::Host for Guest {
    fn get(&mut self, key: Vec<u8>) -> Option<store::Entry> {
        let world = self.world.borrow();
        let (value, version) = world.store.get(&self.plugin.vm_id, &key)?;
        Some(store::Entry { value: value.to_vec(), version })
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, over: Option<u32>) -> bool {
        // No value has the highest number; a version of 0 would win always.
        let over = over.filter(|version| *version != 0).unwrap_or(u32::MAX);
        matches!(self.world.borrow_mut().write(&self.plugin.vm_id, &key, &value, over), Ok(Ok(())))
    }
}

/// A cluster as `GrpcService` with `envoy_grpc.cluster_name`; a plain name may read as another message.
fn grpc_service(cluster: &str) -> Vec<u8> {
    const FIRST_FIELD: u8 = 1 << 3 | 2;
    let field = |bytes: &[u8]| {
        let mut out = vec![FIRST_FIELD];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    };
    field(&field(cluster.as_bytes()))
}
