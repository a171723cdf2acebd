//! A configuration that changes again and again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod proxy;

use portcullis_kit::{head::RequestHead, verdict::Verdict};
use rate_limit::limiter::{Limiter, Stream};

use self::proxy::Proxy;

fn limiter(proxy: &mut Proxy, name: &str) -> Limiter {
    let json = format!(
        r#"{{"policies": {{"p": {{"limits": [
            {{"name": "{name}", "rate": "2/day", "key": [{{"header": "x-key"}}], "when_full": "refuse"}},
            {{"name": "{name}-at-once", "in_flight": 3, "key": [{{"header": "x-key"}}]}}
        ]}}}}, "default_policy": "p", "store": {{"invented": 64}}}}"#
    );
    Limiter::configure(proxy, json.as_bytes()).unwrap()
}

/// Whether a request with this key passes.
fn passes(vm: &mut Limiter, proxy: &mut Proxy, key: &str) -> bool {
    let headers = [(b"x-key".to_vec(), key.as_bytes().to_vec())].into_iter().collect();
    let head = RequestHead { headers, ..RequestHead::default() };
    let mut stream = Stream::default();
    let passes = !matches!(vm.on_request(proxy, &mut stream, Some(&head)), Verdict::Reply(_));
    vm.on_end(proxy, &mut stream);
    passes
}

#[test]
fn a_thousand_updates_that_rename_every_limit_leave_the_store_as_large_as_it_was() {
    let mut proxy = Proxy::default();
    let mut sizes = Vec::new();
    for update in 0..1000 {
        let mut vm = limiter(&mut proxy, &format!("limit{update}"));
        for key in 0..50 {
            passes(&mut vm, &mut proxy, &format!("{update}-{key}"));
        }
        // Half a minute goes by: the VMs of earlier configurations are gone.
        (0..6).for_each(|_| vm.on_tick(&mut proxy));
        let bytes: usize = proxy.0.borrow().values.iter().map(|(name, (value, _))| name.len() + value.len()).sum();
        sizes.push(bytes);
    }
    assert!(sizes[20] > 64 * 24, "{}", sizes[20]);
    assert_eq!(sizes[20], sizes[999]);
}

#[test]
fn a_limit_that_stays_goes_on_with_its_counts() {
    let mut proxy = Proxy::default();
    let mut vm = limiter(&mut proxy, "stays");
    assert!(passes(&mut vm, &mut proxy, "a") && passes(&mut vm, &mut proxy, "a"));
    let mut updated = limiter(&mut proxy, "stays");
    assert!(!passes(&mut updated, &mut proxy, "a"));
    let mut renamed = limiter(&mut proxy, "renamed");
    assert!(passes(&mut renamed, &mut proxy, "a"));
}
