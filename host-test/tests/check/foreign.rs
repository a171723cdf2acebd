//! Configurations of all sorts that have nothing of this project in them: none fails, and none is found fault with.

use std::fs;

use host_test::check;

/// One from behind each `---`, with the comment that says what it is.
fn foreign() -> impl Iterator<Item = &'static str> {
    include_str!("foreign.yaml").split("\n---\n").skip(1)
}

#[test]
fn what_others_configure_neither_fails_nor_raises_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.yaml");
    let mut wrong = Vec::new();
    for text in foreign() {
        fs::write(&file, text).unwrap();
        match check::findings(std::slice::from_ref(&file), &[], "1.40") {
            Ok(findings) if findings.is_empty() => {}
            found => wrong.push(format!("{}\n{found:#?}", text.lines().next().unwrap_or_default())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(foreign().count() >= 35, "{}", foreign().count());
}

#[test]
fn they_are_read_as_well_all_together_and_as_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = foreign()
        .enumerate()
        .map(|(number, text)| {
            let file = folder.path().join(format!("{number}.yaml"));
            fs::write(&file, text).unwrap();
            file
        })
        .collect();
    let rules = |envoy: &str| -> Vec<&str> {
        check::findings(&files, &[], envoy).unwrap().iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(rules("1.40"), Vec::<&str>::new());
    assert_eq!(rules("1.36"), Vec::<&str>::new());
}
