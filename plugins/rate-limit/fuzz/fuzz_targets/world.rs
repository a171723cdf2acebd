//! A request with a store behind it.

use std::{collections::BTreeMap, net::IpAddr};

use portcullis_kit::{
    head::RequestHead,
    host::{Clock, RouteProperty},
    store::{Found, Over, Store, Version, Written},
};
use rate_limit::{
    config::RateLimit,
    decide::{Around, decide},
    key::Facts,
    leases::Leases,
    pool::{Secret, Sizes},
};

#[derive(Default)]
pub struct World {
    pub head: RequestHead,
    pub address: Vec<u8>,
    pub values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub last: u32,
    pub now: u64,
}

impl Clock for World {
    fn now(&mut self) -> u64 {
        self.now
    }
}

impl World {
    /// Asks several times, a little later each time.
    pub fn ask(&mut self, policy: &RateLimit, times: u64) {
        let secret = Secret { hash: [5; 16], check: 11 };
        let (sizes, leases) = (Sizes { reserved: 1, metadata: 1, addresses: 1, invented: 1 }, Leases::default());
        for time in 1..=times {
            let around = Around { secret: &secret, sizes, leases: &leases, is_redirected: false };
            self.now = time * 300_000_000;
            decide(policy, "p", &around, self);
        }
        assert!(self.values.values().all(|(value, _)| [408, 792, 1048].contains(&value.len())));
    }
}

impl Store for World {
    fn get(&mut self, key: &[u8]) -> Found {
        self.values.get(key).map_or(Found::Nothing, |(value, version)| Found::Value(value.clone(), Version(*version)))
    }

    fn put(&mut self, key: &[u8], value: &[u8], _: Over) -> Written {
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
        rate_limit::address::address(&self.address)
    }

    fn route(&mut self, _: RouteProperty) -> Vec<u8> {
        b"route".to_vec()
    }

    fn dynamic_metadata(&mut self, _: &str, _: &[String]) -> Vec<u8> {
        b"value".to_vec()
    }
}
