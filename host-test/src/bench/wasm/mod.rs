//! `portcullis bench wasm`: counts that repeat exactly, against what is committed.
//!
//! Each file in `plugins/<plugin>/benches/wasm/` is a scenario. Its steps are played a few times to
//! warm up, then once for the counts: hostcalls by name, fuel, linear memory. `benches/baseline.json`
//! keeps them beside the module's size and the toolchain that made it. A count that is worse than kept
//! fails; who means it runs `portcullis bench wasm --save` and commits the baseline with the change.

mod baseline;
mod compare;

use std::fs;

use anyhow::{Context, Result, bail};

use self::baseline::{Baseline, Counted};
use super::machine;
use crate::{
    build::{self, Built, Plugin, Workspace},
    outcome::Cut,
    scenario::{self, Scenario},
    vm::{Limits, Session},
};

/// Plays of each step before it is counted: caches are filled and memory has grown by then.
const WARM_UP: usize = 10;

/// Measures every plugin. With `save` the figures become the baselines; without, whether none is worse.
pub fn wasm(save: bool) -> Result<bool> {
    let workspace = Workspace::find()?;
    let built = build::build(&workspace)?;
    let toolchain = machine::rustc()?;
    let mut well = true;
    for plugin in workspace.plugins()? {
        let Some(built) = built.iter().find(|built| built.plugin == plugin.name) else { continue };
        let now = measure(&plugin, built, &toolchain)?;
        let file = plugin.folder.join("benches/baseline.json");
        if save {
            fs::write(&file, now.to_text()?).with_context(|| format!("can't write {}", file.display()))?;
            println!("{}\nsaved {}", now.table(), file.display());
            continue;
        }
        let kept = Baseline::read(&file)?;
        let (text, none_worse) = compare::compare(&kept, &now);
        println!("{}:\n{text}", plugin.name);
        well &= none_worse;
    }
    Ok(well)
}

fn measure(plugin: &Plugin, built: &Built, toolchain: &str) -> Result<Baseline> {
    let folder = plugin.folder.join("benches/wasm");
    let module = fs::read(&built.module.path)?;
    let mut counted = Vec::new();
    for scenario in scenario::load_folder(&folder)? {
        counted.extend(count(&module, &scenario)?);
    }
    if counted.is_empty() {
        bail!("{} holds no scenario, so nothing of {} would be measured", folder.display(), plugin.name);
    }
    Ok(Baseline { toolchain: toolchain.to_owned(), module_bytes: built.module.size, steps: counted })
}

fn count(module: &[u8], scenario: &Scenario) -> Result<Vec<Counted>> {
    let name = scenario.file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut session = Session::start(module, scenario, Limits::default())
        .map_err(|refusal| anyhow::anyhow!("{}: {}", scenario.file.display(), refusal.reason))?;
    let mut counted = Vec::new();
    for (index, step) in scenario.steps.iter().enumerate() {
        for _ in 0..WARM_UP {
            session.play(step, Cut::AsWritten);
        }
        let (play, counts) = session.play(step, Cut::AsWritten);
        let failures = crate::runner::check::check(step, &play);
        if !failures.is_empty() {
            bail!("{}: step {}: {}", scenario.file.display(), index + 1, failures.join("; "));
        }
        let step = step.name.clone().unwrap_or_else(|| (index + 1).to_string());
        counted.push(Counted {
            step: format!("{name}: {step}"),
            hostcalls: counts.hostcalls,
            fuel: counts.fuel,
            memory_bytes: counts.memory_bytes,
        });
    }
    Ok(counted)
}
