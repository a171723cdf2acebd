//! Every order in which several workers can get at the store, tried one after another (loom): whatever happens, no limit
//! admits more than it has, and what failed requests took comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use loom::{
    sync::{Arc, Mutex},
    thread,
};
use portcullis_kit::store::{Found, Over, Store, Version, Written};
use rate_limit::{
    debit::{Claim, Moment, Seen, Trouble},
    line::{Arrival, Kind, Line},
    meter::{Ask, Decision, Leases, Meter},
    pool::LineName,
    rate::{Rate, SECOND},
};

const NOW: u64 = 1_000_000 * SECOND;
const SECRET: u64 = 42;

/// A store as Envoy's: one lock, one counter of versions, nothing is deleted.
#[derive(Default)]
struct Entries {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Entries>>);

impl Store for Shared {
    fn get(&mut self, key: &[u8]) -> Found {
        match self.0.lock().unwrap().values.get(key) {
            Some((value, version)) => Found::Value(value.clone(), Version(*version)),
            None => Found::Nothing,
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        let mut entries = self.0.lock().unwrap();
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

struct Own(u32);

impl Leases for Own {
    fn lives(&self, _: u32) -> bool {
        true
    }

    fn own(&self) -> u32 {
        self.0
    }
}

/// A line of any name.
fn line(name: &str) -> LineName {
    let mut line = [0; _];
    line[..name.len()].copy_from_slice(name.as_bytes());
    line
}

/// A limit of `burst` an hour at a place of its own.
fn claim(name: &str, tag: u64, burst: u32) -> Claim {
    let meter = Meter::bucket(Rate { requests: burst, per: 3600 * SECOND }, burst);
    Claim { ask: Ask { meter, block_for: 0, longest_block: 0, tag, cost: 1 }, line: line(name) }
}

fn take(store: &Shared, worker: u32, claims: &[Claim]) -> Result<bool, Trouble> {
    let moment = Moment { now: NOW, leases: &Own(worker), secret: SECRET };
    let decisions = moment.take(&mut store.clone(), claims, &mut Seen::default())?;
    Ok(decisions.iter().all(|decision| matches!(decision, Decision::Admitted { .. })))
}

/// How many more a limit would admit.
fn left(store: &Shared, claim: &Claim) -> u32 {
    let mut admitted = 0;
    while take(store, 9, std::slice::from_ref(claim)).unwrap() {
        admitted += 1;
    }
    admitted
}

/// Lets each worker take its claims at the same time, in every order there is, and looks at how many passed.
fn in_every_order(
    workers: &'static [fn() -> Vec<Claim>],
    preemptions: usize,
    look: impl Fn(&Shared, &[bool]) + Sync + Send + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let store = Shared::default();
        let threads: Vec<_> = workers
            .iter()
            .enumerate()
            .map(|(worker, claims)| {
                let store = store.clone();
                thread::spawn(move || take(&store, worker as u32 + 1, &claims()).unwrap())
            })
            .collect();
        let passed: Vec<bool> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        look(&store, &passed);
    });
}

fn count(passed: &[bool]) -> usize {
    passed.iter().filter(|passed| **passed).count()
}

#[test]
fn of_three_workers_exactly_as_many_pass_as_there_are_tokens() {
    fn two_tokens() -> Vec<Claim> {
        vec![claim("a", 1, 2)]
    }
    in_every_order(&[two_tokens, two_tokens, two_tokens], 3, |store, passed| {
        assert_eq!((count(passed), left(store, &claim("a", 1, 2))), (2, 0));
    });
}

#[test]
fn neighbours_on_one_line_take_nothing_from_each_other() {
    fn one() -> Vec<Claim> {
        vec![claim("a", 1, 1)]
    }
    fn other() -> Vec<Claim> {
        vec![claim("a", 2, 1)]
    }
    in_every_order(&[one, other], 6, |_, passed| assert_eq!(count(passed), 2));
}

#[test]
fn two_limits_are_taken_both_or_none_in_whatever_order_they_are_named() {
    fn both() -> Vec<Claim> {
        vec![claim("a", 1, 1), claim("b", 1, 1)]
    }
    fn turned() -> Vec<Claim> {
        vec![claim("b", 1, 1), claim("a", 1, 1)]
    }
    in_every_order(&[both, turned], 6, |store, passed| {
        // Each may spoil the other's chance; what they took is back then.
        let (a, b) = (left(store, &claim("a", 1, 1)), left(store, &claim("b", 1, 1)));
        assert!(count(passed) <= 1);
        let expected = 1 - u32::try_from(count(passed)).unwrap();
        assert_eq!((a, b), (expected, expected));
    });
}

#[test]
fn a_request_that_fails_at_its_second_limit_gives_the_first_back() {
    fn both() -> Vec<Claim> {
        vec![claim("a", 1, 2), claim("b", 1, 1)]
    }
    in_every_order(&[both, both], 6, |store, passed| {
        // They ask in one order: whoever is first at the second limit passes.
        assert_eq!(count(passed), 1);
        assert_eq!((left(store, &claim("a", 1, 2)), left(store, &claim("b", 1, 1))), (1, 0));
    });
}

#[test]
fn what_is_given_back_is_there_again_and_nothing_else() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(6);
    model.check(|| {
        let store = Shared::default();
        assert!(take(&store, 1, &[claim("a", 1, 2)]).unwrap());
        let back = {
            let store = store.clone();
            thread::spawn(move || {
                let moment = Moment { now: NOW, leases: &Own(1), secret: SECRET };
                moment.refund(&mut store.clone(), &claim("a", 1, 2), NOW, &mut Seen::default()).unwrap();
            })
        };
        let passed = take(&store, 2, &[claim("a", 1, 2)]).unwrap();
        back.join().unwrap();
        assert!(passed);
        assert_eq!(left(&store, &claim("a", 1, 2)), 1);
    });
}

#[test]
fn streams_in_flight_never_exceed_the_limit_and_end_by_their_own_worker() {
    fn stream() -> Claim {
        Claim {
            ask: Ask { meter: Meter::InFlight(1), block_for: 0, longest_block: 0, tag: 1, cost: 1 },
            line: line("f"),
        }
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let (store, inside) = (Shared::default(), Arc::new(Mutex::new(0_u32)));
        let threads: Vec<_> = (1..=2)
            .map(|worker| {
                let (store, inside) = (store.clone(), inside.clone());
                thread::spawn(move || {
                    if take(&store, worker, &[stream()]).unwrap() {
                        *inside.lock().unwrap() += 1;
                        assert_eq!(*inside.lock().unwrap(), 1);
                        *inside.lock().unwrap() -= 1;
                        let moment = Moment { now: NOW, leases: &Own(worker), secret: SECRET };
                        moment.refund(&mut store.clone(), &stream(), NOW, &mut Seen::default()).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(take(&store, 3, &[stream()]).unwrap(), "all streams have ended");
    });
}

#[test]
fn of_two_new_keys_one_gets_the_last_free_record_and_the_other_is_told() {
    fn newcomer(tag: u64) -> Claim {
        claim("a", tag, 1)
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(6);
    model.check(|| {
        let mut store = Shared::default();
        let mut line = Line::empty(Kind::Bucket);
        for tag in 100..115 {
            let (record, _) = line.bucket(tag, NOW, 0).unwrap();
            line.put_bucket(record, tag, Arrival { arrival: NOW + SECOND, blocked_until: 0 });
        }
        assert_eq!(store.put(&self::line("a"), line.sealed(SECRET), Over::Nothing), Written::Done);
        let other = {
            let store = store.clone();
            thread::spawn(move || take(&store, 1, &[newcomer(1)]).unwrap())
        };
        let one = take(&store, 2, &[newcomer(2)]).unwrap();
        assert!(one != other.join().unwrap());
    });
}
