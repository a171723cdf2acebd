//! What was seen → text. Pure, but for [`write()`] and [`print()`], which put it where it is wanted, and the line of
//! [`progress`].

pub mod built;
pub mod failure;
pub mod human;
pub mod inspected;
pub mod json;
pub mod junit;
pub mod progress;
pub mod story;

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::runner::Report;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Human,
    /// One JSON document.
    Json,
    /// The XML that continuous-integration servers read.
    Junit,
}

/// Writes to standard output. Who reads only the beginning (`| head`) has seen enough: that is no error.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A path as one would type it here.
pub fn here(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Writes reports to the terminal, or to a file with their sum on the terminal. Whether the run was a
/// success.
pub fn write(reports: &[Report], format: Format, output: Option<&Path>) -> Result<bool> {
    let (human, passed) = human::render(reports);
    let text = match format {
        Format::Human => human.clone(),
        Format::Json => json::render(reports),
        Format::Junit => junit::render(reports),
    };
    match output {
        None => print(&text)?,
        Some(file) => {
            fs::write(file, text).with_context(|| format!("can't write {}", file.display()))?;
            println!("{} ({})", human.lines().last().unwrap_or_default(), file.display());
        }
    }
    Ok(passed)
}
