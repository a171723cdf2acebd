//! `portcullis check`: what an Envoy configuration will do with its wasm filters, and what is dangerous
//! in it, without Envoy.
//!
//! 1. [`document`] reads YAML and JSON with the place of every value; `parse` does it as Envoy does, `embedded`
//!    for files within files.
//! 2. [`edge`], [`virtual_host`] and [`wasm`] read connection managers, filters and routes in whatever
//!    holds them; `search` finds them, `patch` reads those that Istio merges into others.
//! 3. `modules` finds each module, and [`ask`] loads it with its very configuration and asks it, for each
//!    route, which policy is in force; `questions` says for which requests, and `matching` where they go.
//! 4. `rules` look for what is dangerous; [`finding`] lists every rule there is.
//! 5. `report` and `sarif` tell it.

pub mod ask;
mod burden;
pub mod document;
pub mod edge;
mod embedded;
mod fields;
pub mod finding;
mod looked;
mod lua;
mod matching;
mod modules;
mod parse;
mod patch;
mod questions;
mod report;
mod routes;
mod rules;
mod sarif;
mod search;
pub mod virtual_host;
pub mod wasm;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use self::{
    burden::Burden,
    document::Document,
    finding::{Finding, Severity},
    looked::Looked,
    modules::Modules,
    routes::Row,
};
use crate::envoy::versions;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Bootstraps, resource files, config dumps, Istio EnvoyFilters and WasmPlugins, Envoy Gateway
    /// EnvoyExtensionPolicies. What belongs together is named together. `-` is the standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// A folder with modules, for those that aren't where the configuration says. May be repeated.
    #[arg(long, value_name = "DIR")]
    pub modules: Vec<PathBuf>,
    /// The version of Envoy that will read it.
    #[arg(long, value_name = "VERSION", default_value = versions::NEWEST)]
    pub envoy: String,
    /// How it is told.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Fail on warnings too.
    #[arg(long)]
    pub strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
    /// For code scanning: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/>.
    Sarif,
}

/// Looks at all files together and tells what is found; false where something is wrong.
pub fn check(options: &Options) -> Result<bool> {
    if !versions::is_version(&options.envoy) {
        bail!("`{}` is no version of Envoy, as 1.38", options.envoy);
    }
    let Options { files, modules, envoy, format, strict } = options;
    let (text, worst) = look(files, modules, envoy, |looked, rows, findings| {
        let text = match format {
            Format::Human => report::human(files, looked, rows, findings),
            Format::Json => format!("{:#}\n", report::json(looked, rows, findings)),
            Format::Sarif => format!("{:#}\n", sarif::sarif(findings)),
        };
        (text, findings.iter().map(|finding| finding.rule.severity).min())
    })?;
    io::stdout().lock().write_all(text.as_bytes())?;
    let tolerated = if *strict { Severity::Warning } else { Severity::Error };
    Ok(worst.is_none_or(|worst| worst > tolerated))
}

/// Everything that is found in files.
///
/// # Errors
/// No file can be read.
pub fn findings(files: &[PathBuf], modules: &[PathBuf], envoy: &str) -> Result<Vec<Finding>> {
    look(files, modules, envoy, |_, _, findings| findings.to_vec())
}

/// The same as `--format json`, the policy of each route with it.
///
/// # Errors
/// No file can be read.
pub fn json(files: &[PathBuf], modules: &[PathBuf], envoy: &str) -> Result<serde_json::Value> {
    look(files, modules, envoy, report::json)
}

fn look<T>(
    files: &[PathBuf],
    modules: &[PathBuf],
    envoy: &str,
    tell: impl FnOnce(&[Looked<'_>], &[Vec<Row<'_>>], &[Finding]) -> T,
) -> Result<T> {
    let read = files.iter().map(|file| (file, Document::read(file)));
    let (documents, unread): (Vec<_>, Vec<_>) = read.partition(|(_, document)| document.is_ok());
    let documents: Vec<Document> = documents.into_iter().filter_map(|(_, document)| document.ok()).collect();
    let mut unread = unread.into_iter().filter_map(|(file, document)| Some((file, document.err()?)));
    if documents.is_empty()
        && let Some((_, error)) = unread.next()
    {
        return Err(error);
    }
    let edges = edge::edges(&documents);
    let modules = Modules { folders: modules, burden: Burden::default() };
    let looked: Vec<Looked<'_>> = edges.iter().map(|edge| Looked::at(edge, &modules)).collect();
    let mut findings = rules::findings(&documents, &looked, versions::minor(envoy));
    findings.extend(unread.map(|(file, error)| unreadable(file, &error)));
    let rows: Vec<_> = looked.iter().map(|looked| routes::ask(looked, &mut findings)).collect();
    findings.sort_by(|a, b| (&a.file, a.at, a.rule.severity).cmp(&(&b.file, b.at, b.rule.severity)));
    findings.dedup_by(|a, b| (&a.file, a.at, &a.what) == (&b.file, b.at, &b.what));
    Ok(tell(&looked, &rows, &findings))
}

/// One of several files that can't be read.
fn unreadable(file: &Path, error: &anyhow::Error) -> Finding {
    let what = format!("{error:#}");
    let at = document::place_in(&what);
    let remedy = "mend it, or leave it out";
    Finding { rule: &finding::UNREADABLE, file: file.into(), at, what, remedy: remedy.into() }
}
