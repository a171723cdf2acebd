//! What `portcullis check` tells of modules that it asks.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use host_test::check;
use serde_json::{Value, json};

use super::modules;

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// A bootstrap with one wasm filter and these routes.
fn bootstrap(plugin: &Value, routes: &Value) -> Value {
    let wasm = json!({ "name": "guest", "typed_config": { "@type": HTTP, "config": plugin } });
    listener(&wasm, routes)
}

fn listener(filter: &Value, routes: &Value) -> Value {
    json!({ "static_resources": { "listeners": [{ "name": "edge", "filter_chains": [{ "filters": [{
        "name": "http",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "normalize_path": true,
            "merge_slashes": true,
            "http_filters": [filter],
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        },
    }] }] }] } })
}

/// What is told of a bootstrap, with a module beside it.
fn told(bootstrap: &Value, module: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("guest.wasm"), wat::parse_str(module).unwrap()).unwrap();
    let file = folder.path().join("envoy.json");
    fs::write(&file, bootstrap.to_string()).unwrap();
    check::json(&[file], &modules(), "1.40").unwrap()
}

fn found(told: &Value) -> Vec<&str> {
    told["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

/// A plugin whose capability list holds everything that guests of this file call.
fn guest(vm: &Value) -> Value {
    let mut plugin = json!({
        "name": "a name", "root_id": "a root", "failure_policy": "FAIL_RELOAD",
        "vm_config": { "vm_id": "a vm", "code": { "local": { "filename": "guest.wasm" } } },
    });
    plugin["vm_config"].as_object_mut().unwrap().extend(vm.as_object().unwrap().clone());
    plugin
}

fn allowed(names: &[&str]) -> Value {
    let list: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({ "allowed_capabilities": list })
}

const ROUTE: &str = r#"[{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]"#;

fn route() -> Value {
    serde_json::from_str(ROUTE).unwrap()
}

/// Refuses its configuration, and says what it was given: a property, and each variable.
const TELLS: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environment (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "plugin_name")
    (data (i32.const 16) "refused: ")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 25))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.eq (local.get 1) (i32.const 5)))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $get (i32.const 0) (i32.const 11) (i32.const 256) (i32.const 260)))
        (drop (call $sizes (i32.const 264) (i32.const 268)))
        (drop (call $environment (i32.const 512) (i32.add (i32.const 25) (i32.load (i32.const 260)))))
        (drop (call $log (i32.const 4) (i32.const 16)
            (i32.add (i32.const 9) (i32.add (i32.load (i32.const 260)) (i32.load (i32.const 268))))))
        (i32.const 0)))"#;

const CALLS_OF_TELLS: [&str; 6] =
    ["proxy_log", "proxy_get_property", "environ_get", "environ_sizes_get", "proxy_on_vm_start", "proxy_on_configure"];

#[test]
fn a_module_is_asked_in_the_surroundings_that_its_bootstrap_gives_it() {
    let vm = |more: Value| {
        let mut vm = json!({ "capability_restriction_config": allowed(&CALLS_OF_TELLS) });
        vm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        guest(&vm)
    };
    let text = |text: &str| json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text });

    let told_five = told(
        &bootstrap(
            &vm(
                json!({ "configuration": text("12345"), "environment_variables": { "key_values": { "STAGE": "test" } } }),
            ),
            &route(),
        ),
        TELLS,
    );
    assert_eq!(found(&told_five), ["configuration-refused"]);
    let message = told_five["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("refused: a nameSTAGE=test"), "{message}");

    let told_four = told(&bootstrap(&vm(json!({ "configuration": text("1234") })), &route()), TELLS);
    let message = told_four["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("proxy_on_vm_start answered false"), "{message}");
}

#[test]
fn a_variable_of_the_proxys_that_isnt_set_here_is_stood_in_for_and_no_error() {
    let vm = json!({
        "capability_restriction_config": allowed(&CALLS_OF_TELLS),
        "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "12345" },
        "environment_variables": { "host_env_keys": ["SURELY_NOT_SET_HERE"] },
    });
    let told = told(&bootstrap(&guest(&vm), &route()), TELLS);
    assert_eq!(found(&told), ["configuration-unseen"]);
    assert!(
        told["findings"][0]["message"].as_str().unwrap().contains("SURELY_NOT_SET_HERE isn't set here"),
        "{told:#}"
    );
}

#[test]
fn a_callback_that_isnt_allowed_is_not_made_and_a_call_that_isnt_fails() {
    let refused = |names: &[&str]| {
        let plugin = guest(&json!({ "capability_restriction_config": allowed(names) }));
        let told = told(&bootstrap(&plugin, &route()), TELLS);
        found(&told).contains(&"configuration-refused")
    };
    // Neither callback may be made, so that nothing refuses.
    assert!(!refused(&["proxy_log"]));
    assert!(refused(&["proxy_on_configure"]));
}

/// Keeps five bytes when it is configured, and as many more for each request to `/keep`.
const KEEPS: &str = r#"(module
    (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "a12345:path")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $define (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 256)))
        (drop (call $set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 4) (i32.const 0)))
        (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $get (i32.const 0) (i32.const 6) (i32.const 5) (i32.const 256) (i32.const 260)))
        (if (i32.eq (i32.load (i32.const 260)) (i32.const 5))
            (then (drop (call $set (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 4) (i32.const 0)))))
        (if (i32.eq (i32.load (i32.const 260)) (i32.const 6))
            (then (drop (call $set (i32.const 2) (i32.const 1) (i32.const 1) (i32.const 5) (i32.const 0)))))
        (i32.const 0)))"#;

const CALLS_OF_KEEPS: [&str; 5] = [
    "proxy_set_shared_data",
    "proxy_get_header_map_value",
    "proxy_define_metric",
    "proxy_on_configure",
    "proxy_on_request_headers",
];

#[test]
fn metric_series_and_the_stores_bytes_are_told_and_no_question_sees_what_another_left() {
    let plugin = guest(&json!({ "capability_restriction_config": allowed(&CALLS_OF_KEEPS) }));
    let of = |paths: &[&str]| {
        let route = |path: &&str| json!({ "match": { "path": path }, "direct_response": { "status": 200 } });
        let told = told(&bootstrap(&plugin, &paths.iter().map(route).collect()), KEEPS);
        assert!(found(&told).is_empty(), "{told:#}");
        let filter = &told["edges"][0]["filters"][0];
        assert_eq!((filter["takes_configuration"].as_bool(), filter["metric_series"].as_u64()), (Some(true), Some(1)));
        filter["store_bytes"].as_u64().unwrap()
    };
    assert_eq!(of(&["/"]), 5);
    assert_eq!(of(&["/", "/keep"]), 10);
    // The second is asked in a store of its own.
    assert_eq!(of(&["/keep", "/kept6"]), 11);
}

#[test]
fn a_module_that_needs_more_than_this_host_allows_is_a_note() {
    let asks_for_ever = r#"(module
        (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (loop $again (drop (call $now (i32.const 0))) (br $again))
            unreachable))"#;
    let allowed = allowed(&["proxy_get_current_time_nanoseconds", "proxy_on_configure"]);
    let told = told(&bootstrap(&guest(&json!({ "capability_restriction_config": allowed })), &route()), asks_for_ever);
    assert_eq!(found(&told), ["module-unseen"]);
    assert!(told["findings"][0]["message"].as_str().unwrap().contains("calls to the host in one callback"), "{told:#}");
}

#[test]
fn a_module_that_traps_is_told_and_soon_asked_no_more() {
    let traps = r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;
    let plugin = guest(&json!({ "capability_restriction_config": allowed(&["proxy_on_request_headers"]) }));
    let route =
        |number: u32| json!({ "match": { "path": format!("/{number}") }, "direct_response": { "status": 200 } });
    let told = told(&bootstrap(&plugin, &(0..20).map(route).collect()), traps);
    assert_eq!(found(&told), ["module-traps"; 8]);
    let answers = told["edges"][0]["routes"].as_array().unwrap();
    assert_eq!((answers.len(), answers[19]["filters"][0]["policy"].is_null()), (20, true));
}

#[test]
fn a_filter_that_is_discovered_from_elsewhere_is_a_note() {
    let filter =
        json!({ "name": "guest", "config_discovery": { "type_urls": [HTTP], "config_source": { "ads": {} } } });
    let told = told(&listener(&filter, &route()), "(module)");
    assert_eq!(found(&told), ["filter-elsewhere"]);
}

#[test]
fn a_filter_of_connections_and_a_filter_within_another_are_looked_at_too() {
    let network = json!({ "static_resources": { "listeners": [{ "name": "tcp", "filter_chains": [{ "filters": [{
        "name": "wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
            "config": { "name": "tcp", "vm_config": { "vm_id": "tcp", "code": { "local": { "filename": "guest.wasm" } } } },
        },
    }] }] }] } });
    assert_eq!(found(&told(&network, "(module)")), ["capabilities-missing"]);

    let plugin =
        json!({ "name": "within", "vm_config": { "vm_id": "x", "code": { "local": { "filename": "nowhere.wasm" } } } });
    let composite = json!({ "name": "composite", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "xds_matcher": { "on_no_match": { "action": { "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.composite.v3.ExecuteFilterAction",
            "typed_config": { "name": "within", "typed_config": { "@type": HTTP, "config": plugin } },
        } } } },
    } });
    let told = told(&listener(&composite, &route()), "(module)");
    let found: BTreeSet<&str> = found(&told).into_iter().collect();
    assert_eq!(found, BTreeSet::from(["module-missing", "no-reload", "capabilities-missing"]));
}

#[test]
fn thousands_of_routes_are_asked_in_seconds() {
    let metadata = |policy: &str| json!({ "filter_metadata": { "portcullis.security_headers": { "policy": policy } } });
    let route = |number: usize| {
        let policy = ["web", "api"][number % 2];
        json!({ "match": { "path": format!("/{number}") }, "metadata": metadata(policy), "direct_response": { "status": 200 } })
    };
    let mut plugin = guest(&json!({ "code": { "local": { "filename": "security-headers.wasm" } } }));
    plugin["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.Struct",
        "value": { "policies": { "web": { "preset": "helmet" }, "api": { "preset": "owasp" } } },
    });
    let bootstrap = bootstrap(&plugin, &(0..4000).map(route).collect());
    let began = Instant::now();
    let told = told(&bootstrap, "(module)");
    let routes = told["edges"][0]["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 4000);
    for (number, route) in routes.iter().enumerate() {
        assert_eq!(route["filters"][0]["policy"], ["web", "api"][number % 2], "{route:#}");
    }
    // A second or two where nothing else runs.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_filter_that_chooses_by_itself_has_a_row_for_each_choice() {
    let mut plugin = guest(&json!({ "code": { "local": { "filename": "security-headers.wasm" } } }));
    plugin["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": json!({
            "policies": { "web": { "preset": "helmet" }, "api": { "preset": "owasp" } },
            "default_policy": "web",
            "routes": [
                { "match": { "path_template": "/items/:id" }, "policy": "api" },
                { "match": { "method": "POST" }, "policy": "api" },
                { "match": { "host": "other.example" }, "policy": "web" },
            ],
        }).to_string(),
    });
    let routes = json!([
        { "match": { "prefix": "/items/" }, "direct_response": { "status": 200 } },
        { "match": { "prefix": "/" }, "direct_response": { "status": 200 } },
    ]);
    let told = told(&bootstrap(&plugin, &routes), "(module)");
    let rows = told["edges"][0]["routes"].as_array().unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row["route"].as_str().unwrap(), row["filters"][0]["policy"].as_str().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("/items/*", "web"),
            ("/items/* as GET edge.example/items/id", "api"),
            ("/items/* as POST edge.example/items/", "api"),
            ("/*", "web"),
            ("/* as POST edge.example/", "api"),
        ]
    );
}

#[test]
fn what_a_filter_says_that_it_stores_at_most_is_told() {
    let mut plugin = guest(&json!({ "code": { "local": { "filename": "rate-limit.wasm" } } }));
    plugin["root_id"] = json!("rate-limit");
    plugin["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.Struct",
        "value": { "policies": { "a": { "limits": [{ "name": "a", "rate": "1/s" }] } }, "default_policy": "a" },
    });
    let told = told(&bootstrap(&plugin, &route()), "(module)");
    let filter = &told["edges"][0]["filters"][0];
    let (now, most) = (filter["store_bytes"].as_u64().unwrap(), filter["store_bytes_at_most"].as_u64().unwrap());
    assert!(most > 0 && now <= most, "{told:#}");
}

#[test]
fn more_choices_than_are_asked_are_a_note() {
    let mut plugin = guest(&json!({ "code": { "local": { "filename": "security-headers.wasm" } } }));
    let rule = |number: usize| json!({ "match": { "host": format!("h{number}.example") }, "policy": "web" });
    let rules: Vec<Value> = (0..60).map(rule).collect();
    plugin["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.Struct",
        "value": { "policies": { "web": { "preset": "helmet" } }, "default_policy": "web", "routes": rules },
    });
    let route =
        |number: u32| json!({ "match": { "path": format!("/{number}") }, "direct_response": { "status": 200 } });
    let told = told(&bootstrap(&plugin, &(0..100).map(route).collect()), "(module)");
    assert_eq!(told["edges"][0]["routes"].as_array().unwrap().len(), 100);
    assert_eq!(found(&told).iter().filter(|rule| **rule == "routes-many").count(), 1, "{told:#}");
}

/// What security headers choose by `routes` of their own, without a default: the cells of the table.
fn chosen(entries: &Value, hosts: &Value) -> Vec<(String, String)> {
    let mut bootstrap = bootstrap(
        &json!({
            "name": "portcullis.security_headers", "root_id": "security-headers", "failure_policy": "FAIL_RELOAD",
            "vm_config": { "vm_id": "a vm", "code": { "local": { "filename": "security-headers.wasm" } } },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.Struct", "value": {
                "policies": { "web": { "preset": "helmet" }, "api": { "preset": "owasp" } }, "routes": entries,
            } },
        }),
        &route(),
    );
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts";
    *bootstrap.pointer_mut(manager).unwrap() = hosts.clone();
    let told = told(&bootstrap, "(module)");
    let rows = told["edges"][0]["routes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(&row["route"]), text(&row["filters"][0]["policy"]))).collect()
}

#[test]
fn a_request_that_meets_no_entry_is_asked_about_beside_the_plain_one_that_meets_one() {
    let all = json!([{ "name": "all", "domains": ["*"], "routes": route() }]);
    let two = json!([{ "name": "all", "domains": ["a.example", "b.example"], "routes": route() }]);
    let of = |entries: Value, hosts: &Value| chosen(&entries, hosts);
    let rows = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(route, policy)| ((*route).to_owned(), (*policy).to_owned())).collect()
    };
    assert_eq!(
        of(json!([{ "match": { "method": "GET" }, "policy": "web" }]), &all),
        rows(&[("/*", "web"), ("/* as POST edge.example/", "none")])
    );
    assert_eq!(
        of(json!([{ "match": { "host": "a.example" }, "policy": "web" }]), &two),
        rows(&[("/*", "web"), ("/* as GET b.example/", "none")])
    );
    assert_eq!(
        of(json!([{ "match": { "path_template": "/" }, "policy": "api" }]), &all),
        rows(&[("/*", "api"), ("/* as GET edge.example/elsewhere", "none")])
    );
    let first = json!([
        { "match": { "path_template": "/a/:id", "method": "GET" }, "policy": "api" },
        { "match": { "path_template": "/a/b" }, "policy": "web" },
    ]);
    let found = of(first, &all);
    assert!(found.contains(&("/* as POST edge.example/a/b".into(), "web".into())), "{found:?}");
}

#[test]
fn a_host_for_all_is_asked_about_with_a_name_that_no_other_host_has() {
    let hosts = json!([
        { "name": "one", "domains": ["edge.example"], "routes": route() },
        { "name": "all", "domains": ["*"], "routes": route() },
    ]);
    let found = chosen(&json!([{ "match": { "host": "edge.example" }, "policy": "web" }]), &hosts);
    assert_eq!(found, [("/*".to_owned(), "web".to_owned()), ("/*".to_owned(), "none".to_owned())]);
}

#[test]
fn modules_that_fill_their_memory_are_not_all_kept() {
    let fills = r#"(module (memory (export "memory") 9000) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#;
    let mut bootstrap = bootstrap(&guest(&json!({})), &route());
    let list = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = bootstrap.pointer_mut(list).unwrap().as_array_mut().unwrap();
    *filters = vec![filters[0].clone(); 100];
    let told = told(&bootstrap, fills);
    let filters = told["edges"][0]["filters"].as_array().unwrap();
    assert_eq!(filters[0]["takes_configuration"], true, "{told:#}");
    assert_eq!(filters[99]["takes_configuration"], false, "each start is work, as a hundred times 600 MB is");
}

#[test]
fn many_routes_times_many_entries_end_with_a_note() {
    let entry = |number: u32| json!({ "match": { "path_template": format!("/a{number}") }, "policy": "web" });
    let value = json!({
        "policies": { "web": { "preset": "helmet" } }, "default_policy": "web",
        "routes": (0..500).map(entry).collect::<Vec<_>>(),
    });
    let mut plugin = guest(&json!({}));
    plugin["vm_config"]["code"] = json!({ "local": { "filename": "security-headers.wasm" } });
    plugin["configuration"] = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": value });
    let route =
        |number: u32| json!({ "match": { "prefix": format!("/b{number}/") }, "direct_response": { "status": 200 } });
    let begun = Instant::now();
    let told = told(&bootstrap(&plugin, &(0..1200).map(route).collect()), "(module)");
    assert!(found(&told).contains(&"routes-many"), "{told:#}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
