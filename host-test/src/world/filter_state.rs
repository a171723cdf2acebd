//! What filters leave for each other and for the access log.
//!
//! 1. What this filter sets stands under `wasm.` and its path. Setting it again replaces it, unless the
//!    root context declared it read-only before it was first set. What a stream declares has no effect. What the root
//!    context declared for the client's request outlives a redirect that the proxy follows.
//! 2. State of the proxy's own has names that the proxy knows, each with a form of value.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{exchange::Exchange, status::Status, value::Value};

/// What a root context declares of a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// It may be set once only.
    pub read_only: bool,
    /// It lives as long as the client's request, or its connection.
    pub outlives: bool,
}

/// State that isn't plain text, or text by the filter's own name, and what was declared in a stream.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// What this filter declared in this stream: only that a second time is an error.
    pub names: BTreeSet<Vec<u8>>,
    /// What was set once and for all.
    fixed: BTreeSet<Vec<u8>>,
    /// What outlives the stream.
    outliving: BTreeSet<Vec<u8>>,
    /// State of the proxy's own, in the form in which it is read.
    native: BTreeMap<Vec<u8>, Value>,
}

impl Declared {
    /// What a stream takes over from the one that was redirected to it.
    pub fn handed_on(&self, state: &HashMap<Vec<u8>, Vec<u8>>) -> (Self, HashMap<Vec<u8>, Vec<u8>>) {
        let outliving = self.outliving.clone();
        let fixed = self.fixed.intersection(&outliving).cloned().collect();
        let state = state.iter().filter(|(name, _)| outliving.contains(*name));
        let state = state.map(|(name, value)| (name.clone(), value.clone())).collect();
        (Self { fixed, outliving, ..Self::default() }, state)
    }
}

impl Exchange {
    /// Sets a property of the filter's own, of which the root context declared this.
    pub fn set_declared(&mut self, path: &[u8], value: &[u8], declaration: Declaration) -> Result<(), Status> {
        if self.declared.fixed.contains(path) {
            return Err(Status::BadArgument);
        }
        if !self.filter_state.contains_key(path) {
            if declaration.read_only {
                self.declared.fixed.insert(path.to_vec());
            }
            if declaration.outlives {
                self.declared.outliving.insert(path.to_vec());
            }
        }
        self.set_property(path, value);
        Ok(())
    }

    /// Sets state of the proxy's own.
    pub fn set_native(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let form = Form::of(name).ok_or(Status::NotFound)?;
        let read = form.read(value).ok_or(Status::BadArgument)?;
        self.declared.native.insert(name.to_vec(), read);
        Ok(())
    }

    /// All of it, as `filter_state` shows it.
    pub fn filter_state_fields(&self) -> Vec<(Vec<u8>, Value)> {
        let own = self.filter_state.iter();
        let own = own.map(|(name, value)| ([b"wasm.", name.as_slice()].concat(), Value::Bytes(value.clone())));
        let native = self.declared.native.iter().map(|(name, value)| (name.clone(), value.clone()));
        own.chain(native.filter(|(_, value)| *value != Value::Null)).collect()
    }
}

/// How a state of the proxy's own is written and read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    /// Text that can't be read back.
    Hidden,
    Number,
    /// `true`, or anything else for false.
    Flag,
    /// `true` or `false`.
    Bool,
    Address,
    AddressWithPort,
}

impl Form {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"envoy.string"
            | b"envoy.hashable_string"
            | b"envoy.tcp_proxy.cluster"
            | b"envoy.upstream.dynamic_host"
            | b"envoy.network.upstream_server_name"
            | b"envoy.network.upstream_subject_alt_names"
            | b"envoy.network.network_namespace" => Self::Text,
            b"envoy.network.application_protocols" => Self::Hidden,
            b"envoy.tcp_proxy.per_connection_idle_timeout_ms"
            | b"envoy.upstream.dynamic_port"
            | b"envoy.ratelimit.hits_addend" => Self::Number,
            b"envoy.tcp_proxy.disable_tunneling" => Self::Flag,
            b"envoy.bool" => Self::Bool,
            b"envoy.network.ip" => Self::Address,
            b"envoy.network.transport_socket.original_dst_address"
            | b"envoy.filters.listener.original_dst.local_ip"
            | b"envoy.filters.listener.original_dst.remote_ip" => Self::AddressWithPort,
            _ => return None,
        })
    }

    fn read(self, value: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(value).unwrap_or_default();
        match self {
            Self::Text => Some(Value::Bytes(value.to_vec())),
            Self::Hidden => Some(Value::Null),
            Self::Number => text.parse::<u64>().ok().map(|number| Value::text(number.to_string())),
            Self::Flag => Some(Value::text((text == "true").to_string())),
            Self::Bool => text.parse::<bool>().ok().map(|flag| Value::text(flag.to_string())),
            Self::Address => text.parse::<IpAddr>().ok().map(|ip| Value::text(SocketAddr::new(ip, 0).to_string())),
            // It has fields and no text, and none of the fields is for us.
            Self::AddressWithPort => text.parse::<SocketAddr>().ok().map(|_| Value::Map(Vec::new())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_declared_read_only_is_set_once() {
        let mut exchange = Exchange::new(0, false, 1);
        let once = Declaration { read_only: true, outlives: false };
        assert_eq!(exchange.set_declared(b"once", b"1", once), Ok(()));
        assert_eq!(exchange.set_declared(b"once", b"2", once), Err(Status::BadArgument));
        assert_eq!(exchange.set_declared(b"free", b"1", Declaration::default()), Ok(()));
        assert_eq!(exchange.set_declared(b"free", b"2", Declaration::default()), Ok(()));
    }

    #[test]
    fn state_of_the_proxys_own_has_a_form() {
        let mut exchange = Exchange::new(0, false, 1);
        assert_eq!(exchange.set_native(b"mine", b"x"), Err(Status::NotFound));
        assert_eq!(exchange.set_native(b"envoy.upstream.dynamic_port", b"x"), Err(Status::BadArgument));
        for (name, value) in [("envoy.upstream.dynamic_port", "80"), ("envoy.network.ip", "10.0.0.1")] {
            assert_eq!(exchange.set_native(name.as_bytes(), value.as_bytes()), Ok(()));
        }
        let fields = exchange.filter_state_fields();
        assert!(fields.contains(&(b"envoy.network.ip".to_vec(), Value::text("10.0.0.1:0"))), "{fields:?}");
    }
}
