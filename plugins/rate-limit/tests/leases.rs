//! Streams in flight, when a VM is taken for dead and comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use portcullis_kit::{
    head::RequestHead,
    host::{CallId, Clock, CounterId, GaugeId, GrpcCall, Host, Level, NoRandom, RouteProperty, StatefulHost},
    store::{Found, Over, Store, Version, Written},
    verdict::Verdict,
};
use rate_limit::limiter::{Limiter, Stream};

/// What all VMs of a proxy share.
#[derive(Default)]
struct Shared {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
    random: u8,
    /// The capability list leaves the random source out.
    no_random: bool,
    /// The next request was redirected inside.
    is_redirected: bool,
}

/// One VM's proxy.
#[derive(Clone, Default)]
struct Proxy(Rc<RefCell<Shared>>);

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

    fn leave_record(&mut self, _: &str, _: &str) {}

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

    fn keep_record(&mut self, _: &str) {}

    fn earlier_record(&mut self, _: &str) -> Option<Vec<u8>> {
        self.0.borrow().is_redirected.then(Vec::new)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        let mut shared = self.0.borrow_mut();
        shared.random += 1;
        bytes.fill(shared.random);
        if shared.no_random { Err(NoRandom) } else { Ok(()) }
    }

    fn set_tick_period(&mut self, _: u32) {}

    fn call(&mut self, _: &GrpcCall<'_>) -> Option<CallId> {
        None
    }
}

const ONE_STREAM: &[u8] =
    br#"{"policies": {"p": {"limits": [{"name": "l", "in_flight": 1, "key": ["remote_address"]}]}}, "default_policy": "p"}"#;

/// A request; whether it passes.
fn begin(vm: &mut Limiter, proxy: &mut Proxy) -> (Stream, bool) {
    let mut stream = Stream::default();
    let passes = !matches!(vm.on_request(proxy, &mut stream, None), Verdict::Reply(_));
    (stream, passes)
}

#[test]
fn a_vm_that_was_taken_for_dead_gives_back_nothing_of_what_others_hold_now() {
    let mut proxy = Proxy::default();
    let mut blocked = Limiter::configure(&mut proxy, ONE_STREAM).unwrap();
    let mut other = Limiter::configure(&mut proxy, ONE_STREAM).unwrap();
    let (mut lost, passes) = begin(&mut blocked, &mut proxy);
    assert!(passes);
    assert!(!begin(&mut other, &mut proxy).1, "one stream runs");

    (0..5).for_each(|_| other.on_tick(&mut proxy));
    blocked.on_tick(&mut proxy);
    let (mut running, passes) = begin(&mut blocked, &mut proxy);
    assert!(passes, "the stream of the VM that was blocked is nobody's");
    blocked.on_end(&mut proxy, &mut lost);
    assert!(!begin(&mut other, &mut proxy).1, "the new stream still runs");
    blocked.on_end(&mut proxy, &mut running);
    assert!(begin(&mut other, &mut proxy).1);
}

#[test]
fn a_request_that_the_proxy_redirected_inside_keeps_its_place_in_flight() {
    let mut proxy = Proxy::default();
    let mut vm = Limiter::configure(&mut proxy, ONE_STREAM).unwrap();
    let (mut first, passes) = begin(&mut vm, &mut proxy);
    assert!(passes);
    vm.on_end(&mut proxy, &mut first);
    proxy.0.borrow_mut().is_redirected = true;
    let (mut redirected, passes) = begin(&mut vm, &mut proxy);
    assert!(passes);
    proxy.0.borrow_mut().is_redirected = false;
    assert!(!begin(&mut vm, &mut proxy).1, "the redirected stream runs");
    vm.on_end(&mut proxy, &mut redirected);
    assert!(begin(&mut vm, &mut proxy).1);
}

#[test]
fn a_vm_without_an_id_counts_no_stream_and_refuses() {
    let mut proxy = Proxy::default();
    let mut vm = Limiter::configure(&mut proxy, ONE_STREAM).unwrap();
    let (mut first, _) = begin(&mut vm, &mut proxy);
    vm.on_end(&mut proxy, &mut first);
    // The secret is there by now; what a second VM lacks is an id.
    proxy.0.borrow_mut().no_random = true;
    let mut late = Limiter::configure(&mut proxy, ONE_STREAM).unwrap();
    assert!(!begin(&mut late, &mut proxy).1);
    proxy.0.borrow_mut().no_random = false;
    assert!(begin(&mut late, &mut proxy).1);
}
