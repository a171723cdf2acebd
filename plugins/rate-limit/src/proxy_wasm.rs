//! The way in from Envoy.

use portcullis_kit::{
    config::ConfigError,
    host::CallId,
    proxy_wasm::{Action, Map, Proxy, Root, carry_out, headers, request_head},
    proxy_wasm_entry,
};

use crate::{
    limiter::{Limiter, Stream},
    outcome::Outcome,
};

proxy_wasm_entry!(Plugin, tick, grpc);

struct Plugin(Limiter);

impl Root for Plugin {
    type Stream = Stream;

    fn configure(bytes: &[u8]) -> Result<Self, ConfigError> {
        Limiter::configure(&mut Proxy, bytes).map(Self)
    }

    fn on_request_headers(&mut self, stream: &mut Self::Stream) -> Action {
        let head = self.0.reads_head().then(request_head).flatten();
        carry_out(Map::Request, self.0.on_request(&mut Proxy, stream, head.as_ref()))
    }

    fn on_response_headers(&mut self, stream: &mut Self::Stream) -> Action {
        let head = self.0.reads_status(stream).then(|| headers(Map::Response)).flatten();
        let outcome = head.and_then(|head| Outcome::new(head.status(), &head));
        carry_out(Map::Response, self.0.on_response(&mut Proxy, stream, outcome))
    }

    fn on_end(&mut self, stream: &mut Self::Stream) {
        self.0.on_end(&mut Proxy, stream);
    }

    fn on_tick(&mut self) {
        self.0.on_tick(&mut Proxy);
    }

    fn waits_for(stream: &Self::Stream) -> Option<CallId> {
        stream.waits_for()
    }

    fn on_answer(&mut self, stream: &mut Self::Stream, answer: Option<Vec<u8>>) -> Action {
        carry_out(Map::Request, self.0.on_answer(&mut Proxy, stream, answer.as_deref()))
    }
}
