//! CPU as the scheduler accounts for it, and the cores that threads may use. Run time by thread is
//! exact to the nanosecond once a thread sleeps, and leaves out what other processes take of a core.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use anyhow::{Context, Result};

/// Long enough for a worker without work to go to sleep, which closes its account.
const SETTLE: Duration = Duration::from_millis(1);

/// Run time of each thread of a process, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTime(BTreeMap<u32, u64>);

impl RunTime {
    /// What the threads of a process have run so far.
    pub fn of(pid: u32) -> Result<Self> {
        thread::sleep(SETTLE);
        let mut by_thread = BTreeMap::new();
        for thread in threads(pid)? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")) else { continue };
            by_thread.insert(thread, run_time(&text).context("/proc/<pid>/task/<thread>/schedstat holds no number")?);
        }
        Ok(Self(by_thread))
    }

    /// Nanoseconds of all threads since `earlier`.
    pub fn since(&self, earlier: &Self) -> u64 {
        let ran = |(thread, now): (&u32, &u64)| now.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0));
        self.0.iter().map(ran).sum()
    }
}

/// `<ns on a core> <ns waiting for one> <times run>`.
fn run_time(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn threads(pid: u32) -> Result<Vec<u32>> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("can't list {folder}; the scheduler's accounts are read as Linux offers them"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// A core for Envoy and one for the load. The same, where there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    pub envoy: usize,
    pub load: usize,
}

#[cfg(target_os = "linux")]
mod pinning {
    use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

    use super::{Context, Cores, Result, threads};

    impl Cores {
        /// The first two that this process may use.
        pub fn choose() -> Result<Self> {
            let allowed = sched_getaffinity(None).context("can't ask for the cores of this process")?;
            let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
            let envoy = cores.next().context("this process may use no core")?;
            Ok(Self { envoy, load: cores.next().unwrap_or(envoy) })
        }

        /// Keeps all threads of Envoy on its core, and the calling thread on the other.
        pub fn pin(self, envoy: u32) -> Result<()> {
            for thread in threads(envoy)? {
                let thread = i32::try_from(thread).ok().and_then(Pid::from_raw);
                sched_setaffinity(thread, &only(self.envoy)).context("can't pin Envoy to a core")?;
            }
            sched_setaffinity(None, &only(self.load)).context("can't pin the load to a core")
        }
    }

    fn only(core: usize) -> CpuSet {
        let mut set = CpuSet::new();
        set.set(core);
        set
    }
}

#[cfg(not(target_os = "linux"))]
impl Cores {
    pub fn choose() -> Result<Self> {
        anyhow::bail!("only Linux says how long each thread ran; run this there")
    }

    pub fn pin(self, _: u32) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_time_on_a_core() {
        assert_eq!(run_time("3772091 12 1\n"), Some(3_772_091));
        assert_eq!(run_time(""), None);
    }

    #[test]
    fn a_thread_that_began_counts_whole_and_one_that_ended_not_at_all() {
        let earlier = RunTime([(1, 100), (2, 100)].into());
        let now = RunTime([(1, 150), (3, 7)].into());
        assert_eq!(now.since(&earlier), 57);
    }
}
