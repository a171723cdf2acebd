//! A test of anybody's own module. Ten lines, in any crate that depends on this one:
//!
//! ```
//! use host_test::{Failed, Module};
//!
//! // With `#[test]` before it:
//! fn every_response_is_greeted() -> Result<(), Failed> {
//!     let scenario = "
//!         scenario: Every response is greeted
//!         steps:
//!         - {request: {path: /}, expect: {client: {status: 200, headers: {x-greeting: hello}}}}
//!     ";
//!     Module::read("tests/screens/greeter.wat")?.passes(scenario).map(drop)
//! }
//! # every_response_is_greeted().unwrap();
//! ```
//!
//! 1. The module runs as the proxy-wasm filter of a proxy with one worker, as Envoy 1.40 treats it; [`Module::as_in`]
//!    chooses another version.
//! 2. Scenarios are those of `portcullis run` (`host-test/README.md`), but for `plugin` and `module`: the module
//!    is this one, alone.
//! 3. What failed reads as `portcullis run` prints it. Who wants to look for himself takes the [`Outcome`] of
//!    [`Module::plays`], or plays steps one by one on a [`crate::vm::Session`].

use std::{error::Error, fmt, path::Path, time::Instant};

use crate::{
    bounded,
    envoy::versions,
    outcome::Outcome,
    report::human,
    runner::{self, Report, Verdict},
    scenario::{self, HostKind, Scenario},
    vm::{self, Limits},
};

/// A proxy-wasm module under test.
#[derive(Clone, Debug)]
pub struct Module {
    /// What reports and the configuration's `root_id` call it.
    name: String,
    bytes: Vec<u8>,
    limits: Limits,
}

impl Module {
    /// A `.wasm` file, or a `.wat`.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, Failed> {
        let file = file.as_ref();
        let bytes = bounded::read(file, vm::LARGEST as u64).map_err(|error| Failed(format!("{error:#}")))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Self::of(&name, &bytes).map_err(|Failed(error)| Failed(format!("{}: {error}", file.display())))
    }

    /// The bytes of a module, or its text format.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Self, Failed> {
        let bytes = wat::parse_bytes(bytes).map_err(|error| Failed(error.to_string()))?.into_owned();
        Ok(Self { name: name.to_owned(), bytes, limits: Limits { watch: true, ..Limits::default() } })
    }

    /// The same in another version of Envoy, `"1.36"` to `"1.40"`.
    pub fn as_in(self, envoy: &str) -> Self {
        Self { limits: Limits { envoy: versions::minor(envoy), ..self.limits }, ..self }
    }

    /// Plays a scenario and holds it to what it expects; what was seen, for more than a scenario can say.
    ///
    /// # Errors
    /// What wasn't as expected, as a report; or why it couldn't be played.
    pub fn passes(&self, scenario: &str) -> Result<Outcome, Failed> {
        self.holds(&self.parsed(scenario)?)
    }

    /// Plays every scenario of a folder, or the one in a file. How many there were.
    ///
    /// # Errors
    /// As [`Module::passes`] has; all that failed, not the first alone.
    pub fn passes_all(&self, path: impl AsRef<Path>) -> Result<usize, Failed> {
        let path = path.as_ref();
        let files = if path.is_dir() { scenario::files(path) } else { Ok(vec![path.to_path_buf()]) };
        let files = files.map_err(|error| Failed(format!("{error:#}")))?;
        if files.is_empty() {
            return Err(Failed(format!("{} holds no `*.yaml`, so nothing would be tested", path.display())));
        }
        let failed: Vec<String> =
            files.iter().filter_map(|file| self.passes_file(file).err()).map(|Failed(text)| text).collect();
        if failed.is_empty() { Ok(files.len()) } else { Err(Failed(failed.concat())) }
    }

    fn passes_file(&self, file: &Path) -> Result<Outcome, Failed> {
        let of_file = |Failed(error)| Failed(format!("{}: {error}", file.display()));
        let text = bounded::read(file, scenario::LARGEST as u64).map_err(|error| Failed(format!("{error:#}")))?;
        let scenario = self.parsed(&String::from_utf8_lossy(&text)).map_err(of_file)?;
        self.holds(&Scenario { file: file.to_path_buf(), ..scenario })
    }

    /// Plays a scenario, whatever it expects.
    ///
    /// # Errors
    /// Why it couldn't be played. That the module or its configuration is refused is an outcome.
    pub fn plays(&self, scenario: &str) -> Result<Outcome, Failed> {
        Ok(vm::run_bytes(&self.bytes, &self.parsed(scenario)?, self.limits))
    }

    fn parsed(&self, text: &str) -> Result<Scenario, Failed> {
        let mut scenario = scenario::parse(text).map_err(|error| Failed(format!("{error:#}")))?;
        if scenario.module.is_some() || !scenario.plugin.is_empty() || scenario.chain().len() > 1 {
            let instead = "leave out `plugin`, `module`, `before` and `after`, or play it by `portcullis run`";
            return Err(Failed(format!("a module of one's own is tested alone: {instead}")));
        }
        if let Some(reason) = scenario.envoy.skipped(self.limits.envoy) {
            return Err(Failed(format!("the scenario {reason}; choose another version by `as_in`")));
        }
        scenario.plugin.clone_from(&self.name);
        Ok(scenario)
    }

    fn holds(&self, scenario: &Scenario) -> Result<Outcome, Failed> {
        let began = Instant::now();
        let play = |limits| Ok(vm::run_bytes(&self.bytes, scenario, limits));
        let (outcome, failures) = runner::judged(scenario, self.limits, play);
        match outcome {
            Ok(outcome) if failures.is_empty() => Ok(outcome),
            outcome => Err(Failed::of(Report {
                scenario: scenario.scenario.clone(),
                plugin: self.name.clone(),
                file: scenario.file.clone(),
                hosts: vec![HostKind::Wasm],
                check: None,
                verdict: Verdict::Failed(failures),
                took: began.elapsed(),
                hazards: outcome.map(|outcome| outcome.hazards).unwrap_or_default(),
            })),
        }
    }
}

/// Why a test failed. `Debug` is the report itself, since that is what a failing `#[test]` prints.
pub struct Failed(String);

impl Failed {
    fn of(report: Report) -> Self {
        Self(human::one(&report))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\n{self}")
    }
}

impl Error for Failed {}
