//! Envoy's log: which lines are a filter's, and which tell why Envoy didn't start.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// How many bytes of a log are read at most. A filter that logs without end must not fill memory.
const LARGEST: u64 = 64 << 20;

/// A line that a filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As Envoy names it: `trace`, `debug`, `info`, `warning`, `error`, `critical`.
    pub level: String,
    /// The number of the thread that said it.
    pub thread: String,
    pub plugin: String,
    pub root_id: String,
    pub vm_id: String,
    pub text: String,
}

impl Line {
    /// The line as every host shows it: its level and its text.
    pub fn said(&self) -> String {
        let level = if self.level == "warning" { "warn" } else { &self.level };
        format!("{level}: {}", self.text)
    }
}

pub fn read_since(file: &Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines of filters, in order. A line that follows without a head of its own belongs to the
/// one before it: a filter may log several lines in one call.
pub fn wasm_lines(log: &str) -> impl Iterator<Item = Line> + '_ {
    let mut lines = log.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let mut line = parse(lines.next()?);
            while let Some(more) = lines.next_if(|line| !has_head(line)) {
                if let Some(line) = &mut line {
                    line.text.push('\n');
                    line.text.push_str(more);
                }
            }
            if line.is_some() {
                return line;
            }
        }
    })
}

/// Whether a line begins as `[2026-01-31 10:20:30.400][12][info][wasm] …` does.
fn has_head(line: &str) -> bool {
    line.strip_prefix('[')
        .is_some_and(|rest| rest.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit())))
}

/// `[time][thread][level][wasm] [file:line] wasm log plugin root_id vm_id: text`. A VM that stands
/// trial for its configuration leaves out the plugin.
fn parse(line: &str) -> Option<Line> {
    let (head, rest) = line.split_once("] wasm log")?;
    let mut parts = head.split(['[', ']']).filter(|part| !part.is_empty()).skip(1);
    let (thread, level) = (parts.next()?, parts.next()?);
    let (names, text) = rest.split_once(": ").or_else(|| rest.split_once(':'))?;
    let mut names = names.split_whitespace().rev().map(String::from);
    let mut name = || names.next().unwrap_or_default();
    let (vm_id, root_id, plugin) = (name(), name(), name());
    Some(Line { level: level.to_owned(), thread: thread.to_owned(), plugin, root_id, vm_id, text: text.to_owned() })
}

/// What in the log tells why Envoy didn't start: what filters logged, then Envoy's own errors; its
/// last lines where there are neither.
pub fn relevant(log: &str) -> String {
    let telling = |line: &&str| {
        ["wasm log", "][error]", "][critical]", "Unable to create Wasm", "failed", "error:"]
            .iter()
            .any(|sign| line.contains(sign))
    };
    let mut lines: Vec<&str> = log.lines().filter(telling).map(str::trim_end).collect();
    if lines.is_empty() {
        lines = log.lines().collect();
    }
    lines.dedup();
    let first = lines.len().saturating_sub(20);
    lines.get(first..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[2026-01-31 10:20:30.400][12][warning][main] [source/server/server.cc:9] no limit
[2026-01-31 10:20:30.401][12][error][wasm] [source/x.cc:1] wasm log portcullis root vm7: bad: field
  second line
[2026-01-31 10:20:30.402][12][critical][main] [source/y.cc:1] Unable to create Wasm plugin portcullis
";

    #[test]
    fn a_filters_line_is_told_from_envoys_and_keeps_its_following_lines() {
        let lines: Vec<Line> = wasm_lines(LOG).collect();
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.level.as_str(), line.plugin.as_str(), line.vm_id.as_str()), ("error", "portcullis", "vm7"));
        assert_eq!(line.text, "bad: field\n  second line");
    }

    #[test]
    fn the_reason_of_a_failed_start_leaves_out_what_is_none() {
        let reason = relevant(LOG);
        assert!(reason.contains("bad: field") && reason.contains("Unable to create"), "{reason}");
        assert!(!reason.contains("no limit"), "{reason}");
        assert_eq!(relevant("one\ntwo"), "one\ntwo");
    }
}
