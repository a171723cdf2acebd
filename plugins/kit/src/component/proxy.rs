//! Between the words of `wit/` and ours. No decision.

use super::{
    bindings::portcullis::policy::{host, store, types},
    message_bindings::portcullis::policy::secrets,
};
use crate::{
    config::ConfigError,
    head::{Headers, RequestHead},
    host::{CallId, Clock, CounterId, GaugeId, GrpcCall, Host, Level, NoRandom, RouteProperty, Secrets, StatefulHost},
    reason,
    secret::Secret,
    store::{Found, Over, Store, Version, Written},
    verdict::{Edit, Reply, Verdict},
};

/// The gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proxy;

impl Clock for Proxy {
    fn now(&mut self) -> u64 {
        host::now()
    }
}

impl Host for Proxy {
    fn route(&mut self, property: RouteProperty) -> Vec<u8> {
        let property = match property {
            RouteProperty::RouteName => host::RouteProperty::RouteName,
            RouteProperty::VirtualHostName => host::RouteProperty::VirtualHostName,
            RouteProperty::RouteMetadata => host::RouteProperty::RouteMetadata,
            RouteProperty::VirtualHostMetadata => host::RouteProperty::VirtualHostMetadata,
        };
        host::route(property).unwrap_or_default()
    }

    fn define_counter(&mut self, name: &str) -> CounterId {
        CounterId(host::define_counter(name))
    }

    fn increment(&mut self, CounterId(counter): CounterId) {
        host::increment(counter, 1);
    }

    fn leave_record(&mut self, name: &str, record: &str) {
        host::leave_record(name, record);
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, line);
    }
}

impl Store for Proxy {
    fn get(&mut self, key: &[u8]) -> Found {
        match store::get(key) {
            Some(store::Entry { value, version }) => Found::Value(value, Version(version)),
            None => Found::Nothing,
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        let version = match over {
            Over::Nothing => None,
            Over::Version(Version(version)) => Some(version),
        };
        if store::put(key, value, version) { Written::Done } else { Written::Lost }
    }
}

impl Secrets for Proxy {
    fn secret(&mut self, name: &str) -> Option<Secret> {
        secrets::get(name).map(Secret::new)
    }
}

impl StatefulHost for Proxy {
    fn define_gauge(&mut self, name: &str) -> GaugeId {
        GaugeId(host::define_gauge(name))
    }

    fn set_gauge(&mut self, GaugeId(gauge): GaugeId, value: u64) {
        host::set_gauge(gauge, value);
    }

    fn add(&mut self, CounterId(counter): CounterId, by: u64) {
        host::increment(counter, by);
    }

    fn client_address(&mut self) -> Vec<u8> {
        host::client_address().unwrap_or_default().into_bytes()
    }

    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8> {
        host::dynamic_metadata(namespace, path).unwrap_or_default()
    }

    fn request_head(&mut self) -> Option<RequestHead> {
        None
    }

    /// A gateway hands over what its upstream answered.
    fn response_details(&mut self) -> Vec<u8> {
        b"via_upstream".to_vec()
    }

    /// A gateway keeps them anyway.
    fn keep_record(&mut self, _: &str) {}

    fn earlier_record(&mut self, name: &str) -> Option<Vec<u8>> {
        host::earlier_record(name).map(String::into_bytes)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        let size = u32::try_from(bytes.len()).map_err(|_| NoRandom)?;
        let random = host::random(size);
        if random.len() != bytes.len() {
            return Err(NoRandom);
        }
        bytes.copy_from_slice(&random);
        Ok(())
    }

    fn set_tick_period(&mut self, milliseconds: u32) {
        host::set_tick_period(milliseconds);
    }

    fn call(&mut self, call: &GrpcCall<'_>) -> Option<CallId> {
        let GrpcCall { cluster, service, method, message, timeout } = *call;
        host::call(cluster, service, method, message, timeout.max(1)).map(CallId)
    }
}

/// The answer to `configure`.
///
/// # Errors
/// The configuration's error as text.
pub fn configured<T>(result: Result<T, ConfigError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

pub fn request_head(head: types::RequestHead) -> RequestHead {
    let types::RequestHead { method, authority, path, headers, .. } = head;
    RequestHead { method, authority, path, headers: lines(headers) }
}

pub fn response_headers(head: types::ResponseHead) -> Headers {
    lines(head.headers)
}

fn lines(headers: Vec<types::Header>) -> Headers {
    headers.into_iter().map(|types::Header { name, value }| (name, value)).collect()
}

pub fn verdict(verdict: Verdict<'_>) -> types::Verdict {
    let header = |name: &[u8], value: &[u8]| types::Header { name: name.to_vec(), value: value.to_vec() };
    match verdict {
        Verdict::Pass => types::Verdict::Pass,
        Verdict::Hold => types::Verdict::Hold,
        Verdict::Reply(reply) => types::Verdict::Reply(self::reply(reply)),
        Verdict::Edit(edits) => types::Verdict::Edit(
            edits
                .into_iter()
                .map(|edit| match edit {
                    Edit::Set(name, value) => types::Edit::Set(header(name, value)),
                    Edit::Add(name, value) => types::Edit::Add(header(name, value)),
                    Edit::Remove(name) => types::Edit::Remove(name.to_vec()),
                })
                .collect(),
        ),
    }
}

fn reply(reply: Reply) -> types::Reply {
    let headers = reply.headers.into_iter().map(|(name, value)| types::Header { name, value }).collect();
    types::Reply {
        status: reply.status,
        headers,
        body: reply.body,
        details: reply.details,
        grpc_status: reply.grpc_status,
    }
}

/// What every message gets before a configuration was taken.
pub fn unconfigured() -> types::Verdict {
    types::Verdict::Reply(reply(Reply::unavailable(reason::UNCONFIGURED.into())))
}
