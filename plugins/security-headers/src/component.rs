//! The way in from any host that speaks `wit/`.

use std::cell::RefCell;

use portcullis_kit::{
    Exchange, Filter,
    component::{
        Guest, GuestExchange, Proxy, configured, request_head, response_headers, types, unconfigured, verdict,
    },
    component_entry,
    verdict::Verdict,
};

use crate::{config::SecurityHeaders, decide::decide};

component_entry!(Plugin);

thread_local! {
    static FILTER: RefCell<Option<Filter<SecurityHeaders>>> = const { RefCell::new(None) };
}

struct Plugin;

struct Stream(RefCell<Exchange<SecurityHeaders>>);

impl Guest for Plugin {
    type Exchange = Stream;

    fn configure(configuration: Vec<u8>) -> Result<(), String> {
        let filter = configured(Filter::configure(&mut Proxy, &configuration))?;
        FILTER.set(Some(filter));
        Ok(())
    }

    fn on_tick() {}
}

impl Stream {
    fn handle(
        &self,
        handle: impl FnOnce(&mut Filter<SecurityHeaders>, &mut Exchange<SecurityHeaders>) -> types::Verdict,
    ) -> types::Verdict {
        FILTER.with_borrow_mut(|filter| match filter {
            Some(filter) => handle(filter, &mut self.0.borrow_mut()),
            None => unconfigured(),
        })
    }
}

impl GuestExchange for Stream {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn on_request_head(&self, head: types::RequestHead) -> types::Verdict {
        self.handle(|filter, exchange| {
            let head = filter.reads_request_head().then(|| request_head(head));
            let refusal = filter.on_request(&mut Proxy, exchange, head.as_ref());
            verdict(refusal.map_or(Verdict::Pass, Verdict::Reply))
        })
    }

    fn on_answer(&self, _: u32, _: Option<Vec<u8>>) -> types::Verdict {
        types::Verdict::Hold
    }

    fn on_response_head(&self, head: types::ResponseHead) -> types::Verdict {
        self.handle(|filter, exchange| {
            let named = match filter.policy(&mut Proxy, exchange) {
                Ok(Some(named)) => named,
                Ok(None) => return types::Verdict::Pass,
                Err(refusal) => return verdict(Verdict::Reply(refusal)),
            };
            let present = response_headers(head);
            let (decision, reason) = decide(&named.policy, Some(&present));
            verdict(filter.settle(&mut Proxy, &named, reason, decision))
        })
    }
}
