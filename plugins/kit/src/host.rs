//! What a filter asks of whatever it runs in. Each shell implements it once, in this crate; decisions
//! never see it. No call can fail in a way that a filter could act on, so none returns a `Result`.

use crate::{head::RequestHead, secret::Secret, store::Store};

/// The proxy's clock.
pub trait Clock {
    /// Nanoseconds since the Unix epoch; may step back.
    fn now(&mut self) -> u64;
}

/// The proxy, as far as every filter needs it.
pub trait Host: Clock {
    /// What is known of the route at this moment; empty where there is none.
    fn route(&mut self, property: RouteProperty) -> Vec<u8>;

    /// Registers a counter. Only while a configuration is read.
    fn define_counter(&mut self, name: &str) -> CounterId;

    fn increment(&mut self, counter: CounterId);

    /// Leaves a record of this request for the access log under a name (`portcullis_<filter>`); the last
    /// one stands.
    fn leave_record(&mut self, name: &str, record: &str);

    /// One line in the proxy's log.
    fn log(&mut self, level: Level, line: &str);
}

/// What a filter that remembers asks beyond that.
pub trait StatefulHost: Host + Store {
    /// Registers a gauge. Only while a configuration is read.
    fn define_gauge(&mut self, name: &str) -> GaugeId;

    fn set_gauge(&mut self, gauge: GaugeId, value: u64);

    fn add(&mut self, counter: CounterId, by: u64);

    /// `ip:port` of the client that the proxy trusts; empty where it isn't known.
    fn client_address(&mut self) -> Vec<u8>;

    /// What an earlier filter left in the request's dynamic metadata: text raw, a number as eight bytes of a
    /// little-endian `f64`, a boolean as one byte; empty where there is none.
    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8>;

    /// The head of the request in hand, read now; `None` where it can't be read, or was given anyway.
    fn request_head(&mut self) -> Option<RequestHead>;

    /// Whose doing the response in hand is, as Envoy's `response.code_details` says; `via_upstream` where the proxy doesn't
    /// tell.
    fn response_details(&mut self) -> Vec<u8>;

    /// Lets records of this name outlive a redirect inside of the proxy. Only while a configuration is read.
    fn keep_record(&mut self, name: &str);

    /// The record that this request left before the proxy redirected it; `None` for a request that is new.
    fn earlier_record(&mut self, name: &str) -> Option<Vec<u8>>;

    /// Fills `bytes` from the proxy's random source.
    ///
    /// # Errors
    /// The proxy gives none: its capability list leaves the call out.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), NoRandom>;

    /// Asks for a tick every so many milliseconds.
    fn set_tick_period(&mut self, milliseconds: u32);

    /// Sends a message to a service; the answer comes later, to the exchange in hand. `None` where the call can't be
    /// made, and then no answer comes.
    fn call(&mut self, call: &GrpcCall<'_>) -> Option<CallId>;
}

/// What a filter with keys asks beyond that.
pub trait Secrets {
    /// The secret that the proxy gives under a name; `None` where it gives none. Only while a configuration is read.
    fn secret(&mut self, name: &str) -> Option<Secret>;
}

/// One message to a gRPC service, and one back.
#[derive(Clone, Copy, Debug)]
pub struct GrpcCall<'a> {
    /// Of the proxy's clusters.
    pub cluster: &'a str,
    /// The service's full name, `package.Service`.
    pub service: &'a str,
    pub method: &'a str,
    pub message: &'a [u8],
    /// Milliseconds, not 0: what is held must go on some time.
    pub timeout: u32,
}

/// As the host numbers its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub u32);

/// The proxy gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandom;

/// As the host numbers its gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GaugeId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteProperty {
    RouteName,
    VirtualHostName,
    /// A serialised `envoy.config.core.v3.Metadata`.
    RouteMetadata,
    /// A serialised `envoy.config.core.v3.Metadata`.
    VirtualHostMetadata,
}

/// As the host numbers its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}
