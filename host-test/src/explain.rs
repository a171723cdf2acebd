//! `portcullis explain`: one scenario as a story, each callback with the calls that the module made in it.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Result, bail};

use crate::{
    build::{self, Workspace},
    report::story,
    run::BuiltModules,
    scenario::{self, HostKind},
    vm::{self, Limits},
};

/// Plays the scenario of a file in Wasmtime and tells what happened; false where its configuration was
/// refused and it doesn't expect that.
pub fn explain(file: &Path) -> Result<bool> {
    let scenarios = scenario::load(&[file.to_path_buf()])?;
    let [scenario] = scenarios.as_slice() else {
        bail!("{} holds {} scenarios; name the file of one", file.display(), scenarios.len());
    };
    if !scenario.runs_on(HostKind::Wasm) {
        bail!("{} isn't played in Wasmtime", file.display());
    }
    let modules = BuiltModules::new(&build::build(&Workspace::find()?)?).of(scenario)?;
    let outcome = vm::run(&modules, scenario, Limits { trace: true, ..Limits::default() })?;
    io::stdout().lock().write_all(story::tell(scenario, &outcome).as_bytes())?;
    Ok(outcome.refused.is_none() || !scenario.refused.is_empty())
}
