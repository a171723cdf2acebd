//! What must be seen of a step: by the client, by the upstream, and by the operator.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes::Bytes;

/// Expectations of one step. What isn't named isn't checked, but is still compared between hosts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// What the client receives.
    pub client: ExpectMessage,
    /// What reaches the upstream; of several attempts the first.
    pub upstream: ExpectUpstream,
    /// All attempts that reach the upstream, in order: so many, and each of them so.
    pub attempts: Vec<ExpectUpstream>,
    /// The reason in the filter's record, for example `security_headers.headers_applied`; `none`
    /// where the filter leaves no record.
    pub reason: Option<String>,
    /// Fields of the filter's record by name.
    pub record: BTreeMap<String, String>,
    /// How much each counter of the filter grows in this step; those named must grow so.
    pub metrics: BTreeMap<String, i64>,
    /// Whether the proxy refuses the step's `update`. Default: it takes it.
    pub refused: bool,
    /// Texts that the proxy's log must hold after this step.
    pub log: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectMessage {
    /// Whether the client is answered at all.
    pub answered: Option<bool>,
    pub status: Option<u16>,
    pub headers: BTreeMap<String, HeaderExpectation>,
    pub body: Option<Bytes>,
    /// Whether the message has ended. Default: a body that is named must, but that of a named stream.
    pub complete: Option<bool>,
    pub trailers: BTreeMap<String, HeaderExpectation>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectUpstream {
    /// Whether the upstream is reached at all.
    pub reached: Option<bool>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub headers: BTreeMap<String, HeaderExpectation>,
    pub body: Option<Bytes>,
    /// Whether the message has ended. Default: a body that is named must, but that of a named stream.
    pub complete: Option<bool>,
    pub trailers: BTreeMap<String, HeaderExpectation>,
}

impl ExpectUpstream {
    /// Whether it says nothing.
    pub fn is_silent(&self) -> bool {
        self.reached.is_none()
            && self.method.is_none()
            && self.path.is_none()
            && self.headers.is_empty()
            && self.body.is_none()
            && self.complete.is_none()
            && self.trailers.is_empty()
    }
}

/// `null`: no such line. A value: one line, exactly this. A list: these lines, in this order.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(untagged)]
pub enum HeaderExpectation {
    Lines(Vec<Bytes>),
    Line(Bytes),
    Absent(()),
}

impl HeaderExpectation {
    /// The lines that must be there, and no others of that name.
    pub fn lines(&self) -> &[Bytes] {
        match self {
            Self::Lines(lines) => lines,
            Self::Line(line) => std::slice::from_ref(line),
            Self::Absent(()) => &[],
        }
    }
}
