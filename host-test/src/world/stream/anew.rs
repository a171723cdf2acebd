//! A stream that the router tries again, gives up, or sends elsewhere.

use super::{Run, Stream};
use crate::world::{Headers, head, wire};

/// The line that tells the upstream which attempt it is.
const COUNT: &[u8] = b"x-envoy-attempt-count";
/// Envoy's `UpstreamRetryLimitExceeded`.
const RETRIES_SPENT: u64 = 1 << 15;

impl Stream {
    /// The request goes to the upstream once more, as it is.
    pub fn next_attempt(&mut self) {
        self.attempt += 1;
        self.count();
        let headers = self.request.headers.clone().unwrap_or_default();
        if let Some(upstream) = &mut self.upstream {
            upstream.headers = wire::head(&headers).headers;
        }
    }

    /// Begins with what the stream that was redirected to it left for it.
    pub fn follow(&mut self, earlier: &Self) {
        (self.declared, self.filter_state) = earlier.declared.handed_on(&earlier.filter_state);
    }

    /// So many further attempts were in vain.
    pub fn spend(&mut self, times: u32) {
        self.attempt += times;
        self.count();
        self.give_up();
    }

    /// No further attempt is made.
    pub fn give_up(&mut self) {
        self.flags |= RETRIES_SPENT;
    }

    pub(super) fn count(&mut self) {
        if let (true, Some(headers)) = (self.behind.counted, &mut self.request.headers) {
            headers.set(COUNT, self.attempt.to_string().as_bytes());
        }
    }
}

impl Run<'_> {
    /// What is known when the stream that is redirected ends.
    pub fn redirect(&mut self, request: Headers, response: Headers) {
        self.stream.details = Some("internal_redirect".into());
        self.stream.code = head::status(&response);
        (self.stream.request.headers, self.stream.response.headers) = (Some(request), Some(response));
        self.choose_route();
    }
}
