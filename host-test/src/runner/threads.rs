//! One piece of work for each of many things, on as many threads as there are cores.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// As the main thread has on Linux: what plays there plays here.
const STACK: usize = 8 << 20;

/// Results stand in the order of `all`, whichever thread was first. A panic in `work` goes on here.
pub fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(all.len()));
    let work_on = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = all.get(index) else { break };
            let result = work(thing);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(all.len());
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work_on).is_ok();
        let started = (0..threads).map(start).filter(|started| *started).count();
        // A system may have no room for a thread more.
        if started == 0 {
            work_on();
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_work_whoever_is_first() {
        let all: Vec<u64> = (0..200).collect();
        let doubled = each(&all, |number| {
            // The later, the sooner.
            (0..(200 - number) * 50).for_each(|spin| assert!(std::hint::black_box(spin) < 10_000));
            number * 2
        });
        assert_eq!(doubled, (0..200).map(|number| number * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u64], |number| *number).is_empty());
    }

    #[test]
    fn where_there_are_two_cores_two_things_are_worked_on_at_once() {
        if thread::available_parallelism().map_or(1, NonZero::get) < 2 {
            return;
        }
        // Each waits for the other to begin.
        let begun = std::sync::Barrier::new(2);
        assert_eq!(each(&[1, 2], |_| begun.wait().is_leader()).into_iter().filter(|first| *first).count(), 1);
    }
}
