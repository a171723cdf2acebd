//! One policy in Wasmtime: what the world `head-policy` asks of a host.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    mem,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use wasmtime::{
    Config, Engine, Store, StoreLimits, StoreLimitsBuilder,
    component::{Component, HasSelf, Linker, ResourceAny},
};

wasmtime::component::bindgen!({ path: "../", world: "head-policy" });

pub use portcullis::policy::types::{Edit, Header, Reply, RequestHead, ResponseHead, Verdict};
use portcullis::policy::{
    host::{Host, Level, RouteProperty},
    store::{self, Entry},
    types,
};

/// What one call may use; far more than a policy needs, and an end to one that never ends.
const FUEL: u64 = 100_000_000;
const MEMORY: usize = 64 << 20;

/// What a policy's calls reach.
struct Guest {
    limits: StoreLimits,
    configuring: bool,
    /// Names with their counts and values. A real gateway shows them to its metrics.
    counters: Vec<(String, u64)>,
    /// What outlives the instance. A real gateway shares it between all instances of a policy.
    shared: Shared,
    /// Whose request is asked about.
    client: Option<SocketAddr>,
    /// Between two ticks, and when the next is due.
    tick: Option<(Duration, Instant)>,
}

/// Values with their versions.
#[derive(Default)]
struct Shared {
    values: HashMap<Vec<u8>, Entry>,
    last: u32,
}

pub struct Policy {
    compiled: HeadPolicyPre<Guest>,
    engine: Engine,
    configuration: Vec<u8>,
    /// Of each call.
    fuel: u64,
    /// `None` behind a trap.
    instance: Option<(Store<Guest>, HeadPolicy)>,
    /// How many instances there were: what one gave is nothing to the next.
    generation: u64,
    /// Of the instance that trapped, for the next one.
    shared: Shared,
}

/// A policy's side of one request; `None` where it trapped.
pub struct Seen(Option<(u64, ResourceAny)>);

impl Policy {
    /// # Errors
    /// It is no `head-policy`, or refuses its configuration.
    pub fn new(component: &[u8], configuration: Vec<u8>) -> Result<Self> {
        let engine = Engine::new(Config::new().consume_fuel(true))?;
        let mut linker = Linker::new(&engine);
        HeadPolicy::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let compiled = HeadPolicyPre::new(linker.instantiate_pre(&Component::new(&engine, component)?)?)?;
        let shared = Shared::default();
        let mut policy = Self { compiled, engine, configuration, fuel: FUEL, instance: None, generation: 0, shared };
        policy.start()?;
        Ok(policy)
    }

    fn start(&mut self) -> Result<()> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let shared = mem::take(&mut self.shared);
        let guest = Guest { limits, configuring: true, counters: Vec::new(), shared, client: None, tick: None };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_fuel(FUEL)?;
        let policy = self.compiled.instantiate(&mut store)?;
        let filter = policy.portcullis_policy_head_filter();
        filter.call_configure(&mut store, &self.configuration)?.map_err(|refused| anyhow!(refused))?;
        store.data_mut().configuring = false;
        self.generation += 1;
        self.instance = Some((store, policy));
        Ok(())
    }

    pub fn request(&mut self, head: &RequestHead, client: SocketAddr) -> (Seen, Verdict) {
        let answer = self.call(|policy, store| {
            store.data_mut().client = Some(client);
            // Ticks come with requests; a gateway that serves people has a timer.
            if let Some((period, due)) = store.data().tick
                && due <= Instant::now()
            {
                store.data_mut().tick = Some((period, Instant::now() + period));
                policy.portcullis_policy_head_filter().call_on_tick(&mut *store)?;
            }
            let exchanges = policy.portcullis_policy_head_filter().exchange();
            let exchange = exchanges.call_constructor(&mut *store)?;
            Ok((exchange, exchanges.call_on_request_head(store, exchange, head)?))
        });
        match answer {
            Ok((exchange, verdict)) => (Seen(Some((self.generation, exchange))), verdict),
            Err(_) => (Seen(None), refused()),
        }
    }

    /// Also the end of the exchange.
    pub fn response(&mut self, Seen(exchange): Seen, head: &ResponseHead) -> Verdict {
        let Some((_, exchange)) = exchange.filter(|(generation, _)| *generation == self.generation) else {
            return refused();
        };
        let answer = self.call(|policy, store| {
            let exchanges = policy.portcullis_policy_head_filter().exchange();
            let verdict = exchanges.call_on_response_head(&mut *store, exchange, head)?;
            exchange.resource_drop(store)?;
            Ok(verdict)
        });
        answer.unwrap_or_else(|_| refused())
    }

    /// A call with all its fuel. A trap ends the instance; the next call begins with a new one.
    fn call<T>(&mut self, call: impl FnOnce(&HeadPolicy, &mut Store<Guest>) -> wasmtime::Result<T>) -> Result<T> {
        if self.instance.is_none() {
            self.start()?;
        }
        let (store, policy) = self.instance.as_mut().ok_or_else(|| anyhow!("no instance"))?;
        store.set_fuel(self.fuel)?;
        let answer = call(policy, store);
        if let Err(trap) = &answer {
            println!("a policy trapped: {trap:#}");
            self.shared = mem::take(&mut store.data_mut().shared);
            self.instance = None;
        }
        Ok(answer?)
    }
}

/// Fails closed.
fn refused() -> Verdict {
    let details = "policy_failed".into();
    Verdict::Reply(Reply { status: 503, headers: Vec::new(), body: Vec::new(), details, grpc_status: None })
}

impl types::Host for Guest {}

impl Host for Guest {
    fn now(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }

    fn log(&mut self, level: Level, message: String) {
        println!("{level:?}: {message}");
    }

    /// Ids count from 1, so that 0 is no counter.
    fn define_counter(&mut self, name: String) -> u32 {
        let known = self.counters.iter().position(|(known, _)| *known == name);
        let place = known.or_else(|| {
            self.configuring.then(|| {
                self.counters.push((name, 0));
                self.counters.len() - 1
            })
        });
        place.and_then(|place| u32::try_from(place + 1).ok()).unwrap_or(0)
    }

    fn increment(&mut self, counter: u32, by: u64) {
        let place = (counter as usize).checked_sub(1);
        if let Some((_, count)) = place.and_then(|place| self.counters.get_mut(place)) {
            *count = count.saturating_add(by);
        }
    }

    fn route(&mut self, _: RouteProperty) -> Option<Vec<u8>> {
        None
    }

    fn leave_record(&mut self, name: String, text: String) {
        println!("{name}: {text}");
    }

    fn earlier_record(&mut self, _: String) -> Option<String> {
        None
    }

    fn define_gauge(&mut self, name: String) -> u32 {
        self.define_counter(name)
    }

    fn set_gauge(&mut self, gauge: u32, value: u64) {
        let place = (gauge as usize).checked_sub(1);
        if let Some((_, count)) = place.and_then(|place| self.counters.get_mut(place)) {
            *count = value;
        }
    }

    fn client_address(&mut self) -> Option<String> {
        self.client.map(|client| client.to_string())
    }

    fn dynamic_metadata(&mut self, _: String, _: Vec<String>) -> Option<Vec<u8>> {
        None
    }

    fn random(&mut self, size: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let source = File::open("/dev/urandom").map(|file| file.take(size.min(65_536).into()));
        // Fewer bytes tell the policy that there are none.
        let _ = source.and_then(|mut source| source.read_to_end(&mut bytes));
        bytes
    }

    /// A gateway without services: the policy takes it for a call that failed.
    fn call(&mut self, _: String, _: String, _: String, _: Vec<u8>, _: u32) -> Option<u32> {
        None
    }

    fn set_tick_period(&mut self, milliseconds: u32) {
        let period = Duration::from_millis(milliseconds.into());
        self.tick = (milliseconds > 0).then(|| (period, Instant::now() + period));
    }
}

impl store::Host for Guest {
    fn get(&mut self, key: Vec<u8>) -> Option<Entry> {
        self.shared.values.get(&key).cloned()
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, over: Option<u32>) -> bool {
        if self.shared.values.get(&key).map(|entry| entry.version) != over {
            return false;
        }
        self.shared.last = self.shared.last.wrapping_add(1);
        self.shared.values.insert(key, Entry { value, version: self.shared.last });
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::fs;

    use host_test::build::{self, Workspace};

    use super::*;

    fn policy() -> Policy {
        let built = build::build(&Workspace::find().unwrap()).unwrap();
        let built = built.iter().find(|built| built.plugin == "security-headers").unwrap();
        let configuration = br#"{"policies": {"web": {"preset": "helmet"}}, "default_policy": "web"}"#;
        Policy::new(&fs::read(&built.component.path).unwrap(), configuration.to_vec()).unwrap()
    }

    /// The status of a reply, or 0.
    fn status(verdict: &Verdict) -> u16 {
        if let Verdict::Reply(reply) = verdict { reply.status } else { 0 }
    }

    #[test]
    fn a_call_beyond_its_bounds_is_refused_and_the_next_one_has_a_new_instance() {
        let request = || RequestHead {
            method: b"GET".into(),
            scheme: b"http".into(),
            authority: b"a".into(),
            path: b"/".into(),
            headers: Vec::new(),
        };
        let response = ResponseHead { status: 200, headers: Vec::new() };
        let client = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut policy = policy();
        let (early, verdict) = policy.request(&request(), client);
        assert_eq!(status(&verdict), 0);

        policy.fuel = 100;
        let (refused, verdict) = policy.request(&request(), client);
        assert_eq!(status(&verdict), 503);
        policy.fuel = FUEL;
        assert_eq!(status(&policy.response(refused, &response)), 503, "it was never seen");

        let (late, verdict) = policy.request(&request(), client);
        assert_eq!((status(&verdict), policy.generation), (0, 2));
        assert_eq!(status(&policy.response(early, &response)), 503, "its instance is gone");
        assert!(matches!(policy.response(late, &response), Verdict::Edit(edits) if edits.len() > 5));
    }

    #[test]
    fn a_counter_is_defined_while_the_policy_is_configured_and_at_no_other_time() {
        let mut policy = policy();
        let (store, _) = policy.instance.as_mut().unwrap();
        let guest = store.data_mut();
        assert!(!guest.counters.is_empty());
        let known = guest.counters[0].0.clone();
        assert_eq!((guest.define_counter(known), guest.define_counter("another".into())), (1, 0));
        guest.increment(0, 1);
        guest.increment(1, 2);
        assert_eq!(guest.counters[0].1, 2);
    }
}
