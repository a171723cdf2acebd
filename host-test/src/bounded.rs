//! Reading what people name on the command line: a file, and no more of it than there is room for.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, Result, bail};

/// The bytes of a regular file.
///
/// # Errors
/// It can't be read, is no regular file (a pipe or a device may have no end), or is larger than `largest`.
pub fn read(file: &Path, largest: u64) -> Result<Vec<u8>> {
    let shown = file.display();
    let about = std::fs::metadata(file).with_context(|| format!("can't read {shown}"))?;
    if !about.is_file() {
        bail!("{shown} is no regular file");
    }
    let opened = File::open(file).with_context(|| format!("can't read {shown}"))?;
    read_to_end(opened, file, largest)
}

/// The bytes of what has an end, a pipe for one; `file` is what it is called.
///
/// # Errors
/// It can't be read, or is larger than `largest`.
pub fn read_to_end(from: impl Read, file: &Path, largest: u64) -> Result<Vec<u8>> {
    let shown = file.display();
    let mut bytes = Vec::new();
    from.take(largest + 1).read_to_end(&mut bytes).with_context(|| format!("can't read {shown}"))?;
    if bytes.len() as u64 > largest {
        bail!("{shown} has more than {largest} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_and_a_file_that_is_too_large_are_refused() {
        let error = |file: &Path, largest| read(file, largest).unwrap_err().to_string();
        assert!(error(Path::new("/dev/zero"), 10).contains("no regular file"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "four").unwrap();
        assert!(error(file.path(), 3).contains("more than 3 bytes"));
        assert_eq!(read(file.path(), 4).unwrap(), b"four");
    }
}
