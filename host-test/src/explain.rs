//! `portcullis explain`: one scenario as a story, each callback with the calls that the module made in it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{
    envoy::versions,
    report::{self, story},
    run::{self, BuiltModules},
    scenario::{self, HostKind},
    vm::{self, Limits},
};

/// Plays the scenario of a file in Wasmtime, as a version of Envoy does, and tells what happened; false where
/// its configuration was refused and it doesn't expect that.
pub fn explain(file: &Path, envoy: Option<&str>) -> Result<bool> {
    let scenarios = scenario::load(&[file.to_path_buf()])?;
    let [scenario] = scenarios.as_slice() else {
        bail!("{} holds {} scenarios; name the file of one", file.display(), scenarios.len());
    };
    if !scenario.runs_on(HostKind::Wasm) {
        bail!("{} isn't played in Wasmtime", file.display());
    }
    if let Some(wrong) = envoy.filter(|version| !versions::is_version(version)) {
        bail!("`{wrong}` is no version of Envoy; say 1.38 or 1.36.4. A story is told without Envoy");
    }
    let limits = Limits { trace: true, envoy: run::asked(envoy.map(Path::new)), ..Limits::default() };
    if let Some(reason) = scenario.envoy.skipped(limits.envoy) {
        bail!("{} {reason}; choose another version by `--envoy VERSION`", file.display());
    }
    let outcome = vm::run(&BuiltModules::default().of(scenario)?, scenario, limits)?;
    report::print(&story::tell(scenario, &outcome))?;
    Ok(outcome.refused.is_none() || !scenario.refused.is_empty())
}
