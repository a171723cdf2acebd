//! What a cluster answers to a filter's call.
//!
//! A cluster with one answer of a gRPC service speaks HTTP/2, every other HTTP/1.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{bytes::Bytes, grpc::GrpcAct, headers::HeaderLines, span::Span};

/// One answer. Default: 200 without a body, at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalloutAnswer {
    pub status: u16,
    pub headers: HeaderLines,
    pub body: Bytes,
    pub trailers: HeaderLines,
    /// How long the answer takes.
    pub after: Span,
    /// What goes wrong instead of an answer.
    pub trouble: Option<Trouble>,
    /// What a gRPC service does, step by step, instead of giving the answer above.
    pub grpc: Option<Vec<GrpcAct>>,
}

impl Default for CalloutAnswer {
    fn default() -> Self {
        Self {
            status: 200,
            headers: HeaderLines::default(),
            body: Bytes::default(),
            trailers: HeaderLines::default(),
            after: Span::default(),
            trouble: None,
            grpc: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The cluster has no host.
    NoHost,
    /// Nothing listens there.
    Refused,
    /// The connection ends before the answer.
    Reset,
    /// The connection ends behind the answer's head.
    ResetAfterHeaders,
    /// No answer ever; the call ends by its time-out.
    Silence,
}
