//! Stats as Envoy keeps them for its filters.
//!
//! 1. A name gives one stat, however often it is defined; every definition gives a new id.
//! 2. Ids belong to a VM and tell the kind by their two low bits: counters 4, 8, …, gauges 5, 9, …,
//!    histograms 6, 10, ….
//! 3. A counter grows only, and recording on it adds; a histogram is only recorded on. Values are 64
//!    bits without a sign, and wrap.

use std::collections::{BTreeMap, HashMap};

use super::status::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().find(|kind| *kind as u32 == number)
    }
}

/// The name of a stat as the proxy shows it: without dots at its end, and each byte a letter where it isn't
/// text.
pub fn name(bytes: &[u8]) -> String {
    let name =
        std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), ToOwned::to_owned);
    name.trim_end_matches('.').to_owned()
}

/// The stats of the process; without `wasmcustom.` in front of their names.
#[derive(Debug, Default)]
pub struct Metrics {
    values: BTreeMap<(Kind, String), i64>,
}

impl Metrics {
    /// How many there are, of every kind.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The counters that have ever grown, or were defined.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        let counters = self.values.iter().filter(|((kind, _), _)| *kind == Kind::Counter);
        counters.map(|((_, name), value)| (name.clone(), *value)).collect()
    }
}

/// The metrics that one VM has defined.
#[derive(Debug, Default)]
pub struct Defined {
    names: HashMap<u32, String>,
    counts: HashMap<Kind, u32>,
}

impl Defined {
    pub fn define(&mut self, metrics: &mut Metrics, kind: u32, name: &str) -> Result<u32, Status> {
        let kind = Kind::from_number(kind).ok_or(Status::BadArgument)?;
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let id = *count * 4 + kind as u32;
        metrics.values.entry((kind, name.to_owned())).or_default();
        self.names.insert(id, name.to_owned());
        Ok(id)
    }

    pub fn increment(&self, metrics: &mut Metrics, id: u32, by: i64) -> Result<(), Status> {
        let (kind, value) = self.find(metrics, id)?;
        match kind {
            Kind::Counter if by <= 0 => Err(Status::BadArgument),
            Kind::Histogram => Err(Status::BadArgument),
            _ => {
                *value = value.wrapping_add(by);
                Ok(())
            }
        }
    }

    pub fn record(&self, metrics: &mut Metrics, id: u32, amount: u64) -> Result<(), Status> {
        let (kind, value) = self.find(metrics, id).map_err(|_| Status::NotFound)?;
        let amount = amount.cast_signed();
        match kind {
            Kind::Counter => *value = value.wrapping_add(amount),
            Kind::Gauge | Kind::Histogram => *value = amount,
        }
        Ok(())
    }

    pub fn get(&self, metrics: &mut Metrics, id: u32) -> Result<u64, Status> {
        match self.find(metrics, id)? {
            (Kind::Histogram, _) => Err(Status::BadArgument),
            (_, value) => Ok(value.cast_unsigned()),
        }
    }

    /// What a metric is called.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// An unknown id is not found where its low bits name a kind that can be read.
    fn find<'a>(&self, metrics: &'a mut Metrics, id: u32) -> Result<(Kind, &'a mut i64), Status> {
        let kind = Kind::from_number(id & 3).ok_or(Status::BadArgument)?;
        let unknown = if kind == Kind::Histogram { Status::BadArgument } else { Status::NotFound };
        let name = self.names.get(&id).ok_or(unknown)?;
        metrics.values.get_mut(&(kind, name.clone())).map(|value| (kind, value)).ok_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_a_new_id_of_the_same_stat() {
        let (mut metrics, mut defined) = (Metrics::default(), Defined::default());
        let first = defined.define(&mut metrics, 0, "a").unwrap();
        let second = defined.define(&mut metrics, 0, "a").unwrap();
        let gauge = defined.define(&mut metrics, 1, "g").unwrap();
        assert_eq!((first, second, gauge), (4, 8, 5));
        defined.increment(&mut metrics, first, 2).unwrap();
        defined.record(&mut metrics, second, 3).unwrap();
        assert_eq!(defined.get(&mut metrics, second), Ok(5), "recording on a counter adds");
        assert_eq!(metrics.counters(), BTreeMap::from([("a".into(), 5)]));
    }

    #[test]
    fn a_counter_never_shrinks_and_a_histogram_is_never_read() {
        let (mut metrics, mut defined) = (Metrics::default(), Defined::default());
        let counter = defined.define(&mut metrics, 0, "a").unwrap();
        let gauge = defined.define(&mut metrics, 1, "g").unwrap();
        let histogram = defined.define(&mut metrics, 2, "h").unwrap();
        assert_eq!(defined.increment(&mut metrics, counter, 0), Err(Status::BadArgument));
        assert_eq!(defined.increment(&mut metrics, gauge, -1), Ok(()));
        assert_eq!(defined.get(&mut metrics, gauge), Ok(u64::MAX));
        assert_eq!(defined.record(&mut metrics, histogram, 1), Ok(()));
        assert_eq!(defined.get(&mut metrics, histogram), Err(Status::BadArgument));
    }

    #[test]
    fn a_name_loses_its_last_dots_and_keeps_its_bytes() {
        assert_eq!(name(b"a..b.."), "a..b");
        assert_eq!(name(b"a\xff"), "a\u{ff}");
    }

    #[test]
    fn unknown_ids_and_kinds_are_told_apart() {
        let (mut metrics, mut defined) = (Metrics::default(), Defined::default());
        assert_eq!(defined.define(&mut metrics, 3, "a"), Err(Status::BadArgument));
        assert_eq!(defined.increment(&mut metrics, 4, 1), Err(Status::NotFound));
        assert_eq!(defined.get(&mut metrics, 6), Err(Status::BadArgument));
        assert_eq!(defined.record(&mut metrics, 7, 1), Err(Status::NotFound));
    }
}
