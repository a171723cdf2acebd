//! Resident memory: what a filter adds to an Envoy that serves nothing else, by the number of its
//! workers, and what many requests add to that.

use std::fs;

use anyhow::{Context, Result};

use super::{Effort, Measuring, comparison::Candidate, load::Load};
use crate::envoy::Process;

/// Enough that each worker is likely to have one: the kernel spreads connections over them.
const CONNECTIONS_PER_WORKER: usize = 4;
/// Requests for each worker before memory is read, so that what is made at first use is there.
const FIRST_REQUESTS: usize = 200;
/// When growth begins to be counted.
pub const FEW: usize = 1_000;

/// The resident memory of one configuration, in KiB.
#[derive(Clone, Debug)]
pub struct Resident {
    pub name: String,
    /// With each of [`Effort::concurrencies`] workers.
    pub by_concurrency: Vec<i64>,
    /// With one worker, after [`FEW`] requests and after [`Effort::many`].
    pub after: (i64, i64),
}

impl Resident {
    pub fn growth(&self) -> i64 {
        self.after.1 - self.after.0
    }
}

/// Starts Envoy with this candidate alone, once for each concurrency and once more for its growth.
pub fn measure(measuring: &Measuring<'_>, candidate: &Candidate) -> Result<Resident> {
    let Effort { concurrencies, many, .. } = measuring.effort;
    let mut by_concurrency = Vec::new();
    for workers in concurrencies {
        let (process, port) = start(measuring, candidate, *workers)?;
        let workers = usize::try_from(*workers)?;
        Load::of(workers * CONNECTIONS_PER_WORKER, port)?.send(workers * FIRST_REQUESTS)?;
        by_concurrency.push(resident(process.pid())?);
    }
    let (process, port) = start(measuring, candidate, 1)?;
    let mut load = Load::connect(port)?;
    load.send(FEW)?;
    let few = resident(process.pid())?;
    load.send(many.saturating_sub(FEW))?;
    Ok(Resident { name: candidate.name.clone(), by_concurrency, after: (few, resident(process.pid())?) })
}

fn start(measuring: &Measuring<'_>, candidate: &Candidate, workers: u32) -> Result<(Process, u16)> {
    let (process, ports) = measuring.start(&[candidate], workers)?;
    let port = ports.first().copied().context("Envoy has no listener")?;
    Ok((process, port))
}

fn resident(pid: u32) -> Result<i64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("can't read {file}"))?;
    kib(&status).with_context(|| format!("{file} holds no VmRSS"))
}

fn kib(status: &str) -> Option<i64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(kib("VmPeak:\t 9 kB\nVmRSS:\t   61440 kB\nThreads:\t3\n"), Some(61_440));
        assert_eq!(kib("Threads:\t3\n"), None);
    }
}
