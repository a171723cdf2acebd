//! What `portcullis check` says of a route is what Envoy does on it.

use std::{fs, path::Path};

use host_test::check;
use serde_json::{Value, json};
use tests::{Edge, example, manager, plugin};

/// Every way of choosing a policy, and some of choosing none.
fn routes() -> Value {
    let metadata = |policy: Value| json!({ "filter_metadata": { "portcullis.security_headers": policy } });
    let route = |path: &str, metadata: Value| json!({ "name": path, "match": { "path": path }, "metadata": metadata, "direct_response": { "status": 200 } });
    json!([
        { "name": "one", "domains": ["one.example"], "metadata": metadata(json!({ "policy": "logout" })), "routes": [
            route("/named", metadata(json!({ "policy": "api" }))),
            route("/of-the-host", json!({})),
            route("/misspelt", metadata(json!({ "policy": "apj" }))),
            route("/not-overridable", metadata(json!({ "policy": "api", "preset": "helmet" }))),
            route("/shadow", metadata(json!({ "policy": "api", "mode": "shadow" }))),
        ] },
        { "name": "two", "domains": ["two.example"], "routes": [
            route("/by-a-rule", json!({})),
            route("/by-default", json!({})),
        ] },
    ])
}

#[test]
fn the_policy_that_is_told_for_each_route_is_the_one_that_envoy_has_in_force() {
    let (workspace, _) = tests::built();
    for (required, default) in [(true, Some("web")), (false, Some("web")), (false, None)] {
        let mut bootstrap = example(&workspace, Path::new("plugins/security-headers/envoy.yaml"));
        manager(&mut bootstrap)["route_config"]["virtual_hosts"] = routes();
        let configuration = &mut plugin(&mut bootstrap)["configuration"]["value"];
        configuration["require_policy"] = json!(required);
        configuration["overridable"] = json!(["mode"]);
        configuration["routes"] = json!([{ "match": { "path_template": "/by-a-rule" }, "policy": "api" }]);
        match default {
            Some(default) => configuration["default_policy"] = json!(default),
            None => drop(configuration.as_object_mut().unwrap().remove("default_policy")),
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap.json");
        fs::write(&file, bootstrap.to_string()).unwrap();
        let told = check::json(&[file], &[], "1.40").unwrap();
        let rows = told["edges"][0]["routes"].as_array().unwrap();
        assert_eq!(rows.len(), 7, "{told:#}");

        let edge = Edge::start(&bootstrap);
        for row in rows {
            let said = &row["filters"][0];
            let text = |name: &str| said[name].as_str().unwrap().to_owned();
            let host = format!("{}.example", row["virtual_host"].as_str().unwrap());
            let path = row["route"].as_str().unwrap();
            let counter = format!(
                "portcullis.decisions.filter.security_headers.policy.{}.mode.{}.reason.{}$",
                text("policy"),
                text("mode"),
                text("reason")
            );
            let before = edge.count(&counter);
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let answer = tests::status(&edge.head(request.as_bytes()));
            assert_eq!(edge.count(&counter), before + 1, "{row:#}");
            let refused = said["refused_with"].as_str().map_or(200, |status| status.parse().unwrap());
            assert_eq!(answer, Some(refused), "{row:#}");
        }
    }
}
