//! What `portcullis check` says of a route is what Envoy does on it.

use std::{fs, path::Path};

use host_test::check;
use serde_json::{Value, json};
use tests::{Edge, example, manager, plugin};

/// Every way of choosing a policy, and some of choosing none.
fn routes() -> Value {
    let metadata = |policy: Value| json!({ "filter_metadata": { "portcullis.security_headers": policy } });
    let route = |path: &str, metadata: Value| json!({ "name": path, "match": { "path": path }, "metadata": metadata, "direct_response": { "status": 200 } });
    let off = |disabled: bool| {
        let config = json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": disabled, "config": {} });
        json!({ FILTER: config })
    };
    let switched = |path: &str, disabled: bool| {
        let mut route = route(path, json!({}));
        route["typed_per_filter_config"] = off(disabled);
        route
    };
    // A weighted cluster is closer than its route.
    let weighted = |path: &str, of_route: Value, disabled: bool| {
        let clusters = json!([{ "name": "backend", "weight": 1, "typed_per_filter_config": off(disabled) }]);
        json!({
            "name": path, "match": { "path": path }, "metadata": metadata(json!({ "policy": "api" })),
            "typed_per_filter_config": of_route, "route": { "weighted_clusters": { "clusters": clusters } },
        })
    };
    let mut typed = metadata(json!({ "policy": "api" }));
    let message = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": { "policy": "api" } });
    typed["typed_filter_metadata"] = json!({ FILTER: message });
    json!([
        { "name": "one", "domains": ["one.example"], "metadata": metadata(json!({ "policy": "logout" })), "routes": [
            route("/named", metadata(json!({ "policy": "api" }))),
            route("/of-the-host", json!({})),
            route("/misspelt", metadata(json!({ "policy": "apj" }))),
            route("/not-overridable", metadata(json!({ "policy": "api", "preset": "helmet" }))),
            route("/shadow", metadata(json!({ "policy": "api", "mode": "shadow" }))),
            switched("/off", true),
            weighted("/weighted-off", json!({}), true),
            weighted("/weighted-on", off(true), false),
            route("/typed", typed),
        ] },
        { "name": "two", "domains": ["two.example"], "routes": [
            route("/by-a-rule", json!({})),
            route("/by-default", json!({})),
        ] },
        { "name": "three", "domains": ["three.example"], "typed_per_filter_config": off(true), "routes": [
            route("/off-by-the-host", json!({})),
            switched("/on", false),
        ] },
        { "name": "four", "domains": ["*.four.example", "four.*", "four.other:8080"], "routes": [
            { "name": "items", "match": { "prefix": "/items/" }, "direct_response": { "status": 200 } },
            { "name": "expression", "match": { "safe_regex": { "regex": "/[a-z]+/deep" } }, "direct_response": { "status": 200 } },
            { "name": "posts", "match": { "prefix": "/", "headers": [{ "name": ":method", "string_match": { "safe_regex": { "regex": "PUT|POST" } } }] }, "direct_response": { "status": 200 } },
            { "name": "rest", "match": { "prefix": "/" }, "direct_response": { "status": 200 } },
        ] },
    ])
}

/// The name of the filter in the list of filters.
const FILTER: &str = "portcullis.security_headers";

const DECISIONS: &str = "portcullis.decisions.filter.security_headers";

#[test]
fn the_policy_that_is_told_for_each_route_is_the_one_that_envoy_has_in_force() {
    let (workspace, _) = tests::built();
    for (required, default) in [(true, Some("web")), (false, Some("web")), (false, None)] {
        let mut bootstrap = example(&workspace, Path::new("plugins/security-headers/envoy.yaml"));
        manager(&mut bootstrap)["route_config"]["virtual_hosts"] = routes();
        let configuration = &mut plugin(&mut bootstrap)["configuration"]["value"];
        configuration["require_policy"] = json!(required);
        configuration["overridable"] = json!(["mode"]);
        configuration["routes"] = json!([
            { "match": { "path_template": "/by-a-rule" }, "policy": "api" },
            { "match": { "path_template": "/items/:id" }, "policy": "api" },
            { "match": { "path_template": "/rx/deep" }, "policy": "logout" },
            { "match": { "host": "x.four.example" }, "policy": "api" },
            { "match": { "method": "DELETE" }, "policy": "logout" },
            { "match": { "method": "PUT", "host": "one.example" }, "policy": "logout" },
        ]);
        match default {
            Some(default) => configuration["default_policy"] = json!(default),
            None => drop(configuration.as_object_mut().unwrap().remove("default_policy")),
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap.json");
        fs::write(&file, bootstrap.to_string()).unwrap();
        let told = check::json(&[file], &[], "1.40").unwrap();
        let rows = told["edges"][0]["routes"].as_array().unwrap();
        let of = |host: &str| rows.iter().filter(|row| row["virtual_host"] == host).count();
        // A row for each route, and one for each entry of `routes` that chooses otherwise there.
        assert_eq!(["one", "two", "three", "four"].map(of), [9, 3, 3, 18], "{told:#}");

        let edge = Edge::start(&bootstrap);
        let file = folder.path().join("config_dump.json");
        fs::write(&file, edge.config_dump()).unwrap();
        let of_dump = check::json(&[file], &[], "1.40").unwrap();
        assert_eq!(of_dump["edges"][0]["routes"], told["edges"][0]["routes"]);
        for row in rows {
            let said = &row["filters"][0];
            let text = |name: &str| said[name].as_str().unwrap().to_owned();
            let [method, host, path] =
                ["method", "authority", "path"].map(|name| row["request"][name].as_str().unwrap());
            let counter = match said["off"].as_bool() {
                Some(true) => DECISIONS.to_owned(),
                _ => format!("{DECISIONS}.policy.{}.mode.{}.reason.{}$", text("policy"), text("mode"), text("reason")),
            };
            let before = edge.count(&counter);
            let length = if method == "GET" { "" } else { "content-length: 0\r\n" };
            let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{length}connection: close\r\n\r\n");
            let answer = tests::status(&edge.head(request.as_bytes()));
            let decided = u64::from(said["off"] == false);
            assert_eq!(edge.count(&counter), before + decided, "{row:#}");
            let refused = said["refused_with"].as_str().map_or(200, |status| status.parse().unwrap());
            assert_eq!(answer, Some(refused), "{row:#}");
        }
    }
}

#[test]
fn an_upgrade_with_filters_of_its_own_passes_without_those_that_it_leaves_out() {
    let (workspace, _) = tests::built();
    let mut bootstrap = example(&workspace, Path::new("plugins/security-headers/envoy.yaml"));
    let manager = manager(&mut bootstrap);
    let router = manager["http_filters"].as_array().unwrap().last().unwrap().clone();
    manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket", "filters": [router] }]);
    manager["route_config"]["virtual_hosts"] = routes();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bootstrap.json");
    fs::write(&file, bootstrap.to_string()).unwrap();
    let found = check::findings(&[file], &[], "1.40").unwrap();
    assert!(found.iter().any(|finding| finding.rule.id == "upgrade-unfiltered"), "{found:#?}");

    let edge = Edge::start(&bootstrap);
    let send = |more: &str| {
        let request = format!("GET /named HTTP/1.1\r\nhost: one.example\r\n{more}\r\n");
        tests::status(&edge.head(request.as_bytes()))
    };
    let decided = || edge.count(DECISIONS);
    assert_eq!(send("connection: close\r\n"), Some(200));
    let before = decided();
    assert!(before > 0);
    assert_eq!(send("connection: upgrade\r\nupgrade: websocket\r\n"), Some(200));
    assert_eq!(decided(), before);
}
