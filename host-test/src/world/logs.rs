//! The proxy's log, as far as the filter writes it, and what this host has to say beside it.

/// proxy-wasm's levels, in its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl Level {
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical]
            .into_iter()
            .find(|level| *level as u32 == number)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Bytes that a filter can log in one scenario, all of which are kept.
const LARGEST: usize = 256 << 20;
/// What is kept beside the text of each line.
const BESIDE: usize = 64;

/// Before every line of this host; a filter's begin with their level.
const HOST: &str = "host ";

/// Lines that nobody has taken yet. The threshold is `trace`, so that nothing a filter would write
/// in some proxy stays unseen.
#[derive(Debug, Default)]
pub struct Logs {
    /// Bytes of all lines of the filter's own, also of those that were taken.
    said: usize,
    /// Each with the thread that said it.
    lines: Vec<(usize, String)>,
    /// The thread that runs: 0 is the main one, 1 the first worker.
    pub thread: usize,
}

impl Logs {
    pub const THRESHOLD: Level = Level::Trace;

    /// A line of the filter's own.
    pub fn said(&mut self, level: Level, text: &str) {
        let before = self.said;
        self.said = self.said.saturating_add(text.len() + BESIDE);
        match (before > LARGEST, self.said > LARGEST) {
            (true, _) => {}
            (false, true) => self.write(
                Level::Error,
                &format!("more than {} MiB were logged in this scenario; the rest is left out", LARGEST >> 20),
            ),
            (false, false) => self.lines.push((self.thread, format!("{}: {text}", level.name()))),
        }
    }

    /// A line of this host; Envoy writes others in its place.
    pub fn write(&mut self, level: Level, text: &str) {
        self.lines.push((self.thread, format!("{HOST}{}: {text}", level.name())));
    }

    /// Whether a line is the filter's own.
    pub fn of_guest(line: &str) -> bool {
        !line.starts_with(HOST)
    }

    /// All lines since the last call: the main thread's, then each worker's, for threads run at once.
    pub fn take(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.sort_by_key(|(thread, _)| *thread);
        lines.into_iter().map(|(_, line)| line).collect()
    }
}
