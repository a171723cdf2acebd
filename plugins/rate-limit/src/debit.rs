//! Several limits, taken all or none, over a store in which others write at the same time.
//!
//! 1. Each line is read once; limits on the same line share it. The clock is asked behind each reading, never before: so
//!    what another wrote meanwhile is never in the future, unless the clock itself stepped back.
//! 2. Every limit is asked before anything is written. If one refuses, nothing is taken; at most it is written that
//!    its key is blocked from now on.
//! 3. If all admit, each line is written over the very value that was read. Where another was faster, that line is
//!    read and asked again; should it refuse now, what was taken from the others is given back. So no order of
//!    events admits more than the limits do. What can happen is that a request is refused for what another
//!    request, which failed, gives back a moment later.
//! 4. After [`RACES`] lost races the request is refused: it lost each of them to one that was admitted.

use portcullis_kit::{
    host::Clock,
    store::{Found, Over, Store, Written},
};

use crate::{
    line::Line,
    meter::{Ask, Decision, Leases},
    pool::LineName,
};

/// Lost races that one request may suffer.
pub const RACES: u32 = 32;

/// A limit, and where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub ask: Ask,
    /// Where its record lies; `None` where nothing is kept.
    pub line: Option<LineName>,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The store doesn't let this filter in.
    Closed,
    /// A value in the store isn't ours. It was replaced by one in which all is spent.
    Foreign,
    /// Too many races were lost.
    Contended,
}

/// What is counted beside the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub lost_races: u32,
    pub evictions: u32,
    /// Takings that couldn't be given back.
    pub kept_back: u32,
}

/// What a claim is answered, and when it was asked: nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub decision: Decision,
    pub at: u64,
}

impl Answered {
    /// When all that was taken up to now has come back by itself.
    pub fn whole_at(&self) -> u64 {
        match self.decision {
            Decision::Admitted { whole_in, .. } => self.at.saturating_add(whole_in),
            _ => self.at,
        }
    }
}

/// What a stream took, and may give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Position of the limit.
    pub limit: usize,
    pub claim: Claim,
    pub at: u64,
    /// When the bucket is whole again, if nobody else takes from it.
    pub whole_at: u64,
    /// Whether the response's status decides if it is given back.
    pub by_status: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Debtor<'a, L> {
    pub leases: &'a L,
    /// Of the lines' checks.
    pub secret: u64,
}

/// A line as it was read, with what was taken from it since.
struct Held {
    name: LineName,
    line: Line,
    over: Over,
    is_written: bool,
}

impl<L: Leases> Debtor<'_, L> {
    /// Takes what every claim asks for, or nothing. The answers are those of the claims, in their order; not all
    /// admit if one refuses.
    ///
    /// # Errors
    /// Nothing can be said; nothing was taken.
    pub fn take(
        &self,
        store: &mut (impl Store + Clock),
        claims: &[impl AsRef<Claim>],
        seen: &mut Seen,
    ) -> Result<Vec<Answered>, Trouble> {
        let mut lines = Vec::with_capacity(claims.len());
        let mut answers = vec![Answered { decision: Decision::NEVER, at: 0 }; claims.len()];
        let taken = self.take_all(store, claims, &mut lines, &mut answers, seen);
        if taken.is_err() || answers.iter().any(|answer| answer.decision.refuses()) {
            for held in lines.iter().filter(|held| held.is_written) {
                let back = self.give_back(store, held.name, claims, &answers, seen);
                seen.kept_back += u32::from(back.is_err());
            }
            for (claim, _) in claims.iter().zip(&answers).filter(|(_, answer)| answer.decision.is_news()) {
                self.note_refusal(store, claim.as_ref(), seen);
            }
        }
        taken.map(|()| answers)
    }

    fn take_all(
        &self,
        store: &mut (impl Store + Clock),
        claims: &[impl AsRef<Claim>],
        lines: &mut Vec<Held>,
        answers: &mut [Answered],
        seen: &mut Seen,
    ) -> Result<(), Trouble> {
        for name in claims.iter().filter_map(|claim| claim.as_ref().line) {
            if lines.iter().all(|held: &Held| held.name != name) {
                lines.push(self.read(store, name)?);
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let now = store.now();
        for held in lines.iter_mut() {
            self.ask(held, now, claims, answers);
        }
        while !answers.iter().any(|answer| answer.decision.refuses()) {
            let Some(held) = lines.iter_mut().find(|held| !held.is_written) else { break };
            match store.put(&held.name.bytes(), held.line.sealed(self.secret), held.over) {
                Written::Done => {
                    held.is_written = true;
                    seen.evictions += held.line.evictions;
                }
                Written::Unwritable => return Err(Trouble::Closed),
                Written::Lost => {
                    seen.lost_races += 1;
                    if seen.lost_races >= RACES {
                        return Err(Trouble::Contended);
                    }
                    *held = self.read(store, held.name)?;
                    self.ask(held, store.now(), claims, answers);
                }
            }
        }
        Ok(())
    }

    /// Lets every claim on the line take what it asks for.
    fn ask(&self, held: &mut Held, now: u64, claims: &[impl AsRef<Claim>], answers: &mut [Answered]) {
        let claims = claims.iter().map(AsRef::as_ref).zip(answers);
        for (claim, answer) in claims.filter(|(claim, _)| claim.line == Some(held.name)) {
            *answer = Answered { decision: claim.ask.take(&mut held.line, now, self.leases), at: now };
        }
    }

    fn read(&self, store: &mut (impl Store + Clock), name: LineName) -> Result<Held, Trouble> {
        let kind = name.kind;
        let (line, over) = match store.get(&name.bytes()) {
            Found::Unreadable => return Err(Trouble::Closed),
            Found::Nothing => (Line::empty(kind), Over::Nothing),
            Found::Value(bytes, version) => match Line::read(kind, bytes, self.secret) {
                Ok(line) => (line, Over::Version(version)),
                Err(_) => {
                    let mut spoilt = Line::spoilt(kind, store.now());
                    // Should this race be lost, the next request does it.
                    store.put(&name.bytes(), spoilt.sealed(self.secret), Over::Version(version));
                    return Err(Trouble::Foreign);
                }
            },
        };
        Ok(Held { name, line, over, is_written: false })
    }

    /// Gives back what the claims on a line took.
    fn give_back(
        &self,
        store: &mut (impl Store + Clock),
        name: LineName,
        claims: &[impl AsRef<Claim>],
        answers: &[Answered],
        seen: &mut Seen,
    ) -> Result<(), Trouble> {
        self.update(store, name, seen, |line, now| {
            let claims = claims.iter().map(AsRef::as_ref).zip(answers);
            for (claim, answer) in claims.filter(|(claim, _)| claim.line == Some(name)) {
                claim.ask.give_back(line, answer.at, answer.whole_at(), now, self.leases);
            }
        })
    }

    /// Gives back what one claim took.
    ///
    /// # Errors
    /// It couldn't be given back.
    pub fn refund(&self, store: &mut (impl Store + Clock), taken: &Taken, seen: &mut Seen) -> Result<(), Trouble> {
        let Some(name) = taken.claim.line else { return Ok(()) };
        self.update(store, name, seen, |line, now| {
            taken.claim.ask.give_back(line, taken.at, taken.whole_at, now, self.leases);
        })
    }

    /// Keeps a claim's key out for so long.
    ///
    /// # Errors
    /// It couldn't be written.
    pub fn block(
        &self,
        store: &mut (impl Store + Clock),
        claim: &Claim,
        wait: u64,
        seen: &mut Seen,
    ) -> Result<(), Trouble> {
        let Some(name) = claim.line else { return Ok(()) };
        self.update(store, name, seen, |line, now| claim.ask.block(line, now, wait))
    }

    /// Writes that a key was refused, where that means something for later requests.
    fn note_refusal(&self, store: &mut (impl Store + Clock), claim: &Claim, seen: &mut Seen) {
        let Some(name) = claim.line else { return };
        // Should it not succeed, the next refusal does.
        let _ = self.update(store, name, seen, |line, now| {
            let mut refused = line.clone();
            if matches!(claim.ask.take(&mut refused, now, self.leases), Decision::Refused { .. }) {
                *line = refused;
            }
        });
    }

    /// Changes a line, and again where another was faster. The change is told the time.
    fn update(
        &self,
        store: &mut (impl Store + Clock),
        name: LineName,
        seen: &mut Seen,
        change: impl Fn(&mut Line, u64),
    ) -> Result<(), Trouble> {
        for _ in 0..RACES {
            let mut held = self.read(store, name)?;
            change(&mut held.line, store.now());
            if held.line.changes() == 0 {
                return Ok(());
            }
            match store.put(&name.bytes(), held.line.sealed(self.secret), held.over) {
                Written::Done => return Ok(()),
                Written::Unwritable => return Err(Trouble::Closed),
                Written::Lost => seen.lost_races += 1,
            }
        }
        Err(Trouble::Contended)
    }
}

impl AsRef<Claim> for Claim {
    fn as_ref(&self) -> &Claim {
        self
    }
}
