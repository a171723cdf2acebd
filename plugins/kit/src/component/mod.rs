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

pub use bindings::{
    exports::portcullis::policy::head_filter::{Guest, GuestExchange},
    portcullis::policy::types,
};
pub use proxy::{Proxy, configured, request_head, response_headers, unconfigured, verdict};
