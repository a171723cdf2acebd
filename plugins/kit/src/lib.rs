//! The words and hands that every Portcullis filter shares. It holds no policy and needs nothing of
//! ours. Read it in this order:
//!
//! - the words: [`head`], [`verdict`], [`reason`], [`mode`], [`refusal`];
//! - from bytes to types: [`config`];
//! - which policy is in force: [`policies`];
//! - how a decision is seen: [`seen`], [`log_budget`], [`heartbeat`];
//! - what is the same for every filter: [`filter`], which asks its surroundings through [`host`];
//! - what all VMs of a proxy share: [`store`]; what nobody may see: [`secret`];
//! - the two ways in: `proxy_wasm` (Envoy) and `component` (`wit/`), each only in the build of its
//!   shell. They hold the only `unsafe` code, and no decision.
//!
//! Decisions are tested natively, where neither shell exists.

pub mod config;
pub mod filter;
pub mod head;
pub mod heartbeat;
pub mod host;
pub mod log_budget;
pub mod mode;
pub mod policies;
pub mod reason;
pub mod refusal;
pub mod secret;
pub mod seen;
pub mod store;
pub mod verdict;

#[cfg(all(target_family = "wasm", portcullis_shell = "component"))]
pub mod component;
#[cfg(all(target_family = "wasm", not(portcullis_shell = "component")))]
pub mod proxy_wasm;
#[cfg(not(target_family = "wasm"))]
pub mod schema;

pub use filter::{Exchange, Filter};
pub use policies::{Named, NoSettings, Policy};
