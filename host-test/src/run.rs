//! `portcullis run`: the runner, with what was built and with the Envoy that was found.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{self, Built, Plugin, Shell, Workspace},
    envoy,
    outcome::Outcome,
    runner::{self, Artifacts, Replay, Report},
    scenario::{Filter, HostKind, Module, Scenario},
};

/// Plays every scenario on every host and compares them. In Envoy, plugins run under their smallest
/// capability list: what `portcullis build` prints must still filter. Guests are built when a scenario
/// names the first of them.
pub fn run(built: &[Built], scenarios: &[Scenario], hosts: &[HostKind], envoy: Option<&Path>) -> Result<Vec<Report>> {
    let artifacts = BuiltModules { plugins: built, guests: OnceCell::new() };
    let envoy = match hosts.contains(&HostKind::Envoy) {
        true => Some(Envoy { found: envoy::find(envoy, None)?, artifacts: &artifacts }),
        false => None,
    };
    Ok(runner::run(scenarios, hosts, &artifacts, envoy.as_ref().map(|envoy| envoy as &dyn Replay)))
}

struct BuiltModules<'a> {
    plugins: &'a [Built],
    guests: OnceCell<Result<(Workspace, Vec<Plugin>), String>>,
}

impl BuiltModules<'_> {
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
    fn replay(&self, scenarios: &[Scenario]) -> Vec<Result<Outcome>> {
        let capabilities = |filter: &Filter| {
            let built = filter.module.is_none().then(|| self.artifacts.find(&filter.plugin).ok())??;
            Some(built.inspection.capabilities().map(String::from).collect())
        };
        envoy::replay::run(&self.found, &|filter| self.artifacts.module(filter), &capabilities, scenarios)
    }
}
