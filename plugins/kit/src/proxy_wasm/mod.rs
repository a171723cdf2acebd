//! The way in from Envoy: the proxy-wasm ABI 0.2.1, as much of it as filters need.

mod dispatch;
mod entry;
mod hostcalls;
mod imports;

pub use dispatch::{Contexts, Root, allocate};
pub use hostcalls::{Action, Map, Proxy, carry_out, headers, reply, request_body, request_head};
