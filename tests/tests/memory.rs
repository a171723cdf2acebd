//! Memory is bounded by configuration, never by traffic.

use host_test::{
    build::Shell,
    outcome::Cut,
    scenario,
    vm::{Limits, Session},
};

#[test]
fn linear_memory_after_a_hundred_thousand_requests_is_what_it_was_after_a_thousand() {
    let (workspace, built) = tests::built();
    for plugin in built {
        let module = std::fs::read(workspace.artifact(&plugin.plugin, Shell::ProxyWasm)).unwrap();
        let folder = workspace.root.join("plugins").join(&plugin.plugin).join("benches/wasm");
        for scenario in scenario::load_folder(&folder).unwrap() {
            let mut session = Session::start(&module, &scenario, Limits::default()).unwrap();
            let mut play = |times: u32| {
                let mut memory = 0;
                for _ in 0..times {
                    memory = session.play(&scenario.steps[0], Cut::AsWritten).1.memory_bytes;
                }
                memory
            };
            let early = play(1_000);
            assert_eq!(play(99_000), early, "{}: {}", plugin.plugin, scenario.scenario);
        }
    }
}
