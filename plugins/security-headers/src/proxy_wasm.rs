//! The way in from Envoy.

use portcullis_kit::{
    Exchange, Filter,
    config::ConfigError,
    proxy_wasm::{Action, Map, Proxy, Root, carry_out, headers, request_head},
    proxy_wasm_entry,
    verdict::Verdict,
};

use crate::{
    config::SecurityHeaders,
    decide::{decide, looks_first},
};

proxy_wasm_entry!(Plugin);

struct Plugin(Filter<SecurityHeaders>);

impl Root for Plugin {
    type Stream = Exchange<SecurityHeaders>;

    fn configure(bytes: &[u8]) -> Result<Self, ConfigError> {
        Filter::configure(&mut Proxy, bytes).map(Self)
    }

    fn on_request_headers(&mut self, exchange: &mut Self::Stream) -> Action {
        let head = self.0.reads_request_head().then(request_head).flatten();
        let refusal = self.0.on_request(&mut Proxy, exchange, head.as_ref());
        carry_out(Map::Request, refusal.map_or(Verdict::Pass, Verdict::Reply))
    }

    fn on_response_headers(&mut self, exchange: &mut Self::Stream) -> Action {
        let named = match self.0.policy(&mut Proxy, exchange) {
            Ok(Some(named)) => named,
            Ok(None) => return Action::Continue,
            Err(refusal) => return carry_out(Map::Response, Verdict::Reply(refusal)),
        };
        let present = looks_first(&named.policy).then(|| headers(Map::Response)).flatten();
        let (verdict, reason) = decide(&named.policy, present.as_ref());
        let verdict = self.0.settle(&mut Proxy, &named, reason, verdict);
        carry_out(Map::Response, verdict)
    }
}
