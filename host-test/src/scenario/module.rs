//! The module that a scenario plays on in a plugin's place.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A guest of this repository or a file. It runs where modules run, on the hosts `wasm` and `envoy`,
/// and under no capability list.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "String")]
pub enum Module {
    /// A package under `host-test/guests/`, by its name.
    Guest(String),
    /// A `.wasm` or `.wat` file.
    File(PathBuf),
}

impl From<String> for Module {
    fn from(written: String) -> Self {
        let path = Path::new(&written);
        let file = path.extension().is_some_and(|extension| extension == "wasm" || extension == "wat");
        if file { Self::File(path.into()) } else { Self::Guest(written) }
    }
}

impl Module {
    /// What stands for the plugin's name: in reports, and as `root_id`.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Guest(name) => name.into(),
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy(),
        }
    }

    /// The same, with a file's path taken from the scenario's folder.
    pub(super) fn beside(self, scenario: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(scenario.parent().unwrap_or(Path::new("")).join(path)),
            guest @ Self::Guest(_) => guest,
        }
    }
}

impl JsonSchema for Module {
    fn schema_name() -> Cow<'static, str> {
        "Module".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A package under `host-test/guests`, or the path of a `.wasm` or `.wat` file",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_guest_and_a_file_is_found_beside_its_scenario() {
        let module = |written: &str| Module::from(written.to_owned()).beside(Path::new("/scenarios/a.yaml"));
        assert_eq!(module("probe"), Module::Guest("probe".into()));
        assert_eq!(module("../guest.wat"), Module::File("/scenarios/../guest.wat".into()));
        assert_eq!(module("a/b.wasm").name(), "b");
    }
}
