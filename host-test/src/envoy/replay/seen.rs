//! What the operator sees of a step: the record in the access log, counters, log lines.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::envoy::Admin;

/// How long the access log line of an answered request may take.
const LINE_WITHIN: Duration = Duration::from_secs(3);

/// A line of a scenario's access log.
#[derive(Debug, Deserialize)]
pub struct Entry {
    pub record: Option<String>,
    /// The client's.
    pub port: Option<u16>,
    #[serde(default)]
    pub details: Option<String>,
}

/// The length of a log in bytes; 0 where it doesn't exist yet.
pub fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

/// The next line after the first `offset` bytes, waited for. A stream that was redirected has a line of its
/// own, which isn't the step's end.
pub async fn next_line(file: &Path, offset: u64) -> Result<Entry> {
    let end = Instant::now() + LINE_WITHIN;
    loop {
        let mut text = Vec::new();
        let mut log = File::open(file).with_context(|| format!("no access log {}", file.display()))?;
        log.seek(SeekFrom::Start(offset))?;
        log.read_to_end(&mut text)?;
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let entry: Entry = serde_json::from_slice(line).context("an access log line is no JSON")?;
            if entry.details.as_deref() != Some("internal_redirect") {
                return Ok(entry);
            }
        }
        if Instant::now() > end {
            anyhow::bail!("no access log line within {} s", LINE_WITHIN.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// All lines that are written by now.
pub fn lines(file: &Path) -> Result<Vec<Entry>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("can't read {}", file.display()))?,
    };
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).with_context(|| format!("no line of an access log: {line}"))).collect()
}

/// The filters' own counters, without the `wasmcustom.` that Envoy puts before each.
pub async fn counters(admin: Admin) -> Result<BTreeMap<String, u64>> {
    let counters = admin.counters(r"^wasmcustom\.").await?;
    Ok(counters
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("wasmcustom.")?.into(), value)))
        .collect())
}

/// How much each counter grew; those that didn't are left out.
pub fn growth(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, i64> {
    let grown = after.iter().map(|(name, value)| {
        let growth = value.saturating_sub(before.get(name).copied().unwrap_or_default());
        (name.clone(), i64::try_from(growth).unwrap_or(i64::MAX))
    });
    grown.filter(|(_, growth)| *growth != 0).collect()
}
