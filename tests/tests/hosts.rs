//! One corpus, many hosts.

use host_test::{
    report, run,
    scenario::{self, HostKind},
};

#[test]
fn every_scenario_passes_on_every_host_and_all_hosts_agree() {
    let (workspace, built) = tests::built();
    let scenarios = scenario::load(&[workspace.root.join("plugins")]).unwrap();
    let hosts = [HostKind::Wasm, HostKind::Component, HostKind::Envoy];
    let options = run::Options { hosts: hosts.to_vec(), ..run::Options::default() };
    let reports = run::run(&built, &scenarios, &options).unwrap();
    let (text, passed) = report::human::render(&reports);
    assert!(passed, "{text}");
    assert!(reports.len() >= scenarios.len() * hosts.len(), "{text}");
    for plugin in &built {
        assert!(scenarios.iter().any(|scenario| scenario.plugin == plugin.plugin), "{} has no scenario", plugin.plugin);
    }
}
