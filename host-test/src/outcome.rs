//! What a host saw of a scenario. Every host produces the same shape, so that they can be compared.

use std::collections::BTreeMap;

use crate::world::trace::Entry;

/// What one host saw of one scenario.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Why the configuration was refused, or `None` where it was taken.
    pub refused: Option<String>,
    /// One entry for each time that a step was played.
    pub plays: Vec<Play>,
    /// What the proxy logged while the configuration was read.
    pub startup_log: Vec<String>,
    /// Where calls are kept: those of the worker's VM at its start, then those of each play.
    pub traces: Vec<Vec<Entry>>,
    /// What is dangerous in what the modules did, in Wasmtime; each once.
    pub hazards: Vec<String>,
    /// Where a filter trapped, in Wasmtime.
    pub traps: Vec<String>,
    /// The scenario's faults that never came to pass, as sentences.
    pub missed: Vec<String>,
}

/// One step, played once.
#[derive(Clone, Debug, Default)]
pub struct Play {
    /// Index of the step in its scenario.
    pub step: usize,
    /// How the bodies were cut.
    pub cut: Cut,
    /// Whether the step's update was taken.
    pub taken: Option<bool>,
    /// What the client received; `None` where the connection ended without a response.
    pub client: Option<Message>,
    /// What the upstream received; `None` where it wasn't reached.
    pub upstream: Option<Message>,
    /// What the upstream received behind that: further attempts, and redirected requests.
    pub further: Vec<Message>,
    /// Why nothing can be said of what the upstream received, where Envoy leaves it to chance.
    pub chance: Option<&'static str>,
    /// The filter's record in filter state.
    pub record: Option<String>,
    /// How much each of the filter's counters grew; those that didn't are left out.
    pub metrics: BTreeMap<String, i64>,
    /// What the filter logged.
    pub log: Vec<String>,
    /// What of the step wasn't played, as sentences: faults that never came to pass, events beyond a bound.
    pub missed: Vec<String>,
}

/// Where the bodies of a step are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// As the scenario writes them.
    #[default]
    AsWritten,
    /// In two, after so many bytes.
    After(usize),
    /// Every byte on its own.
    EveryByte,
}

impl Cut {
    /// The chunks of a body under this cut; none of them empty.
    pub fn pieces(self, as_written: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self {
            Self::AsWritten => as_written,
            Self::After(at) => {
                let whole = as_written.concat();
                let (head, tail) = whole.split_at(at.min(whole.len()));
                [head, tail].into_iter().filter(|piece| !piece.is_empty()).map(<[u8]>::to_vec).collect()
            }
            Self::EveryByte => as_written.concat().into_iter().map(|byte| vec![byte]).collect(),
        }
    }
}

/// A request or a response as one side received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `method path` of a request, or the status of a response.
    pub start: String,
    /// Lower-case names without pseudo-headers, in order, duplicates kept.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether the message came to its end, rather than being cut off.
    pub complete: bool,
}

impl Message {
    /// All values of a header, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.headers.iter().filter(move |(candidate, _)| candidate == name).map(|(_, value)| value.as_slice())
    }
}
