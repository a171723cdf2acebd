//! The figures of one plugin, as they are kept.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};

/// What a plugin costs, counted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    /// The compiler; another one makes other instructions, so fuel and size are compared less strictly.
    pub(super) toolchain: String,
    pub(super) module_bytes: u64,
    pub(super) steps: Vec<Counted>,
}

/// One step, once everything is warm.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counted {
    pub(super) step: String,
    pub(super) hostcalls: BTreeMap<String, u64>,
    pub(super) fuel: u64,
    pub(super) memory_bytes: u64,
}

impl Counted {
    pub(super) fn calls(&self) -> u64 {
        self.hostcalls.values().sum()
    }
}

impl Baseline {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| {
            format!("no baseline {}; make one with `cargo portcullis bench wasm --save`", file.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is no baseline", file.display()))
    }

    pub(super) fn to_text(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["step", "hostcalls", "fuel", "linear memory"]);
        for counted in &self.steps {
            let memory = format!("{} KiB", counted.memory_bytes / 1024);
            table.add_row([counted.step.clone(), counted.calls().to_string(), counted.fuel.to_string(), memory]);
        }
        format!("{table}\nmodule: {} bytes, by {}", self.module_bytes, self.toolchain)
    }
}
