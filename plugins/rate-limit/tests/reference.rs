//! The filter beside a plain model of what its README says, over random requests: they admit the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use portcullis_kit::{
    Policy, config,
    head::RequestHead,
    host::{Clock, RouteProperty},
    store::{Found, Over, Store, Version, Written},
};
use proptest::prelude::*;
use rate_limit::{
    config::RateLimit,
    debit::{Debtor, Seen},
    decide::{Around, decide},
    key::Facts,
    leases::Leases,
    pool::{Secret, Sizes},
    rate::SECOND,
};

/// A request with a store behind it.
#[derive(Default)]
struct World {
    head: RequestHead,
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
    now: u64,
}

impl Clock for World {
    fn now(&mut self) -> u64 {
        self.now
    }
}

impl Store for World {
    fn get(&mut self, key: &[u8]) -> Found {
        self.values.get(key).map_or(Found::Nothing, |(value, version)| Found::Value(value.clone(), Version(*version)))
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        let there = self.values.get(key).map(|(_, version)| Over::Version(Version(*version))).unwrap_or(Over::Nothing);
        if there != over {
            return Written::Lost;
        }
        self.last += 1;
        self.values.insert(key.to_vec(), (value.to_vec(), self.last));
        Written::Done
    }
}

impl Facts for World {
    fn head(&self) -> Option<&RequestHead> {
        Some(&self.head)
    }

    fn client_address(&mut self) -> Option<IpAddr> {
        Some([192, 0, 2, 1].into())
    }

    fn route(&mut self, _: RouteProperty) -> Vec<u8> {
        Vec::new()
    }

    fn dynamic_metadata(&mut self, _: &str, _: &[String]) -> Vec<u8> {
        Vec::new()
    }
}

/// Per second, at once, and what was spent when, by key. Tokens come continuously.
struct Bucket {
    interval: u128,
    burst: u128,
    /// Nanoseconds' worth of tokens, and when that was.
    keys: HashMap<u8, (u128, u64)>,
}

impl Bucket {
    fn new(requests: u32, seconds: u64, burst: u32) -> Self {
        let interval = u128::from(seconds * SECOND).div_ceil(u128::from(requests));
        Self { interval, burst: u128::from(burst), keys: HashMap::new() }
    }

    fn level(&self, key: u8, now: u64) -> u128 {
        let whole = self.burst * self.interval;
        let (level, then) = self.keys.get(&key).copied().unwrap_or((whole, now));
        (level + u128::from(now - then)).min(whole)
    }

    fn admits(&self, key: u8, now: u64, cost: u32) -> bool {
        self.level(key, now) >= u128::from(cost) * self.interval
    }

    /// When all will be there again by itself.
    fn spend(&mut self, key: u8, now: u64, cost: u32) -> u64 {
        let level = self.level(key, now) - u128::from(cost) * self.interval;
        self.keys.insert(key, (level, now));
        now + (self.burst * self.interval - level) as u64
    }

    fn give_back(&mut self, key: u8, now: u64, cost: u32) {
        let level = self.level(key, now) + u128::from(cost) * self.interval;
        self.keys.insert(key, (level.min(self.burst * self.interval), now));
    }
}

#[derive(Clone, Debug)]
struct Asked {
    after: u64,
    user: u8,
    cost: u32,
    status: u16,
}

fn asked() -> impl Strategy<Value = Asked> {
    let statuses = prop_oneof![3 => Just(200), 2 => Just(401), 1 => Just(503)];
    (0..2 * SECOND, 0..4_u8, 1..4_u32, statuses).prop_map(|(after, user, cost, status)| Asked {
        after,
        user,
        cost,
        status,
    })
}

const SECRET: Secret = Secret { hash: [5; 16], check: 11 };
const SIZES: Sizes = Sizes { reserved: 1, metadata: 1, addresses: 1, invented: 64 };

proptest! {
    #[test]
    fn every_request_is_decided_as_the_readme_says(
        requests in 1..20_u32, seconds in 1..20_u64, burst in 3..10_u32, all in 3..30_u32,
        sequence in prop::collection::vec(asked(), 1..120),
    ) {
        let json = format!(
            r#"{{"limits": [
                {{"name": "all", "rate": "{all}/10s", "key": ["remote_address"]}},
                {{"name": "user", "rate": "{requests}/{seconds}s", "burst": {burst}, "key": [{{"header": "x-user"}}],
                  "cost": {{"header": "x-cost", "most": 3}}, "count_status": ["401"]}}
            ]}}"#
        );
        let policy = RateLimit::from_value(&config::read(json.as_bytes()).unwrap()).unwrap();
        let (mut everybody, mut users) = (Bucket::new(all, 10, all), Bucket::new(requests, seconds, burst));
        let leases = Leases::default();
        let (mut world, mut now) = (World::default(), 1_000_000 * SECOND);
        for Asked { after, user, cost, status } in sequence {
            now += after;
            let lines = [("x-user", user.to_string()), ("x-cost", cost.to_string())];
            world.head.headers = lines.into_iter().map(|(name, value)| (name.into(), value.into_bytes())).collect();
            let around = Around { secret: &SECRET, sizes: SIZES, leases: &leases, is_redirected: false };
            world.now = now;
            let ruling = decide(&policy, "p", &around, &mut world);
            let expected = everybody.admits(0, now, 1) && users.admits(user, now, cost);
            prop_assert_eq!(!ruling.refuses, expected, "{:?} at {}", ruling, now);
            if !expected {
                continue;
            }
            everybody.spend(0, now, 1);
            let whole_at = users.spend(user, now, cost);
            // The response comes a little later.
            now += after / 7;
            if status != 401 && now < whole_at {
                users.give_back(user, now, cost);
            }
            world.now = now;
            let debtor = Debtor { leases: &leases, secret: SECRET.check };
            for taken in ruling.taken {
                if policy.limits[taken.limit].counted.gives_back(status) {
                    debtor.refund(&mut world, &taken, &mut Seen::default()).unwrap();
                }
            }
        }
    }

    #[test]
    fn whatever_a_request_holds_it_is_decided_and_the_store_keeps_its_size(
        path: Vec<u8>, authority: Vec<u8>, method: Vec<u8>,
        lines in prop::collection::vec(("[a-z-]{1,8}|x-user|cookie|content-length", any::<Vec<u8>>()), 0..8),
    ) {
        let json = r#"{"limits": [
            {"name": "a", "rate": "5/s", "key": ["host", "path"]},
            {"name": "b", "rate": "5/s", "key": [{"cookie": "sid"}, {"query_parameter": "t"}, "method"], "when_repeated": "all",
             "cost": {"content_length_per": 10, "most": 5}},
            {"name": "c", "rate": "5/s", "algorithm": "sliding_window", "key": [{"path_template": "/a/:b"}], "match": {"path_template": ["/a/*"]}},
            {"name": "d", "in_flight": 3, "key": [{"header": "x-user"}], "when_missing": "skip"}
        ]}"#;
        let policy = RateLimit::from_value(&config::read(json.as_bytes()).unwrap()).unwrap();
        let headers = lines.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        let head = RequestHead { method, authority, path, headers };
        let mut world = World { head, ..World::default() };
        let leases = Leases::default();
        for now in 1..20 {
            let around = Around { secret: &SECRET, sizes: SIZES, leases: &leases, is_redirected: false };
            world.now = now * SECOND / 10;
            decide(&policy, "p", &around, &mut world);
        }
        prop_assert!(world.values.values().all(|(value, _)| [408, 792, 1048].contains(&value.len())), "{:?}", world.values);
    }
}
