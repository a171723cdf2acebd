//! How far a run is: one line on a terminal, nothing anywhere else.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::runner::Progress;

/// Stands on standard error, so that reports can go through a pipe; gone when it is dropped.
pub struct Line(ProgressBar);

impl Line {
    pub fn new() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub fn tell(&self, progress: Progress) {
        self.0.set_message(text(progress));
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn text(progress: Progress) -> String {
    match progress {
        Progress::InEnvoy(scenarios) => format!("Envoy plays {scenarios} scenarios"),
        Progress::Done { done, of, failed: 0 } => format!("{done} of {of} scenarios"),
        Progress::Done { done, of, failed } => format!("{done} of {of} scenarios, {failed} failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_and_names_failures_only_where_there_are_some() {
        assert_eq!(text(Progress::Done { done: 3, of: 9, failed: 0 }), "3 of 9 scenarios");
        assert_eq!(text(Progress::Done { done: 3, of: 9, failed: 2 }), "3 of 9 scenarios, 2 failed");
        assert_eq!(text(Progress::InEnvoy(7)), "Envoy plays 7 scenarios");
    }
}
