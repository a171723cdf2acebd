//! What the router does anew: an attempt that failed, a request that is redirected.

use schemars::JsonSchema;
use serde::Deserialize;

/// The route's `retry_policy`. Envoy waits up to a millisecond before each further attempt.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Envoy's `retry_on`: `5xx`, `gateway-error`, `reset`, `retriable-4xx`, `retriable-status-codes`, `connect-failure`.
    pub on: Vec<RetryOn>,
    /// How many attempts follow the first one at most.
    #[serde(default = "one")]
    pub times: u32,
    /// For `retriable-status-codes`.
    #[serde(default)]
    pub codes: Vec<u16>,
    /// The virtual host's `include_request_attempt_count`: the upstream is told the attempt's number.
    #[serde(default)]
    pub counted: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    #[serde(rename = "5xx")]
    ServerError,
    GatewayError,
    Reset,
    ConnectFailure,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    RetriableStatusCodes,
}

impl RetryOn {
    /// As Envoy's configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Reset => "reset",
            Self::ConnectFailure => "connect-failure",
            Self::Retriable4xx => "retriable-4xx",
            Self::RetriableStatusCodes => "retriable-status-codes",
        }
    }
}

/// The route's `internal_redirect_policy`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Redirects {
    /// `max_internal_redirects`.
    pub most: u32,
    /// `redirect_response_codes`; Envoy takes 301, 302, 303, 307 and 308 of them.
    pub codes: Vec<u16>,
    /// `allow_cross_scheme_redirect`.
    pub cross_scheme: bool,
    /// The predicate `previous_routes`: no route is taken a second time.
    pub new_routes_only: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Self { most: 1, codes: vec![302], cross_scheme: false, new_routes_only: false }
    }
}

fn one() -> u32 {
    1
}
