//! `portcullis coverage`: which call of the ABI is made by which scenario, and on which versions of Envoy
//! these were confirmed. The table in `host-test/README.md` is written, not typed.
//!
//! 1. A scenario of the test host covers a call when its module makes it, or gets it, in Wasmtime. Those
//!    of plugins don't count, so that a plugin changes nothing here.
//! 2. A version is confirmed for a scenario as long as its text is what was played there
//!    (`run --host envoy --envoy VERSION --confirm` keeps that in `host-test/confirmed.json`).

pub mod confirmed;
mod table;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::confirmed::Confirmed;
use crate::{
    build::Workspace,
    envoy::versions,
    report,
    run::{self, BuiltModules},
    runner::threads,
    scenario::{self, HostKind, Scenario},
    vm::{self, Limits},
};

const BEGIN: &str = "<!-- coverage: written by `portcullis coverage` -->\n";
const END: &str = "<!-- end of coverage -->\n";

/// A scenario with all that is told of it.
struct Covering {
    /// From the folder of the table.
    link: PathBuf,
    /// The names of the calls, of both directions.
    calls: BTreeSet<String>,
    versions: Vec<String>,
}

/// Writes the table, or with `check` tells whether it is fresh; with a version of Envoy prints what is covered
/// there, and writes nothing.
pub fn coverage(check: bool, envoy: Option<&str>) -> Result<bool> {
    if let Some(wrong) = envoy.filter(|version| !versions::is_version(version)) {
        bail!("`{wrong}` is no version of Envoy; say 1.38 or 1.36.4");
    }
    let workspace = Workspace::find()?;
    let file = workspace.root.join("host-test/README.md");
    let table = table::table(&covering(&workspace, envoy)?);
    if envoy.is_some() {
        report::print(&format!("{table}\n"))?;
        return Ok(true);
    }
    let shown = report::here(&file);
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {shown}"))?;
    let fresh = replaced(&text, &table).with_context(|| shown.clone())?;
    if fresh == text {
        report::print(&format!("fresh    {shown}\n"))?;
        return Ok(true);
    }
    if check {
        report::print(&format!("stale    {shown} (run `cargo portcullis coverage` and commit it)\n"))?;
        return Ok(false);
    }
    fs::write(&file, fresh).with_context(|| format!("can't write {shown}"))?;
    report::print(&format!("written  {shown}\n"))?;
    Ok(true)
}

/// Each scenario of the test host with the calls that it makes, in one version of Envoy or in the pinned one.
fn covering(workspace: &Workspace, envoy: Option<&str>) -> Result<Vec<Covering>> {
    let confirmed = Confirmed::read(&workspace.root)?;
    let modules = BuiltModules::default();
    let scenarios = scenario::load(&[workspace.root.join("host-test/scenarios")])?;
    modules.prepare(&scenarios)?;
    let limits = Limits { trace: true, envoy: run::asked(envoy.map(Path::new)), ..Limits::default() };
    let played = threads::each(&scenarios, |scenario| {
        // What a call answers by a fault says nothing of Envoy.
        let unplayed = scenario.unplayable(HostKind::Envoy).is_some() || scenario.skip.contains_key(&HostKind::Wasm);
        if unplayed || scenario.envoy.skipped(limits.envoy).is_some() {
            return Ok(None);
        }
        let calls = calls(&modules.of(scenario)?, scenario, limits)?;
        let mut versions = confirmed.versions(scenario)?;
        versions.retain(|version| envoy.is_none_or(|wanted| versions::is_of(version, wanted)));
        Ok(Some(Covering { link: link(&workspace.root, &scenario.file)?, calls, versions }))
    });
    played.into_iter().filter_map(Result::transpose).collect()
}

fn calls(modules: &[PathBuf], scenario: &Scenario, limits: Limits) -> Result<BTreeSet<String>> {
    let outcome = vm::run(modules, scenario, limits)?;
    Ok(outcome.traces.into_iter().flatten().map(|entry| entry.name).collect())
}

fn link(root: &Path, file: &Path) -> Result<PathBuf> {
    let file = file.canonicalize().with_context(|| file.display().to_string())?;
    let root = root.canonicalize()?;
    let relative = file.strip_prefix(&root).with_context(|| file.display().to_string())?;
    Ok(relative.strip_prefix("host-test").map_or_else(|_| Path::new("..").join(relative), Path::to_path_buf))
}

/// The text with another table between the marks.
fn replaced(text: &str, table: &str) -> Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    match parts {
        Some((head, tail)) => Ok(format!("{head}{BEGIN}\n{table}\n{END}{tail}")),
        None => bail!("the table's marks are gone; put back the lines {BEGIN:?} and {END:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        let once = replaced(&text, "| new |").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\n| new |\n{END}b\n"));
        assert_eq!(replaced(&once, "| new |").unwrap(), once);
        assert!(replaced("a", "b").is_err());
    }
}
