//! The way in from any host that speaks `wit/`.

use std::cell::RefCell;

use portcullis_kit::{
    component::{
        Proxy, configured,
        message_filter::{Guest, GuestExchange},
        request_head, types, unconfigured, verdict,
    },
    message_component_entry,
    verdict::Verdict,
};

use crate::validator::{self, Validator};

message_component_entry!(Plugin);

thread_local! {
    static VALIDATOR: RefCell<Option<Validator>> = const { RefCell::new(None) };
}

struct Plugin;

struct Stream(RefCell<validator::Stream>);

impl Guest for Plugin {
    type Exchange = Stream;

    fn configure(configuration: Vec<u8>) -> Result<(), String> {
        let validator = configured(Validator::configure(&mut Proxy, &configuration))?;
        VALIDATOR.set(Some(validator));
        Ok(())
    }

    fn on_tick() {
        VALIDATOR.with_borrow_mut(|validator| {
            if let Some(validator) = validator {
                validator.on_tick(&mut Proxy);
            }
        });
    }
}

impl Stream {
    fn handle(&self, handle: impl FnOnce(&mut Validator, &mut validator::Stream) -> types::Verdict) -> types::Verdict {
        VALIDATOR.with_borrow_mut(|validator| match validator {
            Some(validator) => handle(validator, &mut self.0.borrow_mut()),
            None => unconfigured(),
        })
    }
}

impl GuestExchange for Stream {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn on_request_head(&self, head: types::RequestHead, ends: bool) -> types::Verdict {
        let head = request_head(head);
        self.handle(|validator, stream| verdict(validator.on_request(&mut Proxy, stream, Some(&head), ends)))
    }

    fn on_request_body(&self, piece: Vec<u8>, ends: bool) -> types::Verdict {
        self.handle(|validator, stream| verdict(validator.on_body(&mut Proxy, stream, Some(&piece), ends)))
    }

    fn on_request_trailers(&self) -> types::Verdict {
        self.handle(|validator, stream| verdict(validator.on_trailers(&mut Proxy, stream)))
    }

    fn on_response_head(&self, head: types::ResponseHead) -> types::Verdict {
        self.handle(|validator, stream| {
            validator.on_response(&mut Proxy, stream, Some(head.status));
            types::Verdict::Pass
        })
    }

    fn on_held_tick(&self) -> types::Verdict {
        self.handle(|validator, stream| match validator.on_held_tick(&mut Proxy, stream) {
            Some(reply) => verdict(Verdict::Reply(reply)),
            None => types::Verdict::Hold,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        VALIDATOR.with_borrow_mut(|validator| {
            if let Some(validator) = validator {
                validator.on_end(&mut Proxy, self.0.get_mut());
            }
        });
    }
}
