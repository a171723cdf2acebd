//! `portcullis run`: the runner, with what was built and with the Envoy that was found.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    build::Built,
    envoy::{self, versions},
    outcome::Outcome,
    runner::{
        self, Artifacts, Replay, Report,
        invariant::{self, Invariant, Traffic},
    },
    scenario::{HostKind, Scenario},
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

/// Plays every scenario on every host and compares them, or tries laws on them. In Envoy, modules run
/// under their smallest capability list: what `portcullis build` prints must still filter.
pub fn run(built: &[Built], scenarios: &[Scenario], options: &Options) -> Result<Vec<Report>> {
    let artifacts = BuiltPlugins(built);
    if !options.invariants.is_empty() {
        let each = |scenario| options.invariants.iter().map(move |invariant| (scenario, *invariant));
        let held = scenarios.iter().flat_map(each).map(|(scenario, invariant)| {
            let module = module(built, scenario);
            let module = module.and_then(|path| fs::read(&path).with_context(|| path.display().to_string()));
            invariant::hold(invariant, scenario, module, options.traffic)
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
    let limits = Limits { trace: options.trace, envoy: versions::minor(version), ..Limits::default() };
    let envoy = envoy.as_ref().map(|envoy| envoy as &dyn Replay);
    Ok(runner::run(scenarios, &options.hosts, &artifacts, envoy, limits))
}

/// The module that a scenario is about.
pub fn module(built: &[Built], scenario: &Scenario) -> Result<PathBuf> {
    BuiltPlugins(built).module(&scenario.plugin)
}

struct BuiltPlugins<'a>(&'a [Built]);

impl BuiltPlugins<'_> {
    fn find(&self, plugin: &str) -> Result<&Built> {
        let known = || self.0.iter().map(|built| built.plugin.as_str()).collect::<Vec<_>>().join(", ");
        self.0
            .iter()
            .find(|built| built.plugin == plugin)
            .with_context(|| format!("no plugin is called `{plugin}` (plugins: {})", known()))
    }
}

impl Artifacts for BuiltPlugins<'_> {
    fn module(&self, plugin: &str) -> Result<PathBuf> {
        Ok(self.find(plugin)?.module.path.clone())
    }

    fn component(&self, plugin: &str) -> Result<PathBuf> {
        Ok(self.find(plugin)?.component.path.clone())
    }
}

struct Envoy<'a> {
    found: envoy::Found,
    artifacts: &'a BuiltPlugins<'a>,
}

impl Replay for Envoy<'_> {
    fn replay(&self, scenarios: &[Scenario], trace: bool) -> Vec<Result<Outcome>> {
        let capabilities = |plugin: &str| {
            let built = self.artifacts.find(plugin).ok()?;
            Some(built.inspection.capabilities().map(String::from).collect())
        };
        envoy::replay::run(&self.found, &|plugin| self.artifacts.module(plugin), &capabilities, scenarios, trace)
    }
}
