//! What a policy decides about the message in hand.

/// A decision. Borrows from the policy, so that the usual one costs no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The message goes on as it is.
    Pass,
    /// The message goes on with these changes to its headers, made in order.
    Edit(Vec<Edit<'a>>),
    /// Nothing goes on until a later call decides.
    Hold,
    /// The client gets this instead.
    Reply(Reply),
}

/// One change to the headers of a message. Names are in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Exactly one line of this name remains, with this value.
    Set(&'a [u8], &'a [u8]),
    /// One line more.
    Add(&'a [u8], &'a [u8]),
    /// No line of this name remains.
    Remove(&'a [u8]),
}

/// A response that a filter itself gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The whole code of the reason, `rate_limit.quota_spent`, for the proxy's response code details.
    pub details: String,
    /// The status that a gRPC call gets; `None` for what the proxy makes of `status`.
    pub grpc_status: Option<u32>,
}

impl Reply {
    /// 503 without a word to the client: the fault is on this side, and the reason is the operator's.
    pub fn unavailable(details: String) -> Self {
        Self::empty(503, details)
    }

    pub fn empty(status: u16, details: String) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), details, grpc_status: None }
    }
}
