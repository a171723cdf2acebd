//! Between the words of `wit/` and ours. No decision.

use super::bindings::portcullis::policy::{host, types};
use crate::{
    config::ConfigError,
    head::{Headers, RequestHead},
    host::{CounterId, Host, Level, RouteProperty},
    reason,
    verdict::{Edit, Reply, Verdict},
};

/// The gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proxy;

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

    fn now(&mut self) -> u64 {
        host::now()
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
    types::Reply { status: reply.status, headers, body: reply.body, details: reply.details }
}

/// What every message gets before a configuration was taken.
pub fn unconfigured() -> types::Verdict {
    types::Verdict::Reply(reply(Reply::unavailable(reason::UNCONFIGURED.into())))
}
