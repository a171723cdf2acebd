//! HMAC validation: no delivery gets in unsigned, none that is signed is lost.
//!
//! 1. A policy is a provider's scheme ([`presets`]) or one of the operator's own ([`scheme`]): where the signature stands
//!    ([`source`], [`syntax`]), how it is written ([`encoding`]), over which bytes it goes ([`template`], [`form`],
//!    [`json`]), and what makes a delivery fresh ([`moment`]).
//! 2. Its keys come from the proxy's environment, several at a time, each with a window ([`keys`]), and are hashed with as
//!    soon as a byte of the body is there ([`mac`]).
//! 3. What the head says is checked before a byte is held; nothing reaches the upstream before the signature holds
//!    ([`decide`]).
//!    Where nothing is signed, a token is compared ([`token`]).
//! 4. The sender of what isn't believed learns nothing but that; the reason stands in metric and record.
//! 5. A delivery that the backend took doesn't pass twice, and one that it failed does ([`replay`]).
//! 6. The upstream is told who was verified ([`identity`]).
//! 7. A provider's handshake is answered in the backend's place, where that is switched on ([`handshake`]).
//!
//! The shells hand over to [`validator`], which holds what a VM knows.

#![forbid(unsafe_code)]

pub mod config;
pub mod decide;
pub mod encoding;
pub mod form;
pub mod handshake;
pub mod identity;
pub mod json;
pub mod keys;
pub mod mac;
pub mod moment;
pub mod presets;
pub mod replay;
pub mod scheme;
pub mod source;
pub mod span;
pub mod syntax;
pub mod template;
pub mod token;
pub mod validator;

#[cfg(all(target_family = "wasm", portcullis_shell = "component"))]
mod component;
#[cfg(all(target_family = "wasm", not(portcullis_shell = "component")))]
mod proxy_wasm;
