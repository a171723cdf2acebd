//! `portcullis run`: the runner, with what was built and with the Envoy that was found.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{self, Built, Plugin, Shell, Workspace},
    envoy::{self, versions},
    outcome::Outcome,
    runner::{
        self, Artifacts, Replay, Report,
        invariant::{self, Invariant, Traffic},
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
/// under their smallest capability list: what `portcullis build` prints must still filter. Guests are
/// built when a scenario names the first of them.
pub fn run(built: &[Built], scenarios: &[Scenario], options: &Options) -> Result<Vec<Report>> {
    let artifacts = BuiltModules::new(built);
    if !options.invariants.is_empty() {
        let each = |scenario| options.invariants.iter().map(move |invariant| (scenario, *invariant));
        let held = scenarios.iter().flat_map(each).map(|(scenario, invariant)| {
            let read = |path: PathBuf| fs::read(&path).with_context(|| path.display().to_string());
            let chain = scenario.chain();
            let modules = chain.iter().map(|filter| artifacts.module(filter).and_then(read)).collect();
            invariant::hold(invariant, scenario, modules, options.traffic)
        });
        return Ok(held.collect());
    }
    let envoy = match options.hosts.contains(&HostKind::Envoy) {
        true => Some(Envoy { found: envoy::find(options.envoy.as_deref(), None)?, artifacts: &artifacts }),
        false => None,
    };
    // All hosts play the version of the Envoy that is there, or the one that was asked for.
    let asked = options.envoy.as_deref().and_then(Path::to_str).filter(|text| versions::is_version(text));
    let version = envoy.as_ref().map_or(asked.unwrap_or(envoy::find::VERSION), |envoy| &envoy.found.version);
    let limits = Limits { trace: options.trace, watch: true, envoy: versions::minor(version), ..Limits::default() };
    let envoy = envoy.as_ref().map(|envoy| envoy as &dyn Replay);
    Ok(runner::run(scenarios, &options.hosts, &artifacts, envoy, limits))
}

/// What scenarios play on: plugins, and guests from the first that names one on.
pub struct BuiltModules<'a> {
    plugins: &'a [Built],
    guests: OnceCell<Result<(Workspace, Vec<Plugin>), String>>,
}

impl<'a> BuiltModules<'a> {
    pub fn new(plugins: &'a [Built]) -> Self {
        Self { plugins, guests: OnceCell::new() }
    }

    /// The modules of a scenario, in the order in which a request meets them.
    pub fn of(&self, scenario: &Scenario) -> Result<Vec<PathBuf>> {
        scenario.chain().iter().map(|filter| self.module(filter)).collect()
    }

    fn find(&self, plugin: &str) -> Result<&Built> {
        let known = || self.plugins.iter().map(|built| built.plugin.as_str()).collect::<Vec<_>>().join(", ");
        self.plugins
            .iter()
            .find(|built| built.plugin == plugin)
            .with_context(|| format!("no plugin is called `{plugin}` (plugins: {})", known()))
    }

    fn guests(&self) -> Result<&(Workspace, Vec<Plugin>)> {
        let built = self.guests.get_or_init(|| {
            let built = Workspace::find().and_then(|workspace| Ok((build::build_guests(&workspace)?, workspace)));
            built.map(|(guests, workspace)| (workspace, guests)).map_err(|error| format!("{error:#}"))
        });
        built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
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

impl Artifacts for BuiltModules<'_> {
    fn module(&self, filter: &Filter) -> Result<PathBuf> {
        match &filter.module {
            None => Ok(self.find(&filter.plugin)?.module.path.clone()),
            Some(Module::Guest(name)) => self.guest(name),
            Some(Module::File(path)) if path.extension().is_some_and(|extension| extension == "wat") => {
                build::assemble(&Workspace::find()?, path)
            }
            Some(Module::File(path)) => Ok(path.clone()),
        }
    }

    fn component(&self, filter: &Filter) -> Result<PathBuf> {
        Ok(self.find(&filter.plugin)?.component.path.clone())
    }
}

struct Envoy<'a> {
    found: envoy::Found,
    artifacts: &'a BuiltModules<'a>,
}

impl Replay for Envoy<'_> {
    fn replay(&self, scenarios: &[Scenario], trace: bool) -> Vec<Result<Outcome>> {
        let capabilities = |filter: &Filter| {
            let built = filter.module.is_none().then(|| self.artifacts.find(&filter.plugin).ok())??;
            Some(built.inspection.capabilities().map(String::from).collect())
        };
        envoy::replay::run(&self.found, &|filter| self.artifacts.module(filter), &capabilities, scenarios, trace)
    }
}
