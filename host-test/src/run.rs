//! `portcullis run`: the runner, with what was built and with the Envoy that was found.

use std::{
    borrow::Cow,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{
    build::{self, Built, Plugin, Shell, Workspace},
    envoy::{self, versions},
    outcome::Outcome,
    report::progress,
    runner::{
        self, Artifacts, Progress, Replay, Report, Verdict,
        invariant::{self, Invariant, Traffic},
        threads,
    },
    scenario::{Filter, HostKind, Module, Scenario},
    vm::Limits,
};

/// What `portcullis run` is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where scenarios are played. Laws are tried in Wasmtime alone.
    pub hosts: Vec<HostKind>,
    /// The binary of Envoy, or its version.
    pub envoy: Option<PathBuf>,
    /// Compares the calls between module and host, too.
    pub trace: bool,
    /// The laws that are tried, instead of the scenarios' own expectations.
    pub invariants: Vec<Invariant>,
    pub traffic: Traffic,
}

/// Plays every scenario on every host and compares them, or tries laws on them. In Envoy, plugins run
/// under their smallest capability list: what `portcullis build` prints must still filter.
pub fn run(artifacts: &BuiltModules<'_>, scenarios: &[Scenario], options: &Options) -> Result<Vec<Report>> {
    playable(scenarios, &options.hosts)?;
    known(options.envoy.as_deref())?;
    artifacts.prepare(scenarios)?;
    if !options.invariants.is_empty() {
        let line = progress::Line::new();
        let each = |scenario| options.invariants.iter().map(move |invariant| (scenario, *invariant));
        let all: Vec<(&Scenario, Invariant)> = scenarios.iter().flat_map(each).collect();
        let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        return Ok(threads::each(&all, |(scenario, invariant)| {
            let read = |path: PathBuf| fs::read(&path).with_context(|| path.display().to_string());
            let modules = scenario.chain().iter().map(|filter| artifacts.module(filter).and_then(read)).collect();
            let report = invariant::hold(*invariant, scenario, modules, options.traffic);
            let fails = usize::from(matches!(report.verdict, Verdict::Failed(_)));
            let failed = failed.fetch_add(fails, Ordering::Relaxed) + fails;
            line.tell(Progress::Done { done: done.fetch_add(1, Ordering::Relaxed) + 1, of: all.len(), failed });
            report
        }));
    }
    let envoy = match options.hosts.contains(&HostKind::Envoy) {
        true => Some(Envoy { found: envoy::find(options.envoy.as_deref(), None)?, artifacts }),
        false => None,
    };
    let version = envoy.as_ref().map(|envoy| envoy.found.version.as_str());
    let version = version.map_or_else(|| asked(options.envoy.as_deref()), versions::minor);
    let limits = Limits { trace: options.trace, watch: true, envoy: version, ..Limits::default() };
    let envoy = envoy.as_ref().map(|envoy| envoy as &dyn Replay);
    // Not before Envoy was found: a download has a line of its own.
    let line = progress::Line::new();
    let told = |progress| line.tell(progress);
    Ok(runner::run_told(scenarios, &options.hosts, artifacts, envoy, limits, &told))
}

/// # Errors
/// Where no scenario is played on any of these hosts: such a run would say nothing.
fn playable(scenarios: &[Scenario], hosts: &[HostKind]) -> Result<()> {
    if scenarios.is_empty() || scenarios.iter().any(|scenario| hosts.iter().any(|host| scenario.runs_on(*host))) {
        return Ok(());
    }
    let hosts: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    let count = scenarios.len();
    bail!(
        "{count} scenario{} found, and none is played on {}: a scenario with a `module` is for modules alone; use \
         `--host wasm` or `--host envoy`",
        if count == 1 { "" } else { "s" },
        hosts.join(" and ")
    )
}

/// # Errors
/// Where what was asked for is neither a version of Envoy nor a file. Whoever plays in Wasmtime alone would never
/// be told.
fn known(envoy: Option<&Path>) -> Result<()> {
    match envoy {
        Some(path) if !path.is_file() && !path.to_str().is_some_and(versions::is_version) => {
            bail!("`{}` is neither a version of Envoy, as 1.38 or 1.36.4, nor a file", path.display())
        }
        _ => Ok(()),
    }
}

/// The minor version of Envoy that is played in Wasmtime alone: the one that was asked for, or else the
/// pinned one, which also stands for a binary.
pub fn asked(envoy: Option<&Path>) -> u32 {
    let version = envoy.and_then(Path::to_str).filter(|text| versions::is_version(text));
    versions::minor(version.unwrap_or(envoy::find::VERSION))
}

/// What scenarios play on. Plugins and guests are built when a scenario names the first of them, so that one
/// with a file for its module needs neither, nor a checkout around it.
pub struct BuiltModules<'a> {
    plugins: OnceLock<Result<Cow<'a, [Built]>, String>>,
    guests: OnceLock<Result<(Workspace, Vec<Plugin>), String>>,
    /// Where modules lie that were assembled from text.
    assembled: OnceLock<Result<TempDir, String>>,
}

impl Default for BuiltModules<'_> {
    fn default() -> Self {
        Self { plugins: OnceLock::new(), guests: OnceLock::new(), assembled: OnceLock::new() }
    }
}

impl<'a> BuiltModules<'a> {
    /// With plugins that are built already.
    pub fn new(plugins: &'a [Built]) -> Self {
        Self { plugins: OnceLock::from(Ok(Cow::Borrowed(plugins))), ..Self::default() }
    }

    /// The modules of a scenario, in the order in which a request meets them.
    pub fn of(&self, scenario: &Scenario) -> Result<Vec<PathBuf>> {
        scenario.chain().iter().map(|filter| self.module(filter)).collect()
    }

    /// Builds what scenarios name, so that what doesn't build is said once.
    pub fn prepare(&self, scenarios: &[Scenario]) -> Result<()> {
        for filter in scenarios.iter().flat_map(Scenario::chain) {
            match filter.module {
                None => drop(self.plugins()?),
                Some(Module::Guest(_)) => drop(self.guests()?),
                Some(Module::File(_)) => {}
            }
        }
        Ok(())
    }

    fn plugins(&self) -> Result<&[Built]> {
        once(&self.plugins, || Ok(Cow::Owned(build::build(&Workspace::find()?)?))).map(|plugins| plugins.as_ref())
    }

    fn guests(&self) -> Result<&(Workspace, Vec<Plugin>)> {
        let build = || Workspace::find().and_then(|workspace| Ok((build::build_guests(&workspace)?, workspace)));
        once(&self.guests, || build().map(|(guests, workspace)| (workspace, guests)))
    }

    fn find(&self, plugin: &str) -> Result<&Built> {
        let plugins = self.plugins()?;
        let known = || plugins.iter().map(|built| built.plugin.as_str()).collect::<Vec<_>>().join(", ");
        plugins
            .iter()
            .find(|built| built.plugin == plugin)
            .with_context(|| format!("no plugin is called `{plugin}` (plugins: {})", known()))
    }

    fn guest(&self, name: &str) -> Result<PathBuf> {
        let (workspace, guests) = self.guests()?;
        if guests.iter().any(|guest| guest.name == name) {
            return Ok(workspace.artifact(name, Shell::ProxyWasm));
        }
        let known: Vec<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
        bail!("no package under host-test/guests is called `{name}` (guests: {})", known.join(", "))
    }
}

/// What is made when it is first needed, by whichever thread comes first.
fn once<T>(cell: &OnceLock<Result<T, String>>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    let made = cell.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

impl Artifacts for BuiltModules<'_> {
    fn module(&self, filter: &Filter) -> Result<PathBuf> {
        match &filter.module {
            None => Ok(self.find(&filter.plugin)?.module.path.clone()),
            Some(Module::Guest(name)) => self.guest(name),
            Some(Module::File(path)) if path.extension().is_some_and(|extension| extension == "wat") => {
                let folder = once(&self.assembled, || Ok(tempfile::Builder::new().prefix("portcullis-").tempdir()?))?;
                build::assemble(folder.path(), path)
            }
            Some(Module::File(path)) => Ok(path.clone()),
        }
    }

    fn component(&self, filter: &Filter) -> Result<PathBuf> {
        Ok(self.find(&filter.plugin)?.component.path.clone())
    }
}

struct Envoy<'a, 'b> {
    found: envoy::Found,
    artifacts: &'a BuiltModules<'b>,
}

/// Processes of Envoy that play at once, at most. They mostly wait.
const PROCESSES: usize = 4;
/// Cores for each of them: steps let real time pass, and a machine that is busy passes more of it.
const CORES: usize = 2;

impl Replay for Envoy<'_, '_> {
    /// In several processes at once where there are cores for them. Each has scenarios of its own, and what happens in one
    /// process touches no other.
    fn replay(&self, scenarios: &[Scenario], trace: bool) -> Vec<Result<Outcome>> {
        let capabilities = |filter: &Filter| {
            let built = filter.module.is_none().then(|| self.artifacts.find(&filter.plugin).ok())??;
            Some(built.inspection.capabilities().map(String::from).collect())
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let parts = (cores / CORES).clamp(1, PROCESSES);
        let part = |number| scenarios.iter().skip(number).step_by(parts).cloned().collect();
        let all: Vec<Vec<Scenario>> = (0..parts).map(part).collect();
        let module = |filter: &Filter| self.artifacts.module(filter);
        let played = threads::each(&all, |part| envoy::replay::run(&self.found, &module, &capabilities, part, trace));
        let mut played: Vec<_> = played.into_iter().map(Vec::into_iter).collect();
        // As they were dealt out, one to each part in turn.
        let dealt = (0..scenarios.len()).map(|place| played.get_mut(place % parts).and_then(Iterator::next));
        dealt.map(|outcome| outcome.unwrap_or_else(|| Err(anyhow::anyhow!("Envoy gave no outcome")))).collect()
    }
}
