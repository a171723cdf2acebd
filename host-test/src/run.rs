//! `portcullis run`: the runner, with what was built and with the Envoy that was found.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{
    build::Built,
    envoy,
    outcome::Outcome,
    runner::{self, Artifacts, Replay, Report},
    scenario::{HostKind, Scenario},
};

/// Plays every scenario on every host and compares them. In Envoy, modules run under their smallest
/// capability list: what `portcullis build` prints must still filter.
pub fn run(built: &[Built], scenarios: &[Scenario], hosts: &[HostKind], envoy: Option<&Path>) -> Result<Vec<Report>> {
    let artifacts = BuiltPlugins(built);
    let envoy = match hosts.contains(&HostKind::Envoy) {
        true => Some(Envoy { found: envoy::find(envoy, None)?, artifacts: &artifacts }),
        false => None,
    };
    Ok(runner::run(scenarios, hosts, &artifacts, envoy.as_ref().map(|envoy| envoy as &dyn Replay)))
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
    fn replay(&self, scenarios: &[Scenario]) -> Vec<Result<Outcome>> {
        let capabilities = |plugin: &str| {
            let built = self.artifacts.find(plugin).ok()?;
            Some(built.inspection.capabilities().map(String::from).collect())
        };
        envoy::replay::run(&self.found, &|plugin| self.artifacts.module(plugin), &capabilities, scenarios)
    }
}
