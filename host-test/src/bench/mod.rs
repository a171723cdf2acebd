//! What filters cost: counted in Wasmtime, measured in Envoy. And what the test host itself costs.

mod envoy;
mod host;
mod machine;
mod wasm;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Bench {
    /// Count hostcalls, fuel, linear memory and module size, and compare them with the baselines.
    Wasm {
        /// Keep the figures as the new baselines.
        #[arg(long)]
        save: bool,
    },
    /// Measure CPU per request and resident memory in real Envoy, against native filters and Lua.
    Envoy(envoy::Options),
    /// Measure the test host itself: requests and steps per second, cold start, memory per VM.
    Host {
        /// Modules. Default: every plugin's.
        modules: Vec<PathBuf>,
    },
}

/// Runs a benchmark; false where a limit isn't kept.
pub fn run(bench: Bench) -> Result<bool> {
    match bench {
        Bench::Wasm { save } => wasm::wasm(save),
        Bench::Envoy(options) => envoy::envoy(&options),
        Bench::Host { modules } => host::host(&modules),
    }
}
