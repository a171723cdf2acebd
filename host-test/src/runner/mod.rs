//! Scenarios × hosts → reports. A scenario that passes alone on each host must still be the same on all.

pub mod check;
pub mod compare;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    component,
    outcome::Outcome,
    scenario::{Filter, HostKind, Scenario},
    vm,
};

/// Real Envoy, which plays many scenarios in one process.
pub trait Replay {
    /// One outcome for each scenario, in their order.
    fn replay(&self, scenarios: &[Scenario]) -> Vec<anyhow::Result<Outcome>>;
}

/// Where the builds of what is under test lie.
pub trait Artifacts {
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
    pub verdict: Verdict,
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed(Vec<Failure>),
    /// With the scenario's reason.
    Skipped(String),
}

/// One play that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step, and how its bodies were cut; empty where it concerns the whole scenario.
    pub place: String,
    /// Expected beside actual.
    pub what: Vec<String>,
    /// The filter's log of that play.
    pub log: Vec<String>,
}

/// Plays every scenario on every host, then compares the hosts with the first of them that played it.
pub fn run(
    scenarios: &[Scenario],
    hosts: &[HostKind],
    artifacts: &dyn Artifacts,
    envoy: Option<&dyn Replay>,
) -> Vec<Report> {
    let mut envoys = replayed(scenarios, hosts, envoy).into_iter();
    let mut reports = Vec::new();
    for scenario in scenarios {
        let mut seen: Vec<(HostKind, Outcome)> = Vec::new();
        for host in hosts.iter().copied().filter(|host| scenario.runs_on(*host)) {
            let report = |verdict, took| Report {
                scenario: scenario.scenario.clone(),
                plugin: scenario.plugin.clone(),
                file: scenario.file.clone(),
                hosts: vec![host],
                verdict,
                took,
            };
            if let Some(reason) = scenario.skip.get(&host) {
                reports.push(report(Verdict::Skipped(reason.clone()), Duration::ZERO));
                continue;
            }
            let began = Instant::now();
            let (outcome, waited) = match host {
                HostKind::Wasm => (on(scenario, |filter| artifacts.module(filter), vm::run), None),
                HostKind::Component => (on(scenario, |filter| artifacts.component(filter), component::run), None),
                HostKind::Envoy => match envoys.next() {
                    Some((outcome, took)) => (outcome, Some(took)),
                    None => (Err(anyhow::anyhow!("Envoy gave no outcome of this scenario")), None),
                },
            };
            let failures = match &outcome {
                Ok(outcome) => check::scenario(scenario, outcome),
                Err(error) => vec![Failure::whole(vec![format!("{error:#}")])],
            };
            reports.push(report(Verdict::of(failures), waited.unwrap_or_else(|| began.elapsed())));
            seen.extend(outcome.ok().map(|outcome| (host, outcome)));
        }
        if let Some(((first, reference), others)) = seen.split_first() {
            for (host, outcome) in others {
                let differences = compare::compare(scenario, (*first, reference), (*host, outcome));
                if !differences.is_empty() {
                    reports.push(Report {
                        scenario: scenario.scenario.clone(),
                        plugin: scenario.plugin.clone(),
                        file: scenario.file.clone(),
                        hosts: vec![*first, *host],
                        verdict: Verdict::Failed(vec![Failure::whole(differences)]),
                        took: Duration::ZERO,
                    });
                }
            }
        }
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

/// What Envoy saw of the scenarios that aren't skipped there, each with its share of the time.
fn replayed(
    scenarios: &[Scenario],
    hosts: &[HostKind],
    envoy: Option<&dyn Replay>,
) -> Vec<(anyhow::Result<Outcome>, Duration)> {
    if !hosts.contains(&HostKind::Envoy) {
        return Vec::new();
    }
    let wanted: Vec<Scenario> = scenarios.iter().filter(|scenario| played_in_envoy(scenario)).cloned().collect();
    let began = Instant::now();
    let Some(envoy) = envoy.filter(|_| !wanted.is_empty()) else { return Vec::new() };
    let outcomes = envoy.replay(&wanted);
    let share = began.elapsed() / u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    outcomes.into_iter().map(|outcome| (outcome, share)).collect()
}

fn played_in_envoy(scenario: &Scenario) -> bool {
    scenario.runs_on(HostKind::Envoy) && !scenario.skip.contains_key(&HostKind::Envoy)
}

impl Verdict {
    fn of(failures: Vec<Failure>) -> Self {
        if failures.is_empty() { Self::Passed } else { Self::Failed(failures) }
    }
}

impl Failure {
    /// A failure of the scenario as a whole.
    pub fn whole(what: Vec<String>) -> Self {
        Self { place: String::new(), what, log: Vec::new() }
    }
}
