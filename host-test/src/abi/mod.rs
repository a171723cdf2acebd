//! proxy-wasm 0.2.1: bytes and pointers of a guest ↔ the world. No rule of its own: what a call
//! answers is decided in `world`.
//!
//! 1. The guest's memory is untrusted: every pointer is checked, and a bad one is status 6.
//! 2. What goes to the guest is allocated by the guest, by `malloc` or `proxy_on_memory_allocate`.
//!    Nothing at all is a null pointer of size 0.
//! 3. While a module starts, and while it allocates, it may call a few of them only: `restricted`.
//! 4. What a guest can make the host do in one callback is bounded: `budget`.

mod budget;
pub mod call;
pub mod guest;
pub mod hostcalls;
mod restricted;

pub use self::{
    budget::Budget,
    call::{Answer, Call, Stop},
    guest::{Guest, Stage},
};
