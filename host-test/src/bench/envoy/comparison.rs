//! A comparison as it is written: `plugins/<plugin>/benches/*.yaml`.
//!
//! ```yaml
//! comparison: ten headers on a response
//! baseline: { name: router only }          # a candidate like the others; costs are told above it
//! reference: native                        # the table tells each cost as a multiple of this one's
//! candidates:
//!   - name: native
//!     http_filters: [ … ]                  # Envoy's own form, in order, the router left out
//!     expect: { x-frame-options: DENY }    # exactly one such line in the answer, or nothing is measured
//!   - name: ours
//!     http_filters:
//!       - plugin: security-headers         # short for the wasm filter around a plugin of the workspace:
//!         configuration: { … }             # a VM of its own, FAIL_RELOAD, the smallest capability list
//!       - wat: (module …)                  # the same around a module in text form, all capabilities
//!     metadata:                            # `filter_metadata` of the route
//!       portcullis.security_headers: { policy: web }
//! ratios:                                  # of the costs above the baseline
//!   - { of: ours, to: native, at_most: 3.0, floor: bare }
//! memory: { of: [ours], growth_at_most_kib: 512 }
//! ```
//!
//! In Envoy's own form, `${module:<plugin>}` stands for the path of a plugin's module.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::build::Workspace;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    #[serde(rename = "comparison")]
    pub name: String,
    pub baseline: Candidate,
    /// The name of a candidate.
    #[serde(default)]
    pub reference: Option<String>,
    pub candidates: Vec<Candidate>,
    #[serde(default)]
    pub ratios: Vec<Ratio>,
    #[serde(default)]
    pub memory: Option<Memory>,
}

/// A configuration that is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub name: String,
    #[serde(default)]
    pub http_filters: Vec<Value>,
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
}

/// How many times the cost of `to` the cost of `of` is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    pub of: String,
    pub to: String,
    #[serde(default)]
    pub at_most: Option<f64>,
    /// A candidate that does the bare minimum of what `of` does. Where it costs more than `at_most` by itself, the
    /// limit can't be kept on this machine and isn't held against `of`.
    #[serde(default)]
    pub floor: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Names of candidates.
    pub of: Vec<String>,
    /// How much more resident memory may be there after many requests than after few, beyond what
    /// the baseline grows by.
    #[serde(default)]
    pub growth_at_most_kib: Option<i64>,
}

impl Comparison {
    /// The baseline first.
    pub fn all(&self) -> impl Iterator<Item = &Candidate> {
        std::iter::once(&self.baseline).chain(&self.candidates)
    }

    pub fn candidate(&self, name: &str) -> Option<&Candidate> {
        self.all().find(|candidate| candidate.name == name)
    }

    fn parse(text: &str) -> Result<Self> {
        let comparison: Self = serde_saphyr::from_str(text)?;
        let mut names = BTreeSet::new();
        if let Some(twice) = comparison.all().find(|candidate| !names.insert(candidate.name.as_str())) {
            bail!("two candidates are called `{}`", twice.name);
        }
        let ratios = comparison.ratios.iter().flat_map(|ratio| [&ratio.of, &ratio.to].into_iter().chain(&ratio.floor));
        let memory = comparison.memory.iter().flat_map(|memory| &memory.of);
        for name in ratios.chain(&comparison.reference).chain(memory) {
            if !comparison.candidates.iter().any(|candidate| candidate.name == *name) {
                bail!("no candidate is called `{name}`");
            }
        }
        Ok(comparison)
    }
}

/// Every comparison of the workspace, sorted by its file.
pub fn discover(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for plugin in workspace.plugins()? {
        let Ok(entries) = fs::read_dir(plugin.folder.join("benches")) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("no plugin has a comparison (plugins/<plugin>/benches/*.yaml)");
    }
    Ok(files)
}

pub fn read(file: &Path) -> Result<Comparison> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    Comparison::parse(&text).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_once_under_an_anchor_is_the_same_for_all() {
        let yaml = "
comparison: c
baseline: { name: none }
candidates:
  - { name: a, expect: &two { x: '1', y: '2' } }
  - { name: b, http_filters: [{ plugin: p, configuration: { headers: *two } }] }";
        let comparison = Comparison::parse(yaml).unwrap();
        assert_eq!(comparison.candidates[1].http_filters[0]["configuration"]["headers"]["y"], "2");
    }

    #[test]
    fn a_name_that_no_candidate_has_is_refused_wherever_it_stands() {
        let base = "{comparison: c, baseline: {name: none}, candidates: [{name: a}]";
        for rest in
            ["ratios: [{of: b, to: a}]", "ratios: [{of: a, to: a, floor: b}]", "reference: b", "memory: {of: [b]}"]
        {
            let error = Comparison::parse(&format!("{base}, {rest}}}")).unwrap_err().to_string();
            assert!(error.contains("`b`"), "{error}");
        }
        let twice = "{comparison: c, baseline: {name: a}, candidates: [{name: a}]}";
        assert!(Comparison::parse(twice).unwrap_err().to_string().contains("two candidates"));
    }
}
