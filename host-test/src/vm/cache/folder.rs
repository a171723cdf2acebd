//! The folder of compiled code: nobody else's, bounded, each file whole or not there.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::code::Saved;

/// What a file begins with; the sha256 of the rest follows.
const MAGIC: &[u8; 8] = b"pcjit\0\0\x01";

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    largest: u64,
}

impl Folder {
    /// The folder, made where it isn't there. Machine code is run as it is found, so whoever can write
    /// here runs as this user: the folder must be the user's own, closed to all others, and no link.
    pub fn open(path: &Path, largest: u64) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("can't make {}", path.display()));
            }
            _ => {}
        }
        let found = fs::symlink_metadata(path).with_context(|| format!("can't read {}", path.display()))?;
        if !found.is_dir() {
            bail!("{} is no folder (set PORTCULLIS_CACHE to another place)", path.display());
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            bail!("{} belongs to another user (set PORTCULLIS_CACHE to another place)", path.display());
        }
        if found.mode() & 0o077 != 0 {
            bail!("{} is open to other users; remove it, or `chmod 700` it if nobody wrote to it", path.display());
        }
        Ok(Self { path: path.to_owned(), largest })
    }

    /// The code under a name, if it is there and whole.
    pub fn read(&self, name: &str) -> Option<Saved> {
        let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).ok()?;
        let mut file = OpenOptions::new().read(true).custom_flags(nofollow).open(self.path.join(name)).ok()?;
        if file.metadata().ok()?.len() > self.largest {
            return None;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (sum, code) = rest.split_first_chunk::<32>()?;
        if Sha256::digest(code).as_slice() != sum {
            return None;
        }
        let code = code.to_vec();
        // What was used last goes last; that it can't be noted changes nothing else.
        let _ = file.set_modified(SystemTime::now());
        Some(Saved::trusted(code))
    }

    /// Keeps code under a name. Two processes may do this at the same time: each moves a whole file
    /// into its place.
    pub fn write(&self, name: &str, code: &[u8]) -> Result<()> {
        if code.len() as u64 > self.largest {
            bail!("{} bytes of code don't fit in {}", code.len(), self.largest);
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        for part in [MAGIC.as_slice(), Sha256::digest(code).as_slice(), code] {
            file.write_all(part)?;
        }
        file.persist(self.path.join(name))?;
        self.shrink()
    }

    /// Removes what wasn't used for longest until the rest fits.
    fn shrink(&self) -> Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // A file that another process removed meanwhile is no more.
            let Ok(about) = entry.metadata() else { continue };
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let mut size: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if size <= self.largest {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                size = size.saturating_sub(length);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/compiled");
        Folder::open(&path, 100).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for mode in [0o770, 0o702, 0o755] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Folder::open(&path, 100).unwrap_err().to_string();
            assert!(error.contains("chmod 700"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Folder::open(&link, 100).unwrap_err().to_string().contains("no folder"));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("c");
        // Each file has 40 bytes more than its code.
        let folder = Folder::open(&path, 300).unwrap();
        let aged = |name: &str, seconds: u64| {
            let file = fs::File::options().write(true).open(path.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        folder.write("a", &[1; 60]).unwrap();
        folder.write("b", &[2; 60]).unwrap();
        folder.write("c", &[3; 60]).unwrap();
        aged("a", 30);
        aged("b", 20);
        aged("c", 10);
        assert!(folder.read("a").is_some(), "used again");
        folder.write("d", &[4; 60]).unwrap();
        assert!(folder.read("b").is_none(), "the oldest is gone");
        for name in ["a", "c", "d"] {
            assert!(folder.read(name).is_some(), "{name}");
        }
        assert!(folder.write("e", &[5; 400]).is_err());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "what is larger than all the room takes nobody's");
    }
}
