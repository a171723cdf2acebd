//! Every order in which several workers can get at the store, tried one after another: whatever happens, no limit admits
//! more than it has, and what failed requests took comes back.
//!
//! Each worker is a thread that waits before each call of the store until it is let on. One order is played to its end,
//! then the next one, which differs from it in its last choice that has another: so none is left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use portcullis_kit::{
    host::Clock,
    store::{Found, Over, Store, Version, Written},
};
use rate_limit::{
    debit::{Claim, Debtor, Seen, Taken, Trouble},
    line::{Arrival, Kind, Line},
    meter::{Ask, Decision, Leases, Meter},
    pool::{LineName, Partition},
    rate::{Rate, SECOND},
};

const NOW: u64 = 1_000_000 * SECOND;
const SECRET: u64 = 42;

/// A store as Envoy's: one lock, one counter of versions, nothing is deleted. Its clock goes on whenever it is asked.
#[derive(Default)]
struct Entries {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
    now: u64,
    step: u64,
}

/// The store, as one of the workers reaches it; the one without a turn is never made to wait.
#[derive(Clone, Default)]
struct Shared {
    entries: Arc<Mutex<Entries>>,
    turn: Option<(Arc<Turns>, usize)>,
}

impl Shared {
    fn wait(&self) {
        if let Some((turns, worker)) = &self.turn {
            turns.wait(*worker);
        }
    }
}

impl Clock for Shared {
    fn now(&mut self) -> u64 {
        // A clock that stands makes no difference between orders.
        if self.entries.lock().unwrap().step > 0 {
            self.wait();
        }
        let mut entries = self.entries.lock().unwrap();
        entries.now += entries.step;
        NOW + entries.now
    }
}

impl Store for Shared {
    fn get(&mut self, key: &[u8]) -> Found {
        self.wait();
        match self.entries.lock().unwrap().values.get(key) {
            Some((value, version)) => Found::Value(value.clone(), Version(*version)),
            None => Found::Nothing,
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        self.wait();
        let mut entries = self.entries.lock().unwrap();
        let there = entries.values.get(key).map(|(_, version)| Version(*version));
        let fits = match (over, there) {
            (Over::Nothing, there) => there.is_none(),
            (Over::Version(version), there) => there == Some(version),
        };
        if !fits {
            return Written::Lost;
        }
        entries.last += 1;
        let last = entries.last;
        entries.values.insert(key.to_vec(), (value.to_vec(), last));
        Written::Done
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Worker {
    Runs,
    Waits,
    Ended,
}

/// Who may go on.
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    workers: Vec<Worker>,
    /// What was chosen at each point where there was a choice, and how many there were.
    choices: Vec<(usize, usize)>,
    /// The next point.
    point: usize,
}

impl Turns {
    fn wait(&self, worker: usize) {
        let mut state = self.state.lock().unwrap();
        state.workers[worker] = Worker::Waits;
        state.let_one_on();
        self.changed.notify_all();
        while state.workers[worker] == Worker::Waits {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn end(&self, worker: usize) {
        let mut state = self.state.lock().unwrap();
        state.workers[worker] = Worker::Ended;
        state.let_one_on();
        self.changed.notify_all();
    }
}

impl State {
    /// Once nobody runs, one of those that wait is let on.
    fn let_one_on(&mut self) {
        if self.workers.contains(&Worker::Runs) {
            return;
        }
        let waiting: Vec<usize> = (0..self.workers.len()).filter(|at| self.workers[*at] == Worker::Waits).collect();
        if waiting.is_empty() {
            return;
        }
        if self.point == self.choices.len() {
            self.choices.push((0, waiting.len()));
        }
        let (chosen, _) = self.choices[self.point];
        self.point += 1;
        self.workers[waiting[chosen]] = Worker::Runs;
    }
}

/// Plays every order. `begin` makes the store, the workers give what became of them, `look` sees it.
fn in_every_order<T: Send>(
    begin: impl Fn() -> Shared,
    workers: &[&(dyn Fn(&Shared) -> T + Sync)],
    look: impl Fn(&Shared, Vec<T>),
) {
    let (mut choices, mut orders) = (Vec::new(), 0_u32);
    loop {
        let store = begin();
        let state = State { workers: vec![Worker::Runs; workers.len()], choices, point: 0 };
        let turns = Arc::new(Turns { state: Mutex::new(state), changed: Condvar::new() });
        let came = thread::scope(|scope| {
            let threads: Vec<_> = workers
                .iter()
                .enumerate()
                .map(|(at, worker)| {
                    let (turns, entries) = (Arc::clone(&turns), Arc::clone(&store.entries));
                    scope.spawn(move || {
                        let came = worker(&Shared { entries, turn: Some((Arc::clone(&turns), at)) });
                        turns.end(at);
                        came
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        look(&store, came);
        orders += 1;
        choices = std::mem::take(&mut turns.state.lock().unwrap().choices);
        while choices.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => break,
        }
    }
    assert!(orders > 1, "there was no choice at all");
}

struct Own(u32);

impl Leases for Own {
    fn lives(&self, _: u32) -> bool {
        true
    }

    fn own(&self) -> u32 {
        self.0
    }
}

/// A line by a letter.
fn line(kind: Kind, letter: &str) -> LineName {
    LineName { kind, partition: Partition::Reserved, number: letter.as_bytes()[0].into() }
}

/// A limit of `burst` an hour at a place of its own.
fn claim(name: &str, tag: u64, burst: u32) -> Claim {
    let meter = Meter::bucket(Rate { requests: burst, per: 3600 * SECOND }, burst);
    Claim { ask: Ask { meter, block_for: 0, longest_block: 0, tag, cost: 1 }, line: Some(line(Kind::Bucket, name)) }
}

fn take(store: &Shared, worker: u32, claims: &[Claim]) -> Result<bool, Trouble> {
    Ok(admitted_at(store, worker, claims)?.is_some())
}

/// When the last of the claims was admitted; `None` where one was refused.
fn admitted_at(store: &Shared, worker: u32, claims: &[Claim]) -> Result<Option<u64>, Trouble> {
    let debtor = Debtor { leases: &Own(worker), secret: SECRET };
    let answers = debtor.take(&mut store.clone(), claims, &mut Seen::default())?;
    let admits = answers.iter().all(|answer| matches!(answer.decision, Decision::Admitted { .. }));
    Ok(answers.iter().map(|answer| answer.at).max().filter(|_| admits))
}

/// What was taken a moment ago.
fn taken(claim: Claim) -> Taken {
    Taken { limit: 0, claim, at: NOW, whole_at: u64::MAX, by_status: false }
}

/// How many more a limit would admit.
fn left(store: &Shared, claim: &Claim) -> u32 {
    let mut admitted = 0;
    while take(store, 9, std::slice::from_ref(claim)).unwrap() {
        admitted += 1;
    }
    admitted
}

fn count(passed: &[bool]) -> usize {
    passed.iter().filter(|passed| **passed).count()
}

#[test]
fn of_three_workers_exactly_as_many_pass_as_there_are_tokens() {
    let one = |store: &Shared| take(store, 1, &[claim("a", 1, 2)]).unwrap();
    in_every_order(Shared::default, &[&one, &one, &one], |store, passed| {
        assert_eq!((count(&passed), left(store, &claim("a", 1, 2))), (2, 0));
    });
}

#[test]
fn a_worker_that_is_held_up_between_its_clock_and_its_store_admits_nothing_more() {
    // A token comes every hundred seconds, and each look at the clock takes sixty.
    let begin = || {
        let store = Shared::default();
        store.entries.lock().unwrap().step = 60 * SECOND;
        store
    };
    let Claim { ask, line } = claim("a", 1, 1);
    let slow = Claim { ask: Ask { meter: Meter::bucket(Rate { requests: 1, per: 100 * SECOND }, 1), ..ask }, line };
    let ask = |store: &Shared, times: usize| -> Vec<u64> {
        (0..times).filter_map(|_| admitted_at(store, 1, std::slice::from_ref(&slow)).unwrap()).collect()
    };
    in_every_order(begin, &[&|store| ask(store, 1), &|store| ask(store, 3)], |_, times| {
        let mut times: Vec<u64> = times.into_iter().flatten().collect();
        times.sort_unstable();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 100 * SECOND), "{times:?}");
    });
}

#[test]
fn neighbours_on_one_line_take_nothing_from_each_other() {
    let one = |store: &Shared| take(store, 1, &[claim("a", 1, 1)]).unwrap();
    let other = |store: &Shared| take(store, 2, &[claim("a", 2, 1)]).unwrap();
    in_every_order(Shared::default, &[&one, &other], |_, passed| assert_eq!(count(&passed), 2));
}

#[test]
fn two_limits_are_taken_both_or_none_in_whatever_order_they_are_named() {
    let both = |store: &Shared| take(store, 1, &[claim("a", 1, 1), claim("b", 1, 1)]).unwrap();
    let turned = |store: &Shared| take(store, 2, &[claim("b", 1, 1), claim("a", 1, 1)]).unwrap();
    in_every_order(Shared::default, &[&both, &turned], |store, passed| {
        // Each may spoil the other's chance; what they took is back then.
        let left = (left(store, &claim("a", 1, 1)), left(store, &claim("b", 1, 1)));
        assert!(count(&passed) <= 1);
        let expected = 1 - u32::try_from(count(&passed)).unwrap();
        assert_eq!(left, (expected, expected));
    });
}

#[test]
fn a_request_that_fails_at_its_second_limit_gives_the_first_back() {
    let both = |store: &Shared| take(store, 1, &[claim("a", 1, 2), claim("b", 1, 1)]).unwrap();
    in_every_order(Shared::default, &[&both, &both], |store, passed| {
        // They ask in one order: whoever is first at the second limit passes.
        assert_eq!(count(&passed), 1);
        assert_eq!((left(store, &claim("a", 1, 2)), left(store, &claim("b", 1, 1))), (1, 0));
    });
}

#[test]
fn what_is_given_back_is_there_again_and_nothing_else() {
    let begin = || {
        let store = Shared::default();
        assert!(take(&store, 1, &[claim("a", 1, 2)]).unwrap());
        store
    };
    let back = |store: &Shared| {
        let debtor = Debtor { leases: &Own(1), secret: SECRET };
        debtor.refund(&mut store.clone(), &taken(claim("a", 1, 2)), &mut Seen::default()).is_ok()
    };
    let other = |store: &Shared| take(store, 2, &[claim("a", 1, 2)]).unwrap();
    in_every_order(begin, &[&back, &other], |store, came| {
        assert_eq!((came, left(store, &claim("a", 1, 2))), (vec![true, true], 1));
    });
}

#[test]
fn streams_in_flight_never_exceed_the_limit_and_end_by_their_own_worker() {
    fn stream() -> Claim {
        let ask = Ask { meter: Meter::InFlight(1), tag: 1, cost: 1, ..claim("f", 1, 1).ask };
        Claim { ask, line: Some(line(Kind::InFlight, "f")) }
    }
    let inside = Mutex::new(0);
    let visit = |store: &Shared, worker: u32| {
        let passed = take(store, worker, &[stream()]).unwrap();
        if passed {
            *inside.lock().unwrap() += 1;
            assert_eq!(*inside.lock().unwrap(), 1);
            // Others come and go while it is in.
            store.wait();
            *inside.lock().unwrap() -= 1;
            let debtor = Debtor { leases: &Own(worker), secret: SECRET };
            debtor.refund(&mut store.clone(), &taken(stream()), &mut Seen::default()).unwrap();
        }
        passed
    };
    in_every_order(Shared::default, &[&|store| visit(store, 1), &|store| visit(store, 2)], |store, passed| {
        assert!(count(&passed) >= 1);
        assert!(take(store, 3, &[stream()]).unwrap(), "all streams have ended");
    });
}

#[test]
fn of_two_new_keys_one_gets_the_last_free_record_and_the_other_is_told() {
    let begin = || {
        let mut store = Shared::default();
        let mut full = Line::empty(Kind::Bucket);
        for tag in 100..115 {
            let (record, _) = full.bucket(tag, NOW, 0).unwrap();
            full.put_bucket(record, tag, Arrival { arrival: NOW + SECOND, blocked_until: 0 });
        }
        let name = line(Kind::Bucket, "a").bytes();
        assert_eq!(store.put(&name, full.sealed(SECRET), Over::Nothing), Written::Done);
        store
    };
    let one = |store: &Shared| take(store, 1, &[claim("a", 1, 1)]).unwrap();
    let other = |store: &Shared| take(store, 2, &[claim("a", 2, 1)]).unwrap();
    in_every_order(begin, &[&one, &other], |_, passed| assert_eq!(count(&passed), 1));
}
