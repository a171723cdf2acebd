//! Scenarios × hosts → reports. A scenario that passes alone on each host must still be the same on all.

pub mod check;
pub mod compare;
pub mod invariant;
pub(crate) mod threads;
mod told;
pub mod trace;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    component,
    outcome::Outcome,
    scenario::{Filter, HostKind, Scenario},
    vm::{self, Limits},
};

/// Real Envoy, which plays many scenarios in one process.
pub trait Replay {
    /// One outcome for each scenario, in their order.
    /// With `trace`, calls are kept.
    fn replay(&self, scenarios: &[Scenario], trace: bool) -> Vec<anyhow::Result<Outcome>>;
}

/// Where the builds of what is under test lie. Asked by several threads at once.
pub trait Artifacts: Sync {
    fn module(&self, filter: &Filter) -> anyhow::Result<PathBuf>;
    fn component(&self, filter: &Filter) -> anyhow::Result<PathBuf>;
}

/// What came of one scenario on one host, or of the comparison of two.
#[derive(Clone, Debug)]
pub struct Report {
    pub scenario: String,
    pub plugin: String,
    pub file: PathBuf,
    /// The host; two where they were compared.
    pub hosts: Vec<HostKind>,
    /// What was looked at, where it isn't the scenario's own expectations.
    pub check: Option<&'static str>,
    pub verdict: Verdict,
    pub took: Duration,
    /// What is dangerous in what the modules did, whatever was expected.
    pub hazards: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed(Vec<Failure>),
    /// With the scenario's reason.
    Skipped(String),
}

/// One play that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Which step, and how its bodies were cut; empty where it concerns the whole scenario.
    pub place: String,
    /// Expected beside actual.
    pub what: Vec<String>,
    /// Where filters trapped in that play.
    pub traps: Vec<Trapped>,
    /// What the filters were called with in that play and what they asked for, where calls were kept: a
    /// line each, as `explain` tells them.
    pub calls: Vec<String>,
    /// The filter's log of that play.
    pub log: Vec<String>,
}

/// A trap, with what the module said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trapped {
    /// The callback, and what happened in which functions.
    pub what: String,
    /// A panic's own text: what the module wrote as an error right before it.
    pub said: Vec<String>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Envoy plays so many scenarios now.
    InEnvoy(usize),
    /// So many of all scenarios are done, on every host.
    Done { done: usize, of: usize, failed: usize },
}

/// Plays every scenario on every host, then compares the hosts with the first of them that played it;
/// where `limits` keep them, also the calls between module and host.
pub fn run(
    scenarios: &[Scenario],
    hosts: &[HostKind],
    artifacts: &dyn Artifacts,
    envoy: Option<&dyn Replay>,
    limits: Limits,
) -> Vec<Report> {
    run_told(scenarios, hosts, artifacts, envoy, limits, &|_| {})
}

/// The same, and tells how far it is. Envoy plays first and alone, since what it does depends on time; the
/// other hosts play on all cores. Reports stand in the order of the scenarios.
pub fn run_told(
    scenarios: &[Scenario],
    hosts: &[HostKind],
    artifacts: &dyn Artifacts,
    envoy: Option<&dyn Replay>,
    limits: Limits,
    told: &(dyn Fn(Progress) + Sync),
) -> Vec<Report> {
    let mut envoys = replayed(scenarios, hosts, envoy, limits, told).into_iter();
    let in_envoy = |scenario: &Scenario| plays_in_envoy(scenario, hosts, limits).then(|| envoys.next()).flatten();
    let in_envoy: Vec<Option<Replayed>> = scenarios.iter().map(in_envoy).collect();
    let all: Vec<(&Scenario, Option<Replayed>)> = scenarios.iter().zip(in_envoy).collect();
    let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reports = threads::each(&all, |(scenario, in_envoy)| {
        let reports = one(scenario, hosts, artifacts, in_envoy.as_ref(), limits);
        let fails = reports.iter().filter(|report| matches!(report.verdict, Verdict::Failed(_))).count();
        let failed = failed.fetch_add(fails, Ordering::Relaxed) + fails;
        told(Progress::Done { done: done.fetch_add(1, Ordering::Relaxed) + 1, of: all.len(), failed });
        reports
    });
    reports.into_iter().flatten().collect()
}

/// What Envoy saw, and how long it took.
type Replayed = (Result<Outcome, String>, Duration);

/// One scenario on every host.
fn one(
    scenario: &Scenario,
    hosts: &[HostKind],
    artifacts: &dyn Artifacts,
    in_envoy: Option<&Replayed>,
    limits: Limits,
) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut seen: Vec<(HostKind, Outcome)> = Vec::new();
    for host in hosts.iter().copied().filter(|host| scenario.runs_on(*host)) {
        let report = |verdict, took| Report {
            scenario: scenario.scenario.clone(),
            plugin: scenario.plugin.clone(),
            file: scenario.file.clone(),
            hosts: vec![host],
            check: None,
            verdict,
            took,
            hazards: Vec::new(),
        };
        if let Some(reason) = skipped(scenario, host, limits) {
            reports.push(report(Verdict::Skipped(reason), Duration::ZERO));
            continue;
        }
        let began = Instant::now();
        let ((outcome, failures), waited) = match host {
            HostKind::Wasm => {
                let play = |limits| {
                    let run = |modules: &[PathBuf], scenario: &Scenario| vm::run(modules, scenario, limits);
                    on(scenario, |filter| artifacts.module(filter), run)
                };
                (judged(scenario, limits, play), None)
            }
            HostKind::Component => {
                let outcome = on(scenario, |filter| artifacts.component(filter), component::run);
                (checked(scenario, outcome), None)
            }
            HostKind::Envoy => {
                let (outcome, took) = in_envoy.cloned().unzip();
                let outcome = outcome.unwrap_or_else(|| Err("Envoy gave no outcome of this scenario".into()));
                (checked(scenario, outcome.map_err(anyhow::Error::msg)), took)
            }
        };
        let took = waited.unwrap_or_else(|| began.elapsed());
        let hazards = outcome.as_ref().map(|outcome| outcome.hazards.clone()).unwrap_or_default();
        reports.push(Report { hazards, ..report(Verdict::of(failures), took) });
        seen.extend(outcome.ok().map(|outcome| (host, outcome)));
    }
    reports.extend(compared(scenario, &seen));
    reports
}

/// An outcome in Wasmtime, with what in it wasn't as expected, told with the calls around it.
pub fn judged(
    scenario: &Scenario,
    limits: Limits,
    play: impl Fn(Limits) -> anyhow::Result<Outcome>,
) -> (anyhow::Result<Outcome>, Vec<Failure>) {
    let (outcome, mut failures) = checked(scenario, play(limits));
    // This host does the same again, so that only what fails pays for what is told of it.
    let again = outcome.as_ref().is_ok_and(|outcome| outcome.plays.len() <= MOST_AGAIN);
    if again
        && !failures.is_empty()
        && !limits.trace
        && let Ok(again) = play(Limits { trace: true, ..limits })
    {
        let told = check::scenario(scenario, &again);
        failures = if told.is_empty() { failures } else { told };
    }
    (outcome, failures)
}

fn checked(scenario: &Scenario, outcome: anyhow::Result<Outcome>) -> (anyhow::Result<Outcome>, Vec<Failure>) {
    let failures = match &outcome {
        Ok(outcome) => check::scenario(scenario, outcome),
        Err(error) => vec![Failure::whole(vec![format!("{error:#}")])],
    };
    (outcome, failures)
}

/// Plays of a scenario that are played again to tell their calls; those of more would fill memory.
const MOST_AGAIN: usize = 1_000;

/// A report for each pair of hosts that differ, and for their calls, where these were kept.
fn compared(scenario: &Scenario, seen: &[(HostKind, Outcome)]) -> Vec<Report> {
    let report = |hosts, check, failures: Vec<Failure>| Report {
        scenario: scenario.scenario.clone(),
        plugin: scenario.plugin.clone(),
        file: scenario.file.clone(),
        hosts,
        check,
        verdict: Verdict::of(failures),
        took: Duration::ZERO,
        hazards: Vec::new(),
    };
    let mut reports = Vec::new();
    if let Some(((first, reference), others)) = seen.split_first() {
        for (host, outcome) in others {
            let differences = compare::compare(scenario, (*first, reference), (*host, outcome));
            if !differences.is_empty() {
                reports.push(report(vec![*first, *host], None, vec![Failure::whole(differences)]));
            }
        }
    }
    let of = |kind| seen.iter().find(|(host, outcome)| *host == kind && !outcome.traces.is_empty());
    if let (Some((_, wasm)), Some((_, envoy))) = (of(HostKind::Wasm), of(HostKind::Envoy)) {
        let failures = trace::compare(scenario, wasm, envoy);
        reports.push(report(vec![HostKind::Wasm, HostKind::Envoy], Some("trace"), failures));
    }
    reports
}

fn on<A, F>(scenario: &Scenario, artifact: A, run: F) -> anyhow::Result<Outcome>
where
    A: Fn(&Filter) -> anyhow::Result<PathBuf>,
    F: FnOnce(&[PathBuf], &Scenario) -> anyhow::Result<Outcome>,
{
    let artifacts = scenario.chain().iter().map(artifact).collect::<anyhow::Result<Vec<_>>>()?;
    run(&artifacts, scenario)
}

/// Why a scenario isn't played on a host.
fn skipped(scenario: &Scenario, host: HostKind, limits: Limits) -> Option<String> {
    let reason = scenario.skip.get(&host).cloned().or_else(|| scenario.envoy.skipped(limits.envoy));
    reason.or_else(|| scenario.unplayable(host))
}

fn plays_in_envoy(scenario: &Scenario, hosts: &[HostKind], limits: Limits) -> bool {
    hosts.contains(&HostKind::Envoy)
        && scenario.runs_on(HostKind::Envoy)
        && skipped(scenario, HostKind::Envoy, limits).is_none()
}

/// What Envoy saw of the scenarios that aren't skipped there, each with its share of the time.
fn replayed(
    scenarios: &[Scenario],
    hosts: &[HostKind],
    envoy: Option<&dyn Replay>,
    limits: Limits,
    told: &(dyn Fn(Progress) + Sync),
) -> Vec<Replayed> {
    let played = |scenario: &&Scenario| plays_in_envoy(scenario, hosts, limits);
    let wanted: Vec<Scenario> = scenarios.iter().filter(played).cloned().collect();
    let began = Instant::now();
    let Some(envoy) = envoy.filter(|_| !wanted.is_empty()) else { return Vec::new() };
    told(Progress::InEnvoy(wanted.len()));
    let outcomes = envoy.replay(&wanted, limits.trace);
    let share = began.elapsed() / u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    outcomes.into_iter().map(|outcome| (outcome.map_err(|error| format!("{error:#}")), share)).collect()
}

impl Verdict {
    fn of(failures: Vec<Failure>) -> Self {
        if failures.is_empty() { Self::Passed } else { Self::Failed(failures) }
    }
}

impl Failure {
    /// A failure of the scenario as a whole.
    pub fn whole(what: Vec<String>) -> Self {
        Self { what, ..Self::default() }
    }
}
