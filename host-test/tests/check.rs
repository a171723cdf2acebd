//! `portcullis check` on files that are wrong in known ways, and on those that are right.
//!
//! What stands in `check/wrong` says of itself what is found, and on which line; in `check/clean` nothing is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "check/asked.rs"]
mod asked;
#[path = "check/foreign.rs"]
mod foreign;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use host_test::{
    build::{self, Shell, Workspace},
    check::{self, finding},
};

fn modules() -> Vec<PathBuf> {
    let workspace = Workspace::find().unwrap();
    build::build_shell(&workspace, Shell::ProxyWasm).unwrap();
    vec![workspace.target_directory.join("portcullis")]
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What the file itself says is found, by line: `# finds rule-id rule-id`.
fn promised(file: &Path) -> BTreeMap<usize, Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        let mut rules: Vec<String> = line.split_once("# finds ")?.1.split(' ').map(str::to_owned).collect();
        rules.sort();
        Some((index + 1, rules))
    });
    lines.collect()
}

#[test]
fn each_fault_is_found_on_its_line_with_a_remedy_and_nothing_else_is() {
    let modules = modules();
    for file in files("wrong") {
        let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for finding in check::findings(std::slice::from_ref(&file), &modules, "1.40").unwrap() {
            assert!(!finding.what.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
            let rules = found.entry(finding.at.line).or_default();
            if !rules.contains(&finding.rule.id.to_owned()) {
                rules.push(finding.rule.id.to_owned());
            }
        }
        found.values_mut().for_each(|rules| rules.sort());
        assert_eq!(found, promised(&file), "{}", file.display());
    }
}

#[test]
fn what_is_right_and_what_has_no_filter_of_this_kind_raises_no_alarm() {
    let modules = modules();
    for file in files("clean") {
        let findings = check::findings(std::slice::from_ref(&file), &modules, "1.40").unwrap();
        assert!(findings.is_empty(), "{}: {findings:#?}", file.display());
    }
}

#[test]
fn the_routes_of_a_config_dump_are_asked_for_their_policies() {
    let files: Vec<PathBuf> = files("clean").into_iter().filter(|file| file.ends_with("config_dump.json")).collect();
    let told = check::json(&files, &modules(), "1.40").unwrap();
    let routes = told["edges"][0]["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 2);
    assert!(routes.iter().all(|route| route["filters"][0]["policy"] == "web"), "{told:#}");
}

#[test]
fn a_field_that_an_older_envoy_lacks_is_told_for_that_version_alone() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/clean/config_dump.json");
    let of = |envoy| check::findings(std::slice::from_ref(&file), &modules(), envoy).unwrap();
    let old = of("1.39");
    assert!(of("1.40").is_empty());
    assert_eq!(old.iter().map(|finding| finding.rule.id).collect::<Vec<_>>(), ["field-unknown"]);
    assert!(old[0].what.contains("capability_restriction_config") && old[0].what.contains("1.40"), "{old:?}");
}

#[test]
fn a_file_that_cant_be_read_says_why_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.yaml");
    fs::write(&file, "static_resources:\n  listeners: [\n").unwrap();
    let error = format!("{:#}", check::findings(&[file], &[], "1.40").unwrap_err());
    assert!(error.contains("broken.yaml") && error.contains("line 2"), "{error}");
}

#[test]
fn one_file_that_cant_be_read_doesnt_hide_what_the_others_hold() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "static_resources:\n  listeners: [\n").unwrap();
    let good = files("wrong").into_iter().find(|file| file.ends_with("nothing.yaml")).unwrap();
    let missing = folder.path().join("missing.yaml");
    let found = check::findings(&[broken.clone(), good.clone(), missing.clone()], &[], "1.40").unwrap();
    let of = |file: &Path| -> Vec<(&str, usize)> {
        let found = found.iter().filter(|finding| finding.file == file);
        found.map(|finding| (finding.rule.id, finding.at.line)).collect()
    };
    assert_eq!(of(&broken), [("unreadable", 2)], "{found:#?}");
    assert_eq!(of(&missing), [("unreadable", 1)]);
    assert_eq!(of(&good).len(), promised(&good).len());
}

#[test]
fn the_standard_input_is_a_file_too() {
    let portcullis = env!("CARGO_BIN_EXE_portcullis");
    let text = "static_resources: {listeners: [{name: a, adress: {}}]}";
    let mut child =
        Command::new(portcullis).args(["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("-:1:42: error[field-unknown]") && told.contains("did you mean `address`?"), "{told}");
}

#[test]
fn a_remedy_names_nothing_that_the_version_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let config = "config: {vm_config: {vm_id: a, code: {remote: {http_uri: {uri: 'https://modules.example/a.wasm'}}}}}";
    let of_type = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    fs::write(&file, format!("name: a\ntyped_config: {{{of_type}, {config}}}\n")).unwrap();
    let remedies = |envoy: &str| -> String {
        let found = check::findings(std::slice::from_ref(&file), &[], envoy).unwrap();
        found.iter().map(|finding| format!("{}\n", finding.remedy)).collect()
    };
    let (new, old, older) = (remedies("1.40"), remedies("1.36"), remedies("1.32"));
    assert!(new.contains("vm_config.capability_restriction_config") && new.contains("FAIL_RELOAD"), "{new}");
    assert!(!old.contains("vm_config.capability_restriction_config") && old.contains("FAIL_RELOAD"), "{old}");
    assert!(old.contains("capability_restriction_config, beside vm_config"), "{old}");
    assert!(!older.contains("FAIL_RELOAD"), "{older}");
}

#[test]
fn every_example_of_this_repository_is_clean() {
    let workspace = Workspace::find().unwrap();
    let modules = modules();
    let plugins = workspace.plugins().unwrap();
    let examples = plugins.iter().map(|plugin| plugin.folder.join("envoy.yaml"));
    for file in examples.chain([workspace.root.join("envoy/edge.yaml")]) {
        let findings = check::findings(std::slice::from_ref(&file), &modules, "1.40").unwrap();
        assert!(findings.is_empty(), "{}: {findings:#?}", file.display());
    }
}

#[test]
fn each_rule_has_a_file_that_breaks_it() {
    let promised: BTreeSet<String> =
        files("wrong").iter().flat_map(|file| promised(file).into_values().flatten()).collect();
    // What a module does, or a machine lacks: `asked` has a test of each.
    let others = ["configuration-unseen", "filter-elsewhere", "module-traps", "routes-many", "unreadable"];
    for rule in finding::ALL.iter().filter(|rule| !others.contains(&rule.id)) {
        assert!(promised.contains(rule.id), "{}", rule.id);
    }
}

#[test]
fn what_is_told_twice_in_a_dump_is_asked_once_and_a_route_that_switches_the_filter_off_says_so() {
    let files: Vec<PathBuf> = files("clean").into_iter().filter(|file| file.ends_with("static_dump.json")).collect();
    let told = check::json(&files, &modules(), "1.40").unwrap();
    assert_eq!(told["edges"].as_array().unwrap().len(), 1, "{told:#}");
    let routes = &told["edges"][0]["routes"];
    assert_eq!(
        (routes[0]["filters"][0]["off"].as_bool(), routes[1]["filters"][0]["off"].as_bool()),
        (Some(true), Some(false))
    );
    assert_eq!(routes[1]["filters"][0]["policy"], "web");
}
