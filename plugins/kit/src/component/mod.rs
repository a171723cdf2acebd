//! The way in from any host that speaks `wit/`: the component model's canonical ABI, generated.

mod entry;
mod proxy;

/// Generated from `wit/`.
#[allow(unused_qualifications, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "head-policy",
        pub_export_macro: true,
        default_bindings_module: "portcullis_kit::component::bindings",
    });
}

/// The same for the world with bodies; words, host and store are those of `bindings`.
#[allow(unused_qualifications, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod message_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "message-policy",
        pub_export_macro: true,
        default_bindings_module: "portcullis_kit::component::message_bindings",
        with: {
            "portcullis:policy/types@0.2.0": crate::component::bindings::portcullis::policy::types,
            "portcullis:policy/host@0.2.0": crate::component::bindings::portcullis::policy::host,
            "portcullis:policy/store@0.2.0": crate::component::bindings::portcullis::policy::store,
        },
    });
}

pub use message_bindings::exports::portcullis::policy::message_filter;

pub use bindings::{
    exports::portcullis::policy::head_filter::{Guest, GuestExchange},
    portcullis::policy::types,
};
pub use proxy::{Proxy, configured, request_head, response_headers, unconfigured, verdict};
