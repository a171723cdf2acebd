//! A response that a filter gives itself.
//!
//! 1. It takes effect when the callback returns; the first one wins, whatever the callback returned.
//! 2. Before the response began it passes this filter's response callbacks, as any response does.
//!    From `on_response_headers` it replaces the response and passes no callback. Later it only cuts
//!    the response off.
//! 3. Its headers: `:status`, the filter's own, added and not set; with a body, `content-length`, and
//!    `content-type: text/plain` unless the filter named another.
//! 4. A request that came as gRPC is answered in gRPC: 200, the status and the text in headers; a `grpc-status` among the reply's
//!    own headers goes before the reply's.

use super::{
    headers::{Headers, Inline},
    pairs::Pairs,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Not checked: Envoy sends what it is given, as a number of 16 bits.
    pub status: u32,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// `response_code_details`; spaces become underscores.
    pub details: String,
    /// Where it isn't negative, the status of a gRPC answer.
    pub grpc_status: i32,
}

impl Reply {
    /// What Envoy itself answers.
    pub fn plain(status: u32, body: &str, details: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), details: details.into(), grpc_status: -1, ..Self::default() }
    }

    /// The answer to every request of a filter that trapped.
    pub fn failed() -> Self {
        Self::plain(503, "", "wasm_fail_stream")
    }

    pub fn details(&self) -> String {
        self.details.replace(' ', "_")
    }

    /// The head and the body that travel towards the client.
    pub fn into_response(mut self, grpc: bool) -> (Headers, Vec<u8>) {
        self.status &= u32::from(u16::MAX);
        let mut headers = Headers::new(Inline::Response);
        headers.add(b":status", self.status.to_string().as_bytes());
        for (name, value) in &self.headers {
            headers.add(name, value);
        }
        // Envoy answers with the status that it was given, whatever the headers say.
        headers.set(b":status", self.status.to_string().as_bytes());
        if grpc {
            headers.set(b":status", b"200");
            headers.set(b"content-type", b"application/grpc");
            if headers.get(b"grpc-status").is_none_or(<[u8]>::is_empty) {
                let status = u32::try_from(self.grpc_status).unwrap_or_else(|_| grpc_of(self.status));
                headers.set(b"grpc-status", status.to_string().as_bytes());
            }
            if !self.body.is_empty() {
                headers.set(b"grpc-message", &percent_encoded(&self.body));
            }
            headers.remove(b"content-length");
            return (headers, Vec::new());
        }
        if self.body.is_empty() {
            headers.remove(b"content-length");
            headers.remove(b"content-type");
        } else {
            headers.set(b"content-length", self.body.len().to_string().as_bytes());
            if headers.get(b"content-type").is_none() {
                headers.add(b"content-type", b"text/plain");
            }
        }
        (headers, self.body)
    }
}

/// Whether a request is one of gRPC, as the client sent it: filters can't make it one any more.
pub fn is_grpc(request: &Headers) -> bool {
    let kind = request.get(b"content-type");
    kind.is_some_and(|kind| kind == b"application/grpc" || kind.starts_with(b"application/grpc+"))
}

/// gRPC's `http-grpc-status-mapping.md`.
pub fn grpc_of(status: u32) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(*byte),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_with_a_body_names_its_length_and_type() {
        let mut reply = Reply::plain(429, "slow", "a b");
        reply.headers = vec![(b"Retry-After".to_vec(), b"1".to_vec())];
        assert_eq!(reply.details(), "a_b");
        let (headers, body) = reply.into_response(false);
        let names: Vec<_> = headers.lines().iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [b":status".as_slice(), b"retry-after", b"content-length", b"content-type"]);
        assert_eq!(body, b"slow");
    }

    #[test]
    fn a_grpc_request_is_answered_in_grpc() {
        let mut request = Headers::new(Inline::Request);
        request.add(b"content-type", b"application/grpc+proto");
        let (headers, body) = Reply::plain(403, "no", "").into_response(is_grpc(&request));
        assert_eq!(headers.get(b":status"), Some(b"200".as_slice()));
        assert_eq!(headers.get(b"grpc-status"), Some(b"7".as_slice()));
        assert_eq!(headers.get(b"grpc-message"), Some(b"no".as_slice()));
        assert!(body.is_empty());
    }
}
