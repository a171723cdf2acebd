//! The commands, and what each of them calls.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    build::{self, Workspace},
    report, schema,
};

/// Builds, runs and measures policy filters for Envoy.
#[derive(Parser)]
#[command(name = "portcullis", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build every plugin as proxy-wasm module and as component.
    Build,
    /// Write the JSON Schema of every filter's configuration and of the scenario format.
    Schema {
        /// Write nothing; fail where a committed schema isn't what the types say.
        #[arg(long)]
        check: bool,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Build => build(),
        Command::Schema { check } => schema::schema(check),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn build() -> Result<bool> {
    let built = build::build(&Workspace::find()?)?;
    print!("{}", report::built::table(&built));
    Ok(true)
}
