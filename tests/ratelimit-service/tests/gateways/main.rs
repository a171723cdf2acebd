//! Two real Envoys that share limits through a real service over a real Redis.
//!
//! Needs `redis-server` (Debian's package of that name), an Envoy (`PORTCULLIS_ENVOY`, or `envoy` on `PATH`), and
//! `target/portcullis/rate-limit.wasm`, which `cargo portcullis build` makes.

mod house;

use std::{
    thread,
    time::{Duration, Instant},
};

use house::{Gateway, House};

/// What the service and each gateway admit for one client: at once, and in a minute.
const QUOTA: usize = 60;

/// No answer may take longer: the service's time-out, and what two busy cores need.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends so many requests of a client to each gateway at the same time; how many were admitted at each.
fn both(house: &House, client: &str, requests: usize) -> [usize; 2] {
    thread::scope(|scope| {
        let senders = house
            .gateways
            .each_ref()
            .map(|gateway| scope.spawn(move || (0..requests).filter(|_| answer(gateway, client) == 200).count()));
        senders.map(|sender| sender.join().unwrap())
    })
}

/// The status of one request, which is never an error and never late.
fn answer(gateway: &Gateway, client: &str) -> u16 {
    let sent = Instant::now();
    let status = gateway.status(client);
    assert!(sent.elapsed() < PATIENCE, "{client}: {:?}", sent.elapsed());
    assert!(matches!(status, 200 | 429), "{client}: {status}");
    status
}

fn asked(gateway: &Gateway) -> u64 {
    ["admits", "refuses", "fails"].iter().map(|event| gateway.event(event)).sum()
}

#[test]
fn what_two_gateways_admit_together_is_the_quota_and_a_spent_key_is_asked_for_no_more() {
    let house = House::start(QUOTA);
    let admitted = both(&house, "alice", 2 * QUOTA);
    assert_eq!(admitted.iter().sum::<usize>(), QUOTA, "{admitted:?}");
    for (gateway, admitted) in house.gateways.iter().zip(admitted) {
        // Each asked for what it admitted, and once more: the answer to that kept the rest out.
        assert_eq!(gateway.event("admits"), admitted as u64);
        assert_eq!((gateway.event("refuses"), gateway.event("fails")), (1, 0));
        assert!(gateway.reason("blocked") > 0);
    }
    // Another client's quota is whole.
    let admitted = both(&house, "bob", QUOTA);
    assert_eq!(admitted.iter().sum::<usize>(), QUOTA, "{admitted:?}");
}

#[test]
fn while_the_service_is_gone_each_gateway_holds_its_own_limit_and_when_it_is_back_they_share_again() {
    let mut house = House::start(QUOTA);
    let admitted = both(&house, "before", 2 * QUOTA);
    assert_eq!(admitted.iter().sum::<usize>(), QUOTA, "{admitted:?}");
    assert!(house.gateways.iter().all(|gateway| gateway.event("fails") == 0));

    // Killed under load, and away for a while: traffic goes on, nothing hangs, and the metrics tell.
    let load = house.load(PATIENCE);
    thread::sleep(Duration::from_millis(500));
    house.kill_service();
    let began = Instant::now();
    let admitted = both(&house, "meanwhile", 2 * QUOTA);
    // A token comes back each second.
    let most = QUOTA + 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
    for (gateway, admitted) in house.gateways.iter().zip(admitted) {
        assert!((QUOTA..=most).contains(&admitted), "{admitted} of {QUOTA} to {most}");
        assert!(gateway.event("fails") >= QUOTA as u64);
    }

    house.start_service();
    // Envoy finds it with the next call or the one after.
    let back = Instant::now();
    let admits = house.gateways.each_ref().map(|gateway| gateway.event("admits"));
    while house.gateways.iter().zip(admits).any(|(gateway, before)| gateway.event("admits") < before + 10) {
        assert!(back.elapsed() < Duration::from_secs(20), "nobody asks the service again");
        thread::sleep(Duration::from_millis(50));
    }
    let loaded = load.finish();
    assert!(loaded.answers > 100, "{loaded:?}");
    let fails = house.gateways.each_ref().map(|gateway| gateway.event("fails"));
    let asks = house.gateways.each_ref().map(asked);
    let admitted = both(&house, "after", 2 * QUOTA);
    assert_eq!(admitted.iter().sum::<usize>(), QUOTA, "{admitted:?}");
    for ((gateway, fails), asks) in house.gateways.iter().zip(fails).zip(asks) {
        assert_eq!([gateway.event("fails"), gateway.reason("service_failed")], [fails; 2]);
        assert!(asked(gateway) > asks);
        gateway.is_well();
    }
}
