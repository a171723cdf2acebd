//! A request, as far as limits ask for it.

use std::net::IpAddr;

use portcullis_kit::{
    head::RequestHead,
    host::{Clock, RouteProperty, StatefulHost},
    store::{Found, Over, Store, Written},
};

use crate::{address, key::Facts};

pub struct Request<'a, H> {
    pub host: &'a mut H,
    pub head: Option<&'a RequestHead>,
    /// Asked for once, however many limits want it.
    address: Option<Option<IpAddr>>,
}

impl<'a, H> Request<'a, H> {
    pub fn new(host: &'a mut H, head: Option<&'a RequestHead>) -> Self {
        Self { host, head, address: None }
    }
}

impl<H: StatefulHost> Facts for Request<'_, H> {
    fn head(&self) -> Option<&RequestHead> {
        self.head
    }

    fn client_address(&mut self) -> Option<IpAddr> {
        *self.address.get_or_insert_with(|| address::address(&self.host.client_address()))
    }

    fn route(&mut self, property: RouteProperty) -> Vec<u8> {
        self.host.route(property)
    }

    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8> {
        self.host.dynamic_metadata(namespace, path)
    }
}

impl<H: StatefulHost> Store for Request<'_, H> {
    fn get(&mut self, key: &[u8]) -> Found {
        self.host.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        self.host.put(key, value, over)
    }
}

impl<H: StatefulHost> Clock for Request<'_, H> {
    fn now(&mut self) -> u64 {
        self.host.now()
    }
}
