//! Files and folders → scenarios.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{Fault, Given, Protocol, Scenario, Step, bytes, line};
use crate::envoy::versions;

/// Where a checkout keeps its scenarios: the plugins' and the test host's own.
pub fn folders(root: &Path) -> Vec<PathBuf> {
    ["plugins", "host-test/scenarios"].map(|folder| root.join(folder)).to_vec()
}

/// Reads each path: a file is a scenario, a folder is searched for `*.yaml` in folders named
/// `scenarios`, or taken whole when it is one. Sorted by path, so that runs repeat.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let whole = path.file_name().is_some_and(|name| name == "scenarios");
            collect(path, whole, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    files.iter().map(|file| read(file)).collect()
}

/// Reads every `*.yaml` in a folder, whatever its name.
pub fn load_folder(folder: &Path) -> Result<Vec<Scenario>> {
    files(folder)?.iter().map(|file| read(file)).collect()
}

/// Every `*.yaml` in a folder and those below it, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, true, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, inside: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, inside || name == "scenarios", files)?;
            }
        } else if inside && path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let mut scenario = parse(&text).with_context(|| file.display().to_string())?;
    scenario.file = file.to_path_buf();
    if let Some(module) = scenario.module.take() {
        if !scenario.plugin.is_empty() {
            bail!("{}: has a `plugin` and a `module`; only one can be under test", file.display());
        }
        scenario.plugin = module.name().into_owned();
        scenario.module = Some(module.beside(file));
    }
    if scenario.plugin.is_empty() {
        scenario.plugin = plugin_of(file).with_context(|| {
            format!(
                "{}: stands in no plugin's folder, so it needs `plugin: <name>` or `module: <name or path>`",
                file.display()
            )
        })?;
    }
    for filter in scenario.before.iter_mut().chain(&mut scenario.after) {
        match (filter.module.take(), filter.plugin.is_empty()) {
            (Some(module), true) => {
                filter.plugin = module.name().into_owned();
                filter.module = Some(module.beside(file));
            }
            (None, false) => {}
            _ => bail!("{}: each filter `before` and `after` needs a `plugin` or a `module`", file.display()),
        }
    }
    Ok(scenario)
}

/// Bytes of a scenario's text.
pub const LARGEST: usize = 16 << 20;
/// Workers and filters, each of which is a VM.
const MOST_WORKERS: u32 = 64;
const MOST_FILTERS: usize = 64;
/// Times that one step is played, in all its cuts.
const MOST_PLAYS: u64 = 1_000_000;
/// Times that the router tries one request again, or follows its redirects.
const MOST_ANEW: u32 = 100;

/// Reads one scenario. The text is taken from anybody: nesting and aliases have the bounds of the YAML
/// reader, what the text repeats has one for all of it, and so has how often a step is played.
pub fn parse(text: &str) -> Result<Scenario> {
    if text.len() > LARGEST {
        bail!("the scenario has {} bytes, and at most {LARGEST} are read", text.len());
    }
    bytes::begin();
    let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("{error}"))?;
    shows_something(&scenario)?;
    Ok(scenario)
}

/// A scenario that can't fail is worse than none.
fn shows_something(scenario: &Scenario) -> Result<()> {
    match (scenario.steps.is_empty(), scenario.refused.is_empty()) {
        (true, true) if scenario.configured.is_empty() => {
            bail!("has neither `steps` nor `configured` nor `refused`, so it would show nothing")
        }
        (false, false) => bail!("has `refused` and `steps`, which would never be played"),
        (true, false) if !scenario.configured.is_empty() => {
            bail!("has `refused` and `configured`; a configuration is one or the other")
        }
        _ => {}
    }
    let texts = scenario.refused.iter().chain(&scenario.never).chain(&scenario.configured);
    if texts.chain(scenario.steps.iter().flat_map(|step| &step.expect.log)).any(String::is_empty) {
        bail!("expects an empty text, which is in every output");
    }
    for version in scenario.envoy.since.iter().chain(&scenario.envoy.until) {
        if !versions::is_version(version) {
            bail!("`envoy: {version}` is no version; write it as \"1.37\"");
        }
    }
    let given = &scenario.given;
    let anew = [given.retries.as_ref().map(|retries| retries.times), given.redirects.as_ref().map(|to| to.most)];
    if anew.into_iter().flatten().any(|times| times > MOST_ANEW) {
        bail!("`retries` or `redirects` ask for more than {MOST_ANEW} attempts; lower `times` or `most`");
    }
    if scenario.given.workers > MOST_WORKERS {
        bail!("has {} workers, and at most {MOST_WORKERS} are started", scenario.given.workers);
    }
    let filters = scenario.before.len() + scenario.after.len() + 1;
    if filters > MOST_FILTERS {
        bail!("has {filters} filters, and at most {MOST_FILTERS} are started");
    }
    if let Some(wrong) = scenario.all_faults().find_map(Fault::wrong) {
        bail!("{wrong}");
    }
    let Given { drain, workers, .. } = &scenario.given;
    if drain.0 == 0 || drain.0 % 1_000_000_000 != 0 {
        bail!("`drain` is a time of whole seconds, and not 0: Envoy has no other");
    }
    if (scenario.updates() || *workers > 1) && scenario.steps.iter().any(|step| step.reply.is_some()) {
        bail!("a step with a `reply` has a listener of its own: without `update` and `workers`");
    }
    if let Some(place) = scenario.steps.iter().position(|step| step.worker == 0 || step.worker > *workers) {
        bail!("step {} names a worker that isn't there: they count from 1 to `workers`", place + 1);
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        let place = index + 1;
        match step.plays() {
            0 => bail!("step {place} is played no times"),
            plays if plays > MOST_PLAYS => {
                bail!(
                    "step {place} would be played {plays} times, and at most {MOST_PLAYS} are; lower `times` or the body"
                )
            }
            _ => {}
        }
        let goes_on = step.request.as_ref().is_some_and(|request| request.more)
            || step.response.as_ref().is_some_and(|response| response.more);
        let later = step.send.is_some() || step.respond.is_some() || step.reset.is_some();
        if step.stream.is_none() && (goes_on || later) {
            bail!("step {place} has `more`, `send`, `respond` or `reset`, which need the `stream` that they belong to");
        }
        if step.stream.is_some() && (step.every_split || step.times > 1) {
            bail!("step {place} has a `stream`, which is played once: leave out `every_split` and `times`");
        }
        let request = step.request();
        let http2 = scenario.given.protocol == Protocol::Http2;
        if let Some(wrong) = line::wrong(request, http2).filter(|_| request.raw.is_none()) {
            bail!("step {place} has {wrong}, which no filter would see as it is; write the request as `raw`");
        }
        if step.is_raw() {
            raw(scenario, place, step)?;
        }
        let answers = usize::from(step.response.is_some()) + usize::from(!step.responses.is_empty());
        if answers > 1 || !step.responses.is_empty() && (step.reply.is_some() || scenario.in_flight()) {
            bail!("step {place} has `responses`, which stand alone and not beside a `stream`");
        }
        if step.response.is_some() && step.reply.is_some() {
            bail!("step {place} has a `response` and a `reply`; where a later filter replies, no upstream responds");
        }
        if step.expect.refused && step.update.is_none() {
            bail!("step {place} expects `refused` of an `update` that it doesn't have");
        }
        if step.update.is_some() && step.plays() > 1 {
            bail!("step {place} has an `update`, which is made once: leave out `every_split` and `times`");
        }
        if let Some((name, _)) = step.expect.metrics.iter().find(|(_, growth)| **growth == 0) {
            bail!("step {place} expects `{name}` not to grow, which holds for every misspelt name; leave it out");
        }
    }
    Ok(())
}

/// What goes on the wire as it is written fits the protocol, and is all of its message.
fn raw(scenario: &Scenario, place: usize, step: &Step) -> Result<()> {
    if scenario.in_flight() || step.every_split {
        bail!("step {place} has a `raw` message, which is played whole: leave out `stream` and `every_split`");
    }
    let answers = step.responses.iter().chain(&step.response).filter_map(|response| response.raw.as_ref());
    let http2 = scenario.given.protocol == Protocol::Http2;
    let mut all = step.request().raw.iter().chain(answers);
    if all.any(|raw| raw.is_of_http2() != http2) {
        bail!(
            "step {place} has a `raw` message of the other protocol; over HTTP/1 it is bytes, over HTTP/2 `{{head: …}}`"
        );
    }
    Ok(())
}

/// `plugins/<name>/scenarios/x.yaml` → `<name>`: the next folder above that holds a package.
fn plugin_of(file: &Path) -> Option<String> {
    let file = file.canonicalize().ok()?;
    let plugin = file.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?;
    plugin.parent()?.ends_with("plugins").then(|| plugin.file_name()?.to_str().map(String::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_cannot_fail_is_refused() {
        for yaml in [
            "{scenario: a}",
            "{scenario: a, refused: [x], steps: [{}]}",
            "{scenario: a, refused: ['']}",
            "{scenario: a, configured: ['']}",
            "{scenario: a, configured: [x], refused: [y]}",
            "{scenario: a, never: [''], steps: [{}]}",
            "{scenario: a, steps: [{expect: {log: ['']}}]}",
            "{scenario: a, steps: [{times: 0}]}",
            "{scenario: a, steps: [{request: {more: true}}]}",
            "{scenario: a, steps: [{reset: client}]}",
            "{scenario: a, steps: [{stream: s, times: 2}]}",
            "{scenario: a, steps: [{times: 1000001}]}",
            "{scenario: a, steps: [{every_split: true, request: {body: {repeat: x, times: 1000001}}}]}",
            "{scenario: a, steps: [{response: {}, reply: {status: 403}}]}",
            "{scenario: a, steps: [{expect: {metrics: {a.b: 0}}}]}",
            "{scenario: a, steps: [{request: {raw: 'x'}, every_split: true}]}",
            "{scenario: a, given: {protocol: http2}, steps: [{request: {raw: 'x'}}]}",
            "{scenario: a, steps: [{request: {raw: {head: []}}}]}",
            "{scenario: a, steps: [{response: {}, responses: [{}]}]}",
            "{scenario: a, given: {retries: {on: [5xx], times: 101}}, steps: [{}]}",
            "{scenario: a, steps: [{}], envoy: {since: 1.37.x}}",
            "{scenario: a, steps: [{}], given: {workers: 65}}",
            "{scenario: a, steps: [{expect: {refused: true}}]}",
            "{scenario: a, steps: [{update: {}, times: 2}]}",
            "{scenario: a, steps: [{}], given: {drain: 1500ms}}",
            "{scenario: a, steps: [{update: {}}, {reply: {status: 403}}]}",
            "{scenario: a, steps: [{worker: 2}]}",
            "{scenario: a, steps: [{request: {path: '/a#b'}}]}",
        ] {
            let scenario: Scenario = serde_saphyr::from_str(yaml).unwrap();
            assert!(shows_something(&scenario).is_err(), "{yaml}");
        }
    }
}
