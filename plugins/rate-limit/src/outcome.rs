//! What became of a request, as far as counting by response asks.
//!
//! 1. A response counts by its status; one to a gRPC call by the status of the call, if that stands in its head.
//! 2. A gRPC response whose status comes in trailers says nothing in its head: nothing is given back.
//! 3. Only what the upstream, or the proxy on its behalf, answered is given back. What the proxy answers because the client
//!    broke off, stalled or sent nonsense counts: otherwise a client could make work and have it forgotten.

use portcullis_kit::head::Headers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// Comes in trailers.
    Later,
}

impl Outcome {
    /// Of a response's head; `None` where it has no status.
    pub fn new(status: Option<u16>, headers: &Headers) -> Option<Self> {
        let status = status?;
        let is_grpc = headers.all(b"content-type").any(|kind| kind.starts_with(b"application/grpc"));
        if status != 200 || !is_grpc {
            return Some(Self::Status(status));
        }
        Some(match headers.all(b"grpc-status").next() {
            None => Self::Later,
            Some(code) => Self::Status(of_grpc(code)),
        })
    }
}

/// As gRPC's own gateways translate its codes (`google/rpc/code.proto`).
fn of_grpc(code: &[u8]) -> u16 {
    match code {
        b"0" => 200,
        b"1" => 499,
        b"3" | b"9" | b"11" => 400,
        b"4" => 504,
        b"5" => 404,
        b"6" | b"10" => 409,
        b"7" => 403,
        b"8" => 429,
        b"12" => 501,
        b"14" => 503,
        b"16" => 401,
        _ => 500,
    }
}

/// By Envoy's details of a response (`source/common/http/utility.h`, `envoy/stream_info/stream_info.h`): the upstream's own, or
/// what the proxy says of it.
pub fn is_of_the_upstream(details: &[u8]) -> bool {
    const OF_THE_UPSTREAM: [&[u8]; 8] = [
        b"via_upstream",
        b"upstream_",
        b"response_timeout",
        b"no_healthy_upstream",
        b"cluster_not_found",
        b"route_not_found",
        b"direct_response",
        b"maintenance_mode",
    ];
    OF_THE_UPSTREAM.iter().any(|known| details.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, lines: &[(&str, &str)]) -> Option<Outcome> {
        let lines = lines.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Outcome::new(Some(status), &lines.collect())
    }

    #[test]
    fn a_grpc_call_counts_by_its_own_status_or_by_none() {
        let grpc = ("content-type", "application/grpc");
        assert_eq!(outcome(200, &[grpc, ("grpc-status", "16")]), Some(Outcome::Status(401)));
        assert_eq!(outcome(200, &[grpc, ("grpc-status", "0")]), Some(Outcome::Status(200)));
        assert_eq!(outcome(200, &[grpc]), Some(Outcome::Later));
        assert_eq!(outcome(503, &[grpc]), Some(Outcome::Status(503)));
        assert_eq!(outcome(200, &[("grpc-status", "16")]), Some(Outcome::Status(200)));
    }

    #[test]
    fn what_the_client_did_itself_is_not_the_upstreams() {
        for details in
            ["http1.codec_error", "stream_idle_timeout", "request_overall_timeout", "downstream_remote_disconnect", ""]
        {
            assert!(!is_of_the_upstream(details.as_bytes()), "{details}");
        }
        for details in
            ["via_upstream", "upstream_reset_before_response_started{connection_failure}", "no_healthy_upstream"]
        {
            assert!(is_of_the_upstream(details.as_bytes()), "{details}");
        }
    }
}
