//! The table of calls and scenarios.

use host_test::coverage;

#[test]
fn the_committed_table_is_what_the_scenarios_do() {
    assert!(coverage::coverage(true, None).unwrap(), "run `cargo portcullis coverage` and commit host-test/README.md");
}
