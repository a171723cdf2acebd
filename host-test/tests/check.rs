//! `portcullis check` on files that are wrong in known ways, and on those that are right.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use host_test::{
    build::{self, Shell, Workspace},
    check,
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
        for finding in check::findings(&[file.clone()], &modules, "1.40").unwrap() {
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
fn every_example_of_this_repository_is_clean() {
    let workspace = Workspace::find().unwrap();
    let modules = modules();
    let plugins = workspace.plugins().unwrap();
    let examples = plugins.iter().map(|plugin| plugin.folder.join("envoy.yaml"));
    for file in examples.chain([workspace.root.join("envoy/edge.yaml")]) {
        let findings = check::findings(&[file.clone()], &modules, "1.40").unwrap();
        assert!(findings.is_empty(), "{}: {findings:#?}", file.display());
    }
}
