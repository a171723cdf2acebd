//! `host-test/confirmed.json`: which scenario passed on which version of Envoy, as its text was then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    build,
    runner::{Report, Verdict},
    scenario::{HostKind, Scenario},
};

pub struct Confirmed {
    root: PathBuf,
    /// By path from the root.
    scenarios: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
struct Entry {
    /// Of the scenario's file.
    sha256: String,
    envoy: BTreeSet<String>,
}

impl Confirmed {
    pub fn read(root: &Path) -> Result<Self> {
        let file = file(root);
        let scenarios = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| file.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        Ok(Self { root: root.canonicalize()?, scenarios })
    }

    /// The versions that the scenario passed on, as it is written now.
    pub fn versions(&self, scenario: &Scenario) -> Result<Vec<String>> {
        let (name, sha256) = self.key(&scenario.file)?;
        let entry = self.scenarios.get(&name).filter(|entry| entry.sha256 == sha256);
        Ok(entry.map(|entry| entry.envoy.iter().cloned().collect()).unwrap_or_default())
    }

    /// Takes in what was seen on a version. One that failed is confirmed no longer; files that are gone
    /// go.
    pub fn note(&mut self, reports: &[Report], version: &str) -> Result<()> {
        for report in reports.iter().filter(|report| report.hosts == [HostKind::Envoy]) {
            let (name, sha256) = self.key(&report.file)?;
            let entry = self.scenarios.entry(name).or_default();
            if entry.sha256 != sha256 {
                *entry = Entry { sha256, envoy: BTreeSet::new() };
            }
            match report.verdict {
                Verdict::Passed => drop(entry.envoy.insert(version.to_owned())),
                Verdict::Failed(_) => drop(entry.envoy.remove(version)),
                Verdict::Skipped(_) => {}
            }
        }
        let root = self.root.clone();
        self.scenarios.retain(|name, entry| !entry.envoy.is_empty() && root.join(name).is_file());
        Ok(())
    }

    pub fn write(&self) -> Result<()> {
        let file = file(&self.root);
        let text = format!("{:#}\n", serde_json::to_value(&self.scenarios)?);
        fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))
    }

    fn key(&self, scenario: &Path) -> Result<(String, String)> {
        let context = || scenario.display().to_string();
        let path = scenario.canonicalize().with_context(context)?;
        let bytes = fs::read(&path).with_context(context)?;
        let sha256 = build::sha256(&bytes);
        let name = path.strip_prefix(&self.root).with_context(context)?;
        Ok((name.display().to_string(), sha256))
    }
}

fn file(root: &Path) -> PathBuf {
    root.join("host-test/confirmed.json")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_changed_scenario_and_a_failed_one_lose_their_confirmation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let mut confirmed = Confirmed::read(folder.path()).unwrap();
        let mut scenario: Scenario = serde_saphyr::from_str("{scenario: s}").unwrap();
        scenario.file = file.clone();
        let mut note = |verdict, version: &str| {
            let report = Report {
                scenario: "s".into(),
                plugin: "p".into(),
                file: file.clone(),
                hosts: vec![HostKind::Envoy],
                check: None,
                verdict,
                took: Duration::ZERO,
                hazards: Vec::new(),
            };
            confirmed.note(&[report], version).unwrap();
            confirmed.versions(&scenario).unwrap()
        };
        fs::write(&file, "one").unwrap();
        assert_eq!(note(Verdict::Passed, "1.40.0"), ["1.40.0"]);
        assert_eq!(note(Verdict::Passed, "1.36.4"), ["1.36.4", "1.40.0"]);
        assert_eq!(note(Verdict::Failed(vec![]), "1.36.4"), ["1.40.0"]);
        fs::write(&file, "two").unwrap();
        assert_eq!(note(Verdict::Skipped("x".into()), "1.40.0"), [""; 0]);
        assert_eq!(note(Verdict::Passed, "1.39.3"), ["1.39.3"]);
    }
}
