//! Rate limiting: holds clients to rates, bursts and streams in flight, exactly, across all workers of a gateway.
//!
//! 1. A policy is a list of limits; a request must meet all of them, and counts in all or in none ([`claim`], [`debit`],
//!    [`decide`]).
//! 2. A limit is a token bucket ([`bucket`]), a sliding window ([`window`]) or a number of streams in flight
//!    ([`leases`]), by a key ([`key`]).
//! 3. Records lie in a fixed pool in the proxy's shared data ([`pool`], [`line`](mod@line)): traffic can't make it grow.
//! 4. A limit that holds across gateways asks a service as a second stage ([`service`]).
//! 5. The client is told where it stands ([`answer`]).
//! 6. How full the pool is, is shown ([`occupancy`]).
//!
//! The shells hand over to [`limiter`], which holds what a VM knows.

#![forbid(unsafe_code)]

pub mod address;
pub mod answer;
pub mod bucket;
pub mod claim;
pub mod config;
pub mod debit;
pub mod decide;
pub mod key;
pub mod leases;
pub mod limiter;
pub mod line;
pub mod meter;
pub mod occupancy;
pub mod outcome;
pub mod pool;
pub mod rate;
pub mod service;
pub mod window;

#[cfg(all(target_family = "wasm", portcullis_shell = "component"))]
mod component;
#[cfg(all(target_family = "wasm", not(portcullis_shell = "component")))]
mod proxy_wasm;
