//! `portcullis schema`: JSON Schemas from the types. Each plugin prints its own through its example
//! `<plugin>-schema`, so that this crate depends on none; `plugins/<plugin>/schema.json` keeps it. The
//! schema of scenarios stands in `host-test/scenario.schema.json`.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use schemars::generate::SchemaSettings;

use crate::{
    build::{Plugin, Workspace},
    scenario::Scenario,
};

/// Writes every schema, or with `check` tells whether all are fresh.
pub fn schema(check: bool) -> Result<bool> {
    let workspace = Workspace::find()?;
    let mut schemas = vec![(workspace.root.join("host-test/scenario.schema.json"), of_scenarios())];
    for plugin in workspace.plugins()? {
        schemas.push((plugin.folder.join("schema.json"), of_plugin(&workspace, &plugin)?));
    }
    let mut fresh = true;
    for (path, text) in schemas {
        fresh &= keep(&path, &text, check)?;
    }
    Ok(fresh)
}

fn of_scenarios() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Scenario>();
    format!("{:#}\n", schema.as_value())
}

fn of_plugin(workspace: &Workspace, plugin: &Plugin) -> Result<String> {
    let example = format!("{}-schema", plugin.name);
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--example", &example])
        .current_dir(&workspace.root)
        .output()
        .context("can't run cargo")?;
    if !output.status.success() {
        bail!(
            "{} has no example `{example}` that prints its schema:\n{}",
            plugin.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{example} printed no text"))
}

fn keep(path: &PathBuf, text: &str, check: bool) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|kept| kept == text) {
        println!("fresh    {}", path.display());
        return Ok(true);
    }
    if check {
        println!("stale    {} (run `cargo portcullis schema` and commit it)", path.display());
        return Ok(false);
    }
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    println!("written  {}", path.display());
    Ok(true)
}
