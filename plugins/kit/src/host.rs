//! What a filter asks of whatever it runs in. Each shell implements it once, in this crate; decisions
//! never see it. No call can fail in a way that a filter could act on, so none returns a `Result`.

/// The proxy, as far as a filter that is no policy needs it.
pub trait Host {
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

    /// Nanoseconds since the Unix epoch; may step back.
    fn now(&mut self) -> u64;
}

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
