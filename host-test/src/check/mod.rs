//! `portcullis check`: what an Envoy configuration will do with its wasm filters, and what is dangerous
//! in it, without Envoy.
//!
//! 1. [`document`] reads YAML and JSON with the place of every value.
//! 2. [`edge`] and [`wasm`] find connection managers, filters and routes in whatever holds them.
//! 3. [`ask`] loads each module with its very configuration and asks it, for each route, which policy
//!    is in force.
//! 4. [`rules`] look for what is dangerous; [`finding`] lists every rule there is.
//! 5. [`report`] and [`sarif`] tell it.

pub mod ask;
pub mod document;
pub mod edge;
pub mod finding;
mod looked;
mod report;
mod routes;
mod rules;
mod sarif;
pub mod wasm;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Result, bail};

use self::{
    ask::Modules,
    document::Document,
    finding::{Finding, Severity},
    looked::Looked,
};
use crate::envoy::versions;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Bootstraps, resource files, config dumps, Istio EnvoyFilters and WasmPlugins, Envoy Gateway
    /// EnvoyExtensionPolicies. What belongs together is named together.
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

/// Looks at all files together; false where something is wrong.
pub fn check(options: &Options) -> Result<bool> {
    if !versions::is_version(&options.envoy) {
        bail!("`{}` is no version of Envoy, as 1.38", options.envoy);
    }
    let documents = options.files.iter().map(|file| Document::read(file)).collect::<Result<Vec<_>>>()?;
    let edges = edge::edges(&documents);
    let modules = Modules { folders: &options.modules };
    let looked: Vec<Looked<'_>> = edges.iter().map(|edge| Looked::at(edge, &modules)).collect();
    let mut findings = rules::findings(&looked, versions::minor(&options.envoy));
    let rows: Vec<_> = looked.iter().map(|looked| routes::ask(looked, &mut findings)).collect();
    findings.sort_by(|a, b| (&a.file, a.at, a.rule.severity).cmp(&(&b.file, b.at, b.rule.severity)));
    findings.dedup_by(|a, b| (&a.file, a.at, &a.what) == (&b.file, b.at, &b.what));
    let text = match options.format {
        Format::Human => report::human(&options.files, &looked, &rows, &findings),
        Format::Json => report::json(&looked, &rows, &findings),
        Format::Sarif => sarif::sarif(&findings),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    let worst = findings.iter().map(|finding| finding.rule.severity).min();
    Ok(worst.is_none_or(|worst| worst > if options.strict { Severity::Warning } else { Severity::Error }))
}

/// What is found in files, for tests and tools.
pub fn findings(files: &[PathBuf], modules: &[PathBuf], envoy: &str) -> Result<Vec<Finding>> {
    let documents = files.iter().map(|file| Document::read(file)).collect::<Result<Vec<_>>>()?;
    let edges = edge::edges(&documents);
    let modules = Modules { folders: modules };
    let looked: Vec<Looked<'_>> = edges.iter().map(|edge| Looked::at(edge, &modules)).collect();
    let mut findings = rules::findings(&looked, versions::minor(envoy));
    looked.iter().for_each(|looked| drop(routes::ask(looked, &mut findings)));
    Ok(findings)
}
