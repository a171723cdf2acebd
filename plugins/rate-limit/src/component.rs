//! The way in from any host that speaks `wit/`.

use std::cell::RefCell;

use portcullis_kit::{
    component::{
        Guest, GuestExchange, Proxy, configured, request_head, response_headers, types, unconfigured, verdict,
    },
    component_entry,
};

use crate::{
    limiter::{self, Limiter},
    outcome::Outcome,
};

component_entry!(Plugin);

thread_local! {
    static LIMITER: RefCell<Option<Limiter>> = const { RefCell::new(None) };
}

struct Plugin;

struct Stream(RefCell<limiter::Stream>);

impl Guest for Plugin {
    type Exchange = Stream;

    fn configure(configuration: Vec<u8>) -> Result<(), String> {
        let limiter = configured(Limiter::configure(&mut Proxy, &configuration))?;
        LIMITER.set(Some(limiter));
        Ok(())
    }

    fn on_tick() {
        LIMITER.with_borrow_mut(|limiter| {
            if let Some(limiter) = limiter {
                limiter.on_tick(&mut Proxy);
            }
        });
    }
}

impl Stream {
    fn handle(&self, handle: impl FnOnce(&mut Limiter, &mut limiter::Stream) -> types::Verdict) -> types::Verdict {
        LIMITER.with_borrow_mut(|limiter| match limiter {
            Some(limiter) => handle(limiter, &mut self.0.borrow_mut()),
            None => unconfigured(),
        })
    }
}

impl GuestExchange for Stream {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn on_request_head(&self, head: types::RequestHead) -> types::Verdict {
        let head = request_head(head);
        self.handle(|limiter, stream| verdict(limiter.on_request(&mut Proxy, stream, Some(&head))))
    }

    fn on_response_head(&self, head: types::ResponseHead) -> types::Verdict {
        let outcome = Outcome::new(Some(head.status), &response_headers(head));
        self.handle(|limiter, stream| verdict(limiter.on_response(&mut Proxy, stream, outcome)))
    }

    fn on_answer(&self, _: u32, answer: Option<Vec<u8>>) -> types::Verdict {
        self.handle(|limiter, stream| verdict(limiter.on_answer(&mut Proxy, stream, answer.as_deref())))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        LIMITER.with_borrow_mut(|limiter| {
            if let Some(limiter) = limiter {
                limiter.on_end(&mut Proxy, self.0.get_mut());
            }
        });
    }
}
