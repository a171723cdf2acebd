//! Files and folders → scenarios.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::Scenario;

/// Reads each path: a file is a scenario, a folder is searched for `*.yaml` in folders named
/// `scenarios`, or taken whole when it is one. Sorted by path, so that runs repeat.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let whole = path.file_name().is_some_and(|name| name == "scenarios");
            collect(path, whole, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    files.iter().map(|file| read(file)).collect()
}

/// Reads every `*.yaml` in a folder, whatever its name.
pub fn load_folder(folder: &Path) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    collect(folder, true, &mut files)?;
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn collect(folder: &Path, inside: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, inside || name == "scenarios", files)?;
            }
        } else if inside && path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let mut scenario: Scenario =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    scenario.file = file.to_path_buf();
    if scenario.plugin.is_empty() {
        scenario.plugin = plugin_of(file).with_context(|| {
            format!("{}: stands in no plugin's folder, so it needs `plugin: <name>`", file.display())
        })?;
    }
    if scenario.steps.is_empty() && scenario.refused.is_empty() {
        bail!("{}: has neither `steps` nor `refused`, so it would show nothing", file.display());
    }
    Ok(scenario)
}

/// `plugins/<name>/scenarios/x.yaml` → `<name>`: the next folder above that holds a package.
fn plugin_of(file: &Path) -> Option<String> {
    let file = file.canonicalize().ok()?;
    let plugin = file.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?;
    plugin.parent()?.ends_with("plugins").then(|| plugin.file_name()?.to_str().map(String::from)).flatten()
}
