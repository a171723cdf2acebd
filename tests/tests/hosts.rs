//! One corpus, many hosts.

use host_test::{
    report,
    run::{self, BuiltModules},
    scenario::{self, HostKind},
};

#[test]
fn every_scenario_passes_on_every_host_and_all_hosts_agree() {
    let (workspace, built) = tests::built();
    let scenarios = scenario::load(&scenario::folders(&workspace.root)).unwrap();
    let hosts = [HostKind::Wasm, HostKind::Component, HostKind::Envoy];
    let options = run::Options { hosts: hosts.to_vec(), ..run::Options::default() };
    let reports = run::run(&BuiltModules::new(&built), &scenarios, &options).unwrap();
    let (text, passed) = report::human::render(&reports);
    assert!(passed, "{text}");
    let played = hosts.iter().flat_map(|host| scenarios.iter().filter(|scenario| scenario.runs_on(*host)));
    assert!(reports.len() >= played.count(), "{text}");
    for plugin in &built {
        assert!(scenarios.iter().any(|scenario| scenario.plugin == plugin.plugin), "{} has no scenario", plugin.plugin);
    }
}
