//! A proxy whose parts can be turned.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use portcullis_kit::{
    head::RequestHead,
    host::{CallId, Clock, CounterId, GaugeId, GrpcCall, Host, Level, NoRandom, RouteProperty, StatefulHost},
    store::{Found, Over, Store, Version, Written},
};

/// What all VMs of a proxy share.
#[derive(Default)]
pub struct Shared {
    pub values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
    pub random: u32,
    /// The capability list leaves the random source out.
    pub no_random: bool,
    /// What the request in hand has left, here and before it was redirected.
    pub records: BTreeSet<String>,
}

/// One VM's proxy.
#[derive(Clone, Default)]
pub struct Proxy(pub Rc<RefCell<Shared>>);

impl Store for Proxy {
    fn get(&mut self, key: &[u8]) -> Found {
        let shared = self.0.borrow();
        shared.values.get(key).map_or(Found::Nothing, |(value, version)| Found::Value(value.clone(), Version(*version)))
    }

    fn put(&mut self, key: &[u8], value: &[u8], _: Over) -> Written {
        let mut shared = self.0.borrow_mut();
        shared.last += 1;
        let last = shared.last;
        shared.values.insert(key.to_vec(), (value.to_vec(), last));
        Written::Done
    }
}

impl Clock for Proxy {
    fn now(&mut self) -> u64 {
        1_000_000_000_000
    }
}

impl Host for Proxy {
    fn route(&mut self, _: RouteProperty) -> Vec<u8> {
        Vec::new()
    }

    fn define_counter(&mut self, _: &str) -> CounterId {
        CounterId(0)
    }

    fn increment(&mut self, _: CounterId) {}

    fn leave_record(&mut self, name: &str, _: &str) {
        self.0.borrow_mut().records.insert(name.into());
    }

    fn log(&mut self, _: Level, _: &str) {}
}

impl StatefulHost for Proxy {
    fn define_gauge(&mut self, _: &str) -> GaugeId {
        GaugeId(0)
    }

    fn set_gauge(&mut self, _: GaugeId, _: u64) {}

    fn add(&mut self, _: CounterId, _: u64) {}

    fn client_address(&mut self) -> Vec<u8> {
        b"192.0.2.1:1".to_vec()
    }

    fn dynamic_metadata(&mut self, _: &str, _: &[String]) -> Vec<u8> {
        Vec::new()
    }

    fn request_head(&mut self) -> Option<RequestHead> {
        None
    }

    fn response_details(&mut self) -> Vec<u8> {
        b"via_upstream".to_vec()
    }

    fn keep_record(&mut self, _: &str) {}

    fn earlier_record(&mut self, name: &str) -> Option<Vec<u8>> {
        self.0.borrow().records.contains(name).then(Vec::new)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        let mut shared = self.0.borrow_mut();
        shared.random += 1;
        for (place, byte) in bytes.iter_mut().zip(shared.random.to_le_bytes().into_iter().cycle()) {
            *place = byte;
        }
        if shared.no_random { Err(NoRandom) } else { Ok(()) }
    }

    fn set_tick_period(&mut self, _: u32) {}

    fn call(&mut self, _: &GrpcCall<'_>) -> Option<CallId> {
        None
    }
}
