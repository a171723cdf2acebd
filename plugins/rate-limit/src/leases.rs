//! Which VMs hold streams, so that those of a VM that died are given back.
//!
//! 1. A VM that counts streams in flight writes a random id into a table in the store, and raises its number there with
//!    each tick. Its streams are counted under that id.
//! 2. Whoever sees a number stand still for [`MISSED`] ticks of his own takes the id out: that VM is gone, or was
//!    blocked so long that it must come back under another id. No clock is asked, so none can step.
//! 3. An id that isn't known counts as alive until the table was read again.

use std::cell::{Cell, RefCell};

use portcullis_kit::store::{Found, Over, Store, Written};

use crate::{debit::RACES, meter, pool};

/// Between two ticks, in milliseconds.
pub const TICK: u32 = 5_000;
/// Ticks after which a VM that was silent is taken for dead. The streams of a VM that traps come back within
/// five ticks, 25 s.
pub const MISSED: u32 = 3;
/// VMs that can hold streams at the same time; a further one refuses. Each update of the configuration makes one of each
/// worker, and the old ones are gone within half a minute.
pub const MOST: usize = 1024;

const MAGIC: &[u8; 4] = b"PCRV";

/// The table in the store: id and number of each VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table(Vec<(u32, u32)>);

impl Table {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut body = Vec::new();
        for (id, beat) in &self.0 {
            body.extend(id.to_le_bytes());
            body.extend(beat.to_le_bytes());
        }
        bytes.extend(pool::sum(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, body) = rest.split_first_chunk::<4>()?;
        let (pairs, []) = body.as_chunks() else { return None };
        if magic != MAGIC || *sum != pool::sum(body).to_le_bytes() {
            return None;
        }
        // The id in the lower half.
        let pair = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        Some(Self(pairs.iter().map(pair).map(|pair| (pair as u32, (pair >> 32) as u32)).collect()))
    }
}

/// Another VM, as this one sees it.
#[derive(Clone, Copy, Debug)]
struct Watched {
    id: u32,
    beat: u32,
    /// Ticks for which the number has stood still.
    still: u32,
}

/// What a VM knows of all that hold streams.
#[derive(Debug, Default)]
pub struct Leases {
    /// 0: none yet.
    own: u32,
    alive: Vec<Watched>,
    dead: Vec<u32>,
    /// Asked for, and not known.
    unknown: RefCell<Vec<u32>>,
    asked: Cell<bool>,
}

impl meter::Leases for Leases {
    fn lives(&self, id: u32) -> bool {
        if id == self.own || self.alive.iter().any(|watched| watched.id == id) {
            return true;
        }
        if self.dead.contains(&id) {
            return false;
        }
        self.asked.set(true);
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < MOST && !unknown.contains(&id) {
            unknown.push(id);
        }
        true
    }

    fn own(&self) -> u32 {
        self.own
    }
}

impl Leases {
    /// Has an id in the table from now on; `false` where there is no room or no store.
    pub fn hold(&mut self, store: &mut impl Store, random: u32) -> bool {
        if self.own != 0 {
            return true;
        }
        let id = random.max(1);
        let held = self.change(store, &|table| {
            let fits = table.0.len() < MOST && table.0.iter().all(|(other, _)| *other != id);
            if fits {
                table.0.push((id, 0));
            }
            fits
        });
        if held {
            self.own = id;
        }
        held
    }

    /// Finds out about ids that weren't known; whether there were any.
    pub fn look_up(&mut self, store: &mut impl Store) -> bool {
        if !self.asked.take() {
            return false;
        }
        let table = read(store).0;
        let unknown = std::mem::take(self.unknown.get_mut());
        if self.dead.len() >= MOST {
            self.dead.clear();
        }
        for id in unknown {
            match table.0.iter().find(|(known, _)| *known == id) {
                Some((_, beat)) => self.alive.push(Watched { id, beat: *beat, still: 0 }),
                None => self.dead.push(id),
            }
        }
        true
    }

    /// A tick has passed: the own number is raised, and who stood still too long is taken out.
    pub fn tick(&mut self, store: &mut impl Store) {
        let table = read(store).0;
        for watched in &mut self.alive {
            match table.0.iter().find(|(id, _)| *id == watched.id) {
                Some((_, beat)) if *beat == watched.beat => watched.still += 1,
                Some((_, beat)) => (watched.beat, watched.still) = (*beat, 0),
                None => watched.still = u32::MAX,
            }
        }
        for (id, beat) in &table.0 {
            if *id != self.own && self.alive.iter().all(|watched| watched.id != *id) {
                self.alive.push(Watched { id: *id, beat: *beat, still: 0 });
            }
        }
        let gone: Vec<(u32, u32)> = self
            .alive
            .iter()
            .filter(|watched| watched.still >= MISSED)
            .map(|watched| (watched.id, watched.beat))
            .collect();
        let own = self.own;
        let is_held = self.change(store, &|table| {
            table.0.retain(|entry| !gone.contains(entry));
            let beat = table.0.iter_mut().find(|(id, _)| *id == own).map(|(_, beat)| *beat = beat.wrapping_add(1));
            own == 0 || beat.is_some()
        });
        if !is_held {
            // Taken for dead: whatever is counted under the old id is nobody's any more.
            self.dead.push(own);
            self.own = 0;
        }
        self.alive.retain(|watched| watched.still < MISSED);
        self.dead.extend(gone.into_iter().map(|(id, _)| id));
        if self.dead.len() > MOST {
            self.dead.clear();
        }
    }

    /// Changes the table; `false` where `change` says so, or the store can't be written.
    fn change(&self, store: &mut impl Store, change: &dyn Fn(&mut Table) -> bool) -> bool {
        for _ in 0..RACES {
            let (before, over) = read(store);
            let mut table = before.clone();
            let answer = change(&mut table);
            if table == before {
                return answer;
            }
            match over.map(|over| store.put(&name(), &table.to_bytes(), over)) {
                Some(Written::Done) => return answer,
                Some(Written::Lost) => {}
                Some(Written::Unwritable) | None => return false,
            }
        }
        false
    }
}

/// The table, and what it would be written over. A foreign value is an empty table: every VM comes back under a new id.
fn read(store: &mut impl Store) -> (Table, Option<Over>) {
    match store.get(&name()) {
        Found::Nothing => (Table::default(), Some(Over::Nothing)),
        Found::Value(bytes, version) => (Table::from_bytes(&bytes).unwrap_or_default(), Some(Over::Version(version))),
        Found::Unreadable => (Table::default(), None),
    }
}

fn name() -> Vec<u8> {
    pool::name_of("leases")
}
