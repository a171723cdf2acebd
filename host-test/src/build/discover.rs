//! Where the workspace is, and which plugins it holds: every package under `plugins/` that makes a
//! module (`crate-type = ["cdylib", …]`). Those under `host-test/guests/` are modules for tests.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A checkout of this repository.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target_directory: PathBuf,
}

/// A plugin of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// As its folder and its package are called, `security-headers`.
    pub name: String,
    pub folder: PathBuf,
    /// As rustc calls what it makes of it, `security_headers`.
    pub(super) library: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Workspace {
    /// The workspace that the current folder stands in.
    pub fn find() -> Result<Self> {
        let folder = env::current_dir().context("no current folder")?;
        let metadata = metadata(&folder)?;
        if !metadata.workspace_root.join("plugins").is_dir() {
            bail!(
                "{} holds no `plugins` folder; run this inside a checkout of Portcullis",
                metadata.workspace_root.display()
            );
        }
        Ok(Self { root: metadata.workspace_root, target_directory: metadata.target_directory })
    }

    /// All plugins, sorted by name.
    pub fn plugins(&self) -> Result<Vec<Plugin>> {
        let folder = self.root.join("plugins");
        let plugins = self.modules_in(&folder)?;
        if plugins.is_empty() {
            bail!("no package under {} makes a module (crate-type cdylib)", folder.display());
        }
        Ok(plugins)
    }

    /// All guests of the test host, sorted by name. They are no products: only scenarios name them.
    pub fn guests(&self) -> Result<Vec<Plugin>> {
        self.modules_in(&self.root.join("host-test/guests"))
    }

    fn modules_in(&self, folder: &Path) -> Result<Vec<Plugin>> {
        let mut plugins: Vec<Plugin> = metadata(&self.root)?
            .packages
            .into_iter()
            .filter(|package| package.manifest_path.starts_with(folder))
            .filter_map(|package| {
                let module =
                    package.targets.into_iter().find(|target| target.crate_types.iter().any(|t| t == "cdylib"))?;
                let folder = package.manifest_path.parent()?.to_path_buf();
                Some(Plugin { name: package.name, folder, library: module.name.replace('-', "_") })
            })
            .collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(plugins)
    }
}

fn metadata(folder: &Path) -> Result<Metadata> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(folder)
        .output()
        .context("can't run `cargo metadata`; is Rust installed? (https://rustup.rs)")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed in {}:\n{}", folder.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something else than it promises")
}
