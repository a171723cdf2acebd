//! From the plugins' sources to what hosts load: `target/portcullis/<plugin>.wasm` for Envoy and
//! `<plugin>.component.wasm` for hosts that speak `wit/`.

mod cargo;
mod discover;
pub mod inspect;
mod target;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

pub use self::discover::{Plugin, Workspace};
use self::inspect::Inspection;

/// The two ways into a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    ProxyWasm,
    Component,
}

/// What was built of one plugin.
#[derive(Clone, Debug)]
pub struct Built {
    pub plugin: String,
    pub module: Artifact,
    pub component: Artifact,
    /// What the module imports and exports.
    pub inspection: Inspection,
}

#[derive(Clone, Debug)]
pub struct Artifact {
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal, as Envoy's `sha256` fields want it.
    pub sha256: String,
}

impl Workspace {
    /// Where [`build`] leaves a plugin's file.
    pub fn artifact(&self, plugin: &str, shell: Shell) -> PathBuf {
        let ending = match shell {
            Shell::ProxyWasm => "wasm",
            Shell::Component => "component.wasm",
        };
        self.artifacts().join(format!("{plugin}.{ending}"))
    }

    fn artifacts(&self) -> PathBuf {
        self.target_directory.join("portcullis")
    }
}

/// Builds every plugin of the workspace, both ways. What is fresh isn't built again; Cargo tells of
/// its progress on standard error.
pub fn build(workspace: &Workspace) -> Result<Vec<Built>> {
    build_shell(workspace, Shell::ProxyWasm)?;
    let plugins = build_shell(workspace, Shell::Component)?;
    plugins.iter().map(|plugin| built(workspace, &plugin.name)).collect()
}

/// Builds every plugin for one shell, where the other isn't needed.
pub fn build_shell(workspace: &Workspace, shell: Shell) -> Result<Vec<Plugin>> {
    let plugins = workspace.plugins()?;
    compile(workspace, &plugins, shell)?;
    Ok(plugins)
}

/// Builds the guests that scenarios name as their `module`.
pub fn build_guests(workspace: &Workspace) -> Result<Vec<Plugin>> {
    let guests = workspace.guests()?;
    compile(workspace, &guests, Shell::ProxyWasm)?;
    Ok(guests)
}

/// Makes a module of WebAssembly's text format in a folder, and gives its path.
pub fn assemble(folder: &Path, text: &Path) -> Result<PathBuf> {
    let module = wat::parse_file(text)?;
    let name = text.file_stem().unwrap_or_default().to_string_lossy();
    // Files of one name may stand in many folders.
    let path = folder.join(format!("{name}-{}.wasm", sha256(&module)));
    place(&path, &module)?;
    Ok(path)
}

fn compile(workspace: &Workspace, plugins: &[Plugin], shell: Shell) -> Result<()> {
    if plugins.is_empty() {
        return Ok(());
    }
    target::ensure()?;
    cargo::compile(workspace, plugins, shell)?;
    for plugin in plugins {
        let compiled = cargo::compiled(workspace, plugin, shell);
        let bytes = fs::read(&compiled).with_context(|| format!("can't read {}", compiled.display()))?;
        let bytes = match shell {
            Shell::ProxyWasm => bytes,
            Shell::Component => wrap(&bytes).with_context(|| format!("can't make a component of {}", plugin.name))?,
        };
        place(&workspace.artifact(&plugin.name, shell), &bytes)?;
    }
    Ok(())
}

fn built(workspace: &Workspace, plugin: &str) -> Result<Built> {
    let module = workspace.artifact(plugin, Shell::ProxyWasm);
    let bytes = fs::read(&module)?;
    Ok(Built {
        plugin: plugin.to_owned(),
        inspection: inspect::inspect(&bytes).with_context(|| format!("can't inspect {}", module.display()))?,
        module: artifact(module)?,
        component: artifact(workspace.artifact(plugin, Shell::Component))?,
    })
}

fn artifact(path: PathBuf) -> Result<Artifact> {
    let bytes = fs::read(&path)?;
    Ok(Artifact { path, size: bytes.len() as u64, sha256: sha256(&bytes) })
}

/// In hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A core module whose imports follow `wit/` → a component.
fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default().module(module)?.validate(true).encode()
}

/// Writes beside the place and renames, so that a reader sees the old file or the new one.
fn place(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let folder = path.parent().context("an artifact stands in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let beside = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(beside.path(), bytes)?;
    let file = beside.persist(path).with_context(|| format!("can't write {}", path.display()))?;
    // A temporary file is its owner's alone; Envoy may run as somebody else.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    Ok(())
}
