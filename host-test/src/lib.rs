//! Runs proxy-wasm modules and policy components as Envoy would, in Wasmtime and in Envoy itself.
//!
//! [`Module`] is the way in for a crate that tests a module of its own. Everything else serves the binary
//! `portcullis`.

#![deny(unsafe_code)]

pub mod abi;
pub mod bench;
pub mod bounded;
pub mod build;
pub mod check;
pub mod cli;
pub mod component;
pub mod coverage;
pub mod envoy;
pub mod explain;
pub mod inspect;
pub mod module;
pub mod outcome;
pub mod report;
pub mod run;
pub mod runner;
pub mod scenario;
pub mod schema;
pub mod up;
pub mod vm;
pub mod world;

pub use self::module::{Failed, Module};
