//! Real Envoy as a host: where its binary comes from, one bounded process, its configuration made
//! from scenarios, and what it does with each step. It is the yardstick for the other hosts.

mod added;
pub mod admin;
mod behind;
pub mod bootstrap;
mod callouts;
pub mod client;
pub mod demo;
pub mod edge;
pub mod find;
mod flight;
mod grpc;
pub mod process;
pub mod replay;
pub mod upstream;
pub mod versions;
pub mod wire;

pub use self::{
    admin::Admin,
    find::{Found, find},
    process::{Options, Process, StartError},
};
