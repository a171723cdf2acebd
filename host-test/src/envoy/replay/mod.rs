//! Scenarios, played through Envoy.
//!
//! 1. All scenarios that expect to be taken share one process; one that expects to be refused has
//!    a process of its own, which must not start.
//! 2. Where the shared process doesn't start, the scenarios are halved until those are alone
//!    whose configuration is refused.
//! 3. Where the process ends during a step, that scenario fails, and those after it get a new one.
//! 4. Where calls are kept, each scenario has a process of its own, because Envoy's trace names no VM.
//! 5. Steps are played one after the other: what is seen in between belongs to the step. Where
//!    streams stay open from step to step, `flight` plays them.

mod back_off;
mod barrier;
mod contexts;
mod flight;
mod listeners;
mod play;
mod seen;
mod trace;
mod workers;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use listeners::Listeners;

use super::{
    bootstrap::{Actor, Stage, bootstrap},
    callouts::Callouts,
    find::Found,
    flight::Backend,
    process::{Line, Options, Process, StartError},
    versions,
};
use crate::{
    outcome::Outcome,
    scenario::{Filter, Scenario},
    world::proxy::START_WITHIN,
};

/// Plays each scenario; the results stand in the order of the scenarios. `module` gives the path of
/// the `.wasm` under test, `capabilities` the capability list that it runs under (`None`: no limit).
/// An error is one of Envoy or of the network; that a filter refuses or answers anything is an outcome.
pub fn run(
    envoy: &Found,
    module: &dyn Fn(&Filter) -> Result<PathBuf>,
    capabilities: &dyn Fn(&Filter) -> Option<Vec<String>>,
    scenarios: &[Scenario],
    trace: bool,
) -> Vec<Result<Outcome>> {
    let mut results: Vec<Result<Outcome>> = scenarios.iter().map(|_| Err(anyhow!("not played"))).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return scenarios.iter().map(|_| Err(anyhow!("no runtime: {error}"))).collect(),
    };
    let mut groups: Vec<Vec<Entry<'_>>> = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        let name = format!("s{index}");
        match Actor::chain(scenario, &name, module, capabilities) {
            Err(error) => set(&mut results, index, Err(error)),
            Ok(chain) => {
                let stage = Stage { scenario, name, chain, upstream: 0, clusters: Vec::new() };
                let entry = Entry { index, stage };
                // Envoy's trace names no VM, so a traced scenario is alone.
                if scenario.refused.is_empty() && !trace { put(&mut groups, entry) } else { groups.push(vec![entry]) }
            }
        }
    }
    runtime.block_on(async {
        while let Some(group) = groups.pop() {
            if !group.is_empty() {
                groups.extend(play_group(envoy, group, &mut results, trace).await);
            }
        }
    });
    results
}

/// Puts a scenario into the first group where it disturbs none: clusters are named by the filters that
/// call them, so no two scenarios of a group may name the same.
fn put<'a>(groups: &mut Vec<Vec<Entry<'a>>>, entry: Entry<'a>) {
    let names = |entry: &Entry<'a>| &entry.stage.scenario.given.clusters;
    // One process has one time to drain, so many workers, and where it reads listeners from a file a name.
    let of_process = |entry: &Entry<'a>| {
        let (given, updates) = (&entry.stage.scenario.given, entry.stage.scenario.updates());
        (given.workers, updates.then_some(given.drain))
    };
    let fits = |group: &Vec<Entry<'a>>| {
        group.iter().all(|other| {
            other.stage.scenario.refused.is_empty()
                && names(other).keys().all(|name| !names(&entry).contains_key(name))
                && of_process(other) == of_process(&entry)
        })
    };
    match groups.iter_mut().find(|group| fits(group)) {
        Some(group) => group.push(entry),
        None => groups.push(vec![entry]),
    }
}

/// Lets each worker's connections be told from the others'.
fn direct(bootstrap: &mut serde_json::Value) {
    let patterns = bootstrap.pointer_mut("/stats_config/stats_matcher/inclusion_list/patterns");
    patterns.and_then(|patterns| patterns.as_array_mut()).into_iter().for_each(|all| all.push(workers::stats()));
    let listeners = bootstrap.pointer_mut("/static_resources/listeners").and_then(|all| all.as_array_mut());
    listeners.into_iter().flatten().for_each(workers::direct);
}

/// A scenario on its way into Envoy, with its place in the results.
struct Entry<'a> {
    index: usize,
    stage: Stage<'a>,
}

fn set(results: &mut [Result<Outcome>], index: usize, result: Result<Outcome>) {
    if let Some(place) = results.get_mut(index) {
        *place = result;
    }
}

/// Plays a group in one process. What it gives back is still to be played.
async fn play_group<'a>(
    envoy: &Found,
    mut group: Vec<Entry<'a>>,
    results: &mut [Result<Outcome>],
    trace: bool,
) -> Vec<Vec<Entry<'a>>> {
    let mut host = match Host::start(envoy, &mut group, trace).await {
        Ok(host) => host,
        Err(error) => {
            if group.len() > 1 {
                let rest = group.split_off(group.len() / 2);
                return vec![rest, group];
            }
            for entry in group {
                set(results, entry.index, refusal(error.as_ref(), &entry.stage).ok_or_else(|| anyhow!("{error}")));
            }
            return Vec::new();
        }
    };
    let waiting: Vec<_> = host.callouts.iter().map(|callouts| callouts.waiting().clone()).collect();
    let backends = std::mem::take(&mut host.upstreams).into_iter().zip(waiting);
    let mut entries = group.into_iter().zip(backends);
    while let Some((entry, (upstream, waiting))) = entries.next() {
        let result = host.play(&entry.stage, &upstream, waiting).await;
        // Asked rather than waited for: an Envoy that crashes takes its time to write why.
        let gone = result.is_err() && !host.process.admin().ready().await;
        let result = result.with_context(|| entry.stage.scenario.file.display().to_string());
        if gone {
            let log = host.process.log();
            set(results, entry.index, result.with_context(|| format!("Envoy ended:\n{}", last_lines(&log))));
            return vec![entries.map(|(entry, _)| entry).collect()];
        }
        set(results, entry.index, result);
    }
    Vec::new()
}

/// The end of a log, which tells why it ended.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("][trace]")).collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

/// The outcome of a scenario whose configuration the filter refused; `None` where Envoy had another
/// reason not to start.
fn refusal(error: &(dyn std::error::Error + 'static), stage: &Stage<'_>) -> Option<Outcome> {
    let error = error.downcast_ref::<StartError>()?;
    if !error.log().contains("Wasm") {
        return None;
    }
    let lines: Vec<Line> = error.wasm_lines().into_iter().filter(|line| stage.is_own(&line.vm_id)).collect();
    let severe = lines.iter().filter(|line| ["warning", "error", "critical"].contains(&line.level.as_str()));
    let mut severe: Vec<&str> = severe.map(|line| line.text.as_str()).collect();
    severe.dedup();
    let refused = if severe.is_empty() { error.to_string() } else { severe.join("\n") };
    let startup_log = lines.into_iter().map(|line| line.text).collect();
    Some(Outcome { refused: Some(refused), startup_log, ..Outcome::default() })
}

/// Waits until what filters asked for at their start is answered, as long as the first step waits for it.
async fn answered(process: &Process) -> Result<()> {
    let end = Instant::now() + Duration::from_nanos(START_WITHIN);
    // Once more: what is answered is told a moment later.
    let mut again = true;
    while Instant::now() < end {
        let waiting = process.admin().numbers(r"^cluster\..*\.upstream_rq_active$").await?;
        if waiting.values().any(|number| *number > 0) {
            again = true;
        } else if !std::mem::take(&mut again) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// One Envoy with all that stands around it.
struct Host {
    process: Process,
    ports: std::collections::BTreeMap<String, u16>,
    upstreams: Vec<Backend>,
    /// In the order of the scenarios; as long as they live they serve.
    callouts: Vec<Callouts>,
    logs: TempDir,
    /// Those that change on the way.
    listeners: tokio::sync::Mutex<Listeners>,
    /// What all filters logged while their configurations were read.
    startup_log: Vec<Line>,
    /// The number of the main thread.
    main_thread: Option<String>,
    /// Whether calls are kept.
    traces: bool,
    /// When it served, and had made every VM.
    started: Instant,
}

impl Host {
    async fn start(
        envoy: &Found,
        group: &mut [Entry<'_>],
        trace: bool,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (mut upstreams, mut callouts) = (Vec::new(), Vec::new());
        for entry in group.iter_mut() {
            let upstream = Backend::start(entry.stage.scenario).await?;
            entry.stage.upstream = upstream.port();
            let called = Callouts::start(&entry.stage.scenario.given.clusters, &upstream.events()).await?;
            entry.stage.clusters = called.clusters();
            upstreams.push(upstream);
            callouts.push(called);
        }
        let logs = tempfile::Builder::new().prefix("portcullis-access-").tempdir()?;
        let stages: Vec<Stage<'_>> = group.iter().map(|entry| entry.stage.clone()).collect();
        // Every access log line at once: a step ends with its line.
        let mut arguments = versions::arguments(&envoy.version);
        let drain = stages.iter().find(|stage| stage.scenario.updates()).map(|stage| stage.scenario.given.drain);
        if let Some(drain) = drain {
            arguments.extend(["--drain-time-s".into(), (drain.0 / 1_000_000_000).to_string().into()]);
        }
        let workers = stages.first().map_or(1, |stage| stage.scenario.given.workers.max(1));
        let options = Options {
            component_log_level: Some("wasm:trace".into()),
            arguments,
            concurrency: workers,
            ..Options::default()
        };
        let mut bootstrap = bootstrap(&stages, logs.path());
        if workers > 1 {
            direct(&mut bootstrap);
        }
        let listeners = Listeners::new(&stages, logs.path(), &envoy.version)?;
        listeners.announce(&mut bootstrap);
        versions::suit(&mut bootstrap, &envoy.version);
        if trace {
            barrier::add(&mut bootstrap);
        }
        let process = Process::start(&envoy.binary, &bootstrap, &options).await?;
        let ports = process.admin().listeners().await?;
        if stages.iter().any(|stage| !stage.clusters.is_empty()) {
            answered(&process).await?;
        }
        let startup_log = process.wasm_lines_since(0);
        let main_thread = trace::main_thread(&process.log()).map(String::from);
        let listeners = tokio::sync::Mutex::new(listeners);
        Ok(Self {
            process,
            ports,
            upstreams,
            callouts,
            logs,
            listeners,
            startup_log,
            main_thread,
            traces: trace,
            started: Instant::now(),
        })
    }
}
