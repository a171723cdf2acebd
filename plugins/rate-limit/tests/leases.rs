//! Streams in flight, when a VM is taken for dead and comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod proxy;

use portcullis_kit::verdict::Verdict;
use rate_limit::limiter::{Limiter, Stream};

use self::proxy::Proxy;

const ONE_STREAM: &[u8] =
    br#"{"policies": {"p": {"limits": [{"name": "l", "in_flight": 1, "key": ["remote_address"]}]}}, "default_policy": "p"}"#;

/// A new request; whether it passes.
fn begin(vm: &mut Limiter, proxy: &mut Proxy) -> (Stream, bool) {
    proxy.0.borrow_mut().records.clear();
    go_on(vm, proxy)
}

/// The same request once more, redirected or at the next filter.
fn go_on(vm: &mut Limiter, proxy: &mut Proxy) -> (Stream, bool) {
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
    let (mut redirected, passes) = go_on(&mut vm, &mut proxy);
    assert!(passes);
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

#[test]
fn a_redirected_request_counts_once_in_each_filter_and_only_where_it_counted() {
    let rate = |mode: &str| {
        format!(
            r#"{{"policies": {{"p": {{"mode": "{mode}", "limits": [{{"name": "l", "rate": "1/hour", "key": ["remote_address"]}}]}}}},
                "default_policy": "p"}}"#
        )
    };
    let (mut one, mut other) = (Proxy::default(), Proxy::default());
    let mut first = Limiter::configure(&mut one, rate("enforce").as_bytes()).unwrap();
    // A store and random bytes of its own, and the same request.
    other.0.borrow_mut().random = 1000;
    let mut second = Limiter::configure(&mut other, rate("enforce").as_bytes()).unwrap();
    assert!(begin(&mut first, &mut one).1);
    other.0.borrow_mut().records = one.0.borrow().records.clone();
    assert!(go_on(&mut second, &mut other).1);
    assert!(go_on(&mut first, &mut one).1, "redirected");
    other.0.borrow_mut().records = one.0.borrow().records.clone();
    assert!(!go_on(&mut second, &mut other).1, "another filter's mark is none of its own");
    assert!(!begin(&mut first, &mut one).1, "a new request");

    let mut watching = Limiter::configure(&mut one, rate("shadow").as_bytes()).unwrap();
    assert!(begin(&mut watching, &mut one).1);
    assert!(!go_on(&mut first, &mut one).1, "a policy in shadow counts for nobody else");
}
