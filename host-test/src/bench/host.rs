//! `portcullis bench host`: what the test host itself costs. Times of this machine, in this build: they
//! are printed with what they should stay below, and fail nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::machine;
use crate::{
    build::{self, Workspace},
    scenario::{self, Scenario},
    vm::{self, Limits, Session, cache},
};

/// Requests, and steps of a scenario, that are played for a figure.
const REQUESTS: usize = 20_000;
const STEPS: usize = 10_000;
/// VMs that are held at once to see what each takes.
const VMS: usize = 50;
/// Cold starts, of which the median is told.
const STARTS: usize = 7;

/// Measures modules, by default those of all plugins. Each plugin's runs with the configuration of its
/// first benchmark scenario; a module from elsewhere runs without one.
pub fn host(modules: &[PathBuf]) -> Result<bool> {
    let measured = if modules.is_empty() { plugins()? } else { foreign(modules)? };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "module",
        "size",
        "requests/s",
        "10 000 steps",
        "cold start",
        "with cache",
        "memory per VM",
    ]);
    for (name, module, scenario) in &measured {
        table.add_row(row(name, module, scenario).with_context(|| name.clone())?);
    }
    println!("{table}");
    println!(
        "header-only requests, one thread; to stay below: 5 s for 10 000 steps, 300 ms cold, 30 ms with the cache"
    );
    println!("on {}, by {}", machine::cpu(), machine::rustc()?);
    Ok(true)
}

type Measured = (String, Vec<u8>, Scenario);

fn plugins() -> Result<Vec<Measured>> {
    let workspace = Workspace::find()?;
    let built = build::build(&workspace)?;
    let mut measured = Vec::new();
    for plugin in workspace.plugins()? {
        let Some(built) = built.iter().find(|built| built.plugin == plugin.name) else { continue };
        let folder = plugin.folder.join("benches/wasm");
        let first = scenario::load_folder(&folder)?.into_iter().next();
        let scenario = first.with_context(|| format!("{} holds no scenario", folder.display()))?;
        measured.push((plugin.name, read(&built.module.path)?, with_steps(&scenario, 1, 1)?));
    }
    Ok(measured)
}

fn foreign(modules: &[PathBuf]) -> Result<Vec<Measured>> {
    let one = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, read(path)?, plain()?))
    };
    modules.iter().map(one).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("can't read {}", path.display()))
}

fn plain() -> Result<Scenario> {
    Ok(serde_saphyr::from_str("{scenario: a request, plugin: measured, steps: [{}]}")?)
}

/// A scenario's surroundings with header-only steps in the place of its own.
fn with_steps(scenario: &Scenario, steps: usize, times: usize) -> Result<Scenario> {
    let yaml = format!("{{scenario: requests, steps: [{{times: {times}}}]}}");
    let step = serde_saphyr::from_str::<Scenario>(&yaml)?.steps;
    let steps = step.into_iter().cycle().take(steps).collect();
    Ok(Scenario { steps, refused: Vec::new(), never: Vec::new(), ..scenario.clone() })
}

fn row(name: &str, module: &[u8], scenario: &Scenario) -> Result<Vec<String>> {
    // Loads the module, so that what follows measures only what it says.
    played(module, scenario, 1, 1)?;
    let requests = played(module, scenario, 1, REQUESTS)?.as_secs_f64();
    let steps = played(module, scenario, STEPS, 1)?;
    let cold = cold(module, scenario, None)?;
    let place = tempfile::tempdir()?;
    let folder = Box::leak(Box::new(cache::Folder::open(&place.path().join("compiled"), cache::LARGEST)?));
    vm::cold_start(module, scenario, Some(folder)).map_err(anyhow::Error::msg)?;
    let cached = self::cold(module, scenario, Some(folder))?;
    let memory = memory(module, scenario)?;
    Ok(vec![
        name.to_owned(),
        format!("{} KiB", module.len() >> 10),
        format!("{:.0}", REQUESTS as f64 / requests),
        format!("{:.2} s", steps.as_secs_f64()),
        format!("{:.1} ms", cold.as_secs_f64() * 1e3),
        format!("{:.1} ms", cached.as_secs_f64() * 1e3),
        format!("{} KiB", memory >> 10),
    ])
}

fn played(module: &[u8], scenario: &Scenario, steps: usize, times: usize) -> Result<Duration> {
    let scenario = with_steps(scenario, steps, times)?;
    let began = Instant::now();
    let outcome = vm::run_bytes(module, &scenario, Limits::default());
    let took = began.elapsed();
    if let Some(reason) = outcome.refused {
        bail!("the module is refused: {reason}");
    }
    Ok(took)
}

fn cold(module: &[u8], scenario: &Scenario, folder: Option<&'static cache::Folder>) -> Result<Duration> {
    let start = |_| vm::cold_start(module, scenario, folder).map_err(anyhow::Error::msg);
    let mut times = (0..STARTS).map(start).collect::<Result<Vec<_>>>()?;
    times.sort();
    times.get(STARTS / 2).copied().context("nothing was measured")
}

/// Resident bytes that one more filter takes once it has served a request.
fn memory(module: &[u8], scenario: &Scenario) -> Result<u64> {
    let one = with_steps(scenario, 1, 1)?;
    let step = one.steps.first().context("no step")?;
    let before = resident()?;
    let mut held = Vec::new();
    for _ in 0..VMS {
        let mut session = Session::start(module, &one, Limits::default())
            .map_err(|refusal| anyhow::anyhow!("the module is refused: {}", refusal.reason))?;
        session.play(step, crate::outcome::Cut::AsWritten);
        held.push(session);
    }
    Ok(resident()?.saturating_sub(before) / VMS as u64)
}

/// Resident bytes of this process.
fn resident() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status").context("no /proc to read the memory from")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/self/status has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
