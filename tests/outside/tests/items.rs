use host_test::{Failed, Module};

#[test]
fn the_upstream_is_told_the_item_that_was_asked_for() -> Result<(), Failed> {
    let scenario = "
        scenario: The upstream is told the item that was asked for
        steps:
        - request: {headers: {x-number: '1'}}
          expect: {upstream: {headers: {x-item: shield}}}
    ";
    Module::read("target/wasm32-unknown-unknown/debug/outside.wasm")?.passes(scenario).map(drop)
}

/// What a failing test prints.
#[test]
fn a_panic_is_told_with_its_text_and_the_calls_before_it() -> Result<(), Failed> {
    let module = Module::read("target/wasm32-unknown-unknown/debug/outside.wasm")?;
    let scenario = "
        scenario: The fourth of three items
        steps:
        - {request: {headers: {x-number: '3'}}, expect: {client: {status: 200}}}
    ";
    let told = format!("{:?}", module.passes(scenario).unwrap_err());
    for line in [
        "client: expected status 200, actual 503",
        "trap in proxy_on_request_headers: wasm trap: wasm `unreachable` instruction executed",
        "critical: panicked at src/lib.rs:",
        "index out of bounds: the len is 3 but the index is 3",
        "proxy_get_header_map_value(request headers, \"x-number\") → ok ← \"3\"",
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    Ok(())
}
