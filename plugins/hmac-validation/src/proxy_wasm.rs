//! The way in from Envoy.

use portcullis_kit::{
    config::ConfigError,
    proxy_wasm::{Action, Map, Proxy, Root, carry_out, headers, request_body, request_head},
    proxy_wasm_entry,
    verdict::{Reply, Verdict},
};

use crate::validator::{self, Validator};

proxy_wasm_entry!(Plugin, tick, body);

struct Plugin(Validator);

#[derive(Default)]
struct Stream {
    of: validator::Stream,
    /// Bytes of the body that were read and that the proxy still holds.
    read: usize,
}

impl Root for Plugin {
    type Stream = Stream;

    fn configure(bytes: &[u8]) -> Result<Self, ConfigError> {
        Validator::configure(&mut Proxy, bytes).map(Self)
    }

    fn on_request_head(&mut self, stream: &mut Self::Stream, ends: bool) -> Action {
        let head = request_head();
        act(self.0.on_request(&mut Proxy, &mut stream.of, head.as_ref(), ends))
    }

    fn on_request_body(&mut self, stream: &mut Self::Stream, size: usize, ends: bool) -> Action {
        let piece = size.checked_sub(stream.read).and_then(|new| request_body(stream.read, new));
        let action = act(self.0.on_body(&mut Proxy, &mut stream.of, piece.as_deref(), ends));
        stream.read = if stream.of.holds() { size } else { 0 };
        action
    }

    fn on_request_trailers(&mut self, stream: &mut Self::Stream) -> Action {
        act(self.0.on_trailers(&mut Proxy, &mut stream.of))
    }

    fn on_response_headers(&mut self, stream: &mut Self::Stream) -> Action {
        let head = self.0.reads_status(&stream.of).then(|| headers(Map::Response)).flatten();
        let status = head.and_then(|head| head.status());
        self.0.on_response(&mut Proxy, &mut stream.of, status);
        Action::Continue
    }

    fn on_end(&mut self, stream: &mut Self::Stream) {
        self.0.on_end(&mut Proxy, &mut stream.of);
    }

    fn on_tick(&mut self) {
        self.0.on_tick(&mut Proxy);
    }

    fn hears_ticks(stream: &Self::Stream) -> bool {
        stream.of.holds()
    }

    fn on_stream_tick(&mut self, stream: &mut Self::Stream) -> Option<Reply> {
        self.0.on_held_tick(&mut Proxy, &mut stream.of)
    }
}

/// A request that is held goes on being told: `HoldAll` would hold its body back as well.
fn act(verdict: Verdict<'_>) -> Action {
    match verdict {
        Verdict::Hold => Action::Pause,
        verdict => carry_out(Map::Request, verdict),
    }
}
