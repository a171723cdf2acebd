//! Real Envoy as a host: where its binary comes from, one bounded process, its configuration made
//! from scenarios, and what it does with each step. It is the yardstick for the other hosts.

pub mod admin;
pub mod find;
pub mod process;

pub use self::{
    admin::Admin,
    find::{Found, find},
    process::{Options, Process, StartError},
};
