//! The rules of the house that no compiler holds.

use std::{collections::BTreeSet, fs, path::Path};

use host_test::schema;
use serde_json::Value;
use tests::{Edge, example, examples, manager};

fn objects<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.push(value);
            members.values().for_each(|member| objects(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| objects(element, found)),
        _ => {}
    }
}

/// Every `PluginConfig` of an example.
fn wasm_filters(bootstrap: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    objects(bootstrap, &mut all);
    all.into_iter().filter(|object| object.get("vm_config").is_some()).collect()
}

#[test]
fn every_example_reloads_after_a_trap_has_a_vm_of_its_own_and_allows_exactly_what_its_module_needs() {
    let (workspace, built) = tests::built();
    for file in examples(&workspace) {
        let bootstrap = example(&workspace, &file);
        let filters = wasm_filters(&bootstrap);
        assert!(!filters.is_empty(), "{}", file.display());
        let mut vm_ids = BTreeSet::new();
        for filter in filters {
            let what = format!("{}: {}", file.display(), filter["name"]);
            assert_eq!(filter["failure_policy"], "FAIL_RELOAD", "{what}");
            let vm = &filter["vm_config"];
            let vm_id = vm["vm_id"].as_str().unwrap_or_default();
            assert!(!vm_id.is_empty() && vm_ids.insert(vm_id.to_owned()), "{what}: its own vm_id");
            let module = vm["code"]["local"]["filename"].as_str().unwrap();
            let built =
                built.iter().find(|built| Path::new(module).file_name() == built.module.path.file_name()).unwrap();
            let allowed = vm["capability_restriction_config"]["allowed_capabilities"].as_object().unwrap();
            let allowed: BTreeSet<&str> = allowed.keys().map(String::as_str).collect();
            assert_eq!(allowed, built.inspection.capabilities().collect(), "{what}");
        }
    }
}

#[test]
fn every_example_runs_as_it_stands() {
    let (workspace, _) = tests::built();
    for file in examples(&workspace) {
        let mut bootstrap = example(&workspace, &file);
        let hosts = manager(&mut bootstrap)["route_config"]["virtual_hosts"].clone();
        let edge = Edge::start(&bootstrap);
        // A filter may be off where nothing asks for it: each route is asked, and `/` answers in any case.
        for route in hosts[0]["routes"].as_array().unwrap() {
            if let Some(path) = route["match"]["path"].as_str() {
                edge.get(path);
            }
        }
        let answer = edge.get("/");
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"),
            "{}: {answer}",
            file.display()
        );
        assert!(edge.count("portcullis.decisions") > 0, "{}: no decision was made", file.display());
    }
}

#[test]
fn every_module_stays_below_its_limit() {
    let (_, built) = tests::built();
    for plugin in built {
        let limit = match plugin.plugin.as_str() {
            "security-headers" => 150 << 10,
            "rate-limit" => 210 << 10,
            _ => 250 << 10,
        };
        assert!(plugin.module.size <= limit, "{}: {} bytes", plugin.plugin, plugin.module.size);
    }
}

#[test]
fn no_module_holds_a_path_of_the_machine_that_built_it() {
    let (workspace, built) = tests::built();
    let home = std::env::var("HOME").unwrap();
    for plugin in built {
        let module = fs::read(&plugin.module.path).unwrap();
        for path in [workspace.root.to_str().unwrap(), &format!("{home}/")] {
            let found = module.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found, "{} holds {path}", plugin.plugin);
        }
    }
}

#[test]
fn committed_schemas_are_what_the_types_say() {
    assert!(schema::schema(true).unwrap(), "run `cargo portcullis schema` and commit what it writes");
}

#[test]
fn counts_are_no_worse_than_the_committed_baselines() {
    use host_test::bench::{self, Bench};
    assert!(bench::run(Bench::Wasm { save: false }).unwrap(), "see the figures above");
}

#[test]
fn every_plugin_has_the_files_of_the_house_and_is_named_in_the_readme() {
    let (workspace, _) = tests::built();
    let readme = fs::read_to_string(workspace.root.join("README.md")).unwrap();
    for plugin in workspace.plugins().unwrap() {
        for file in
            ["README.md", "envoy.yaml", "schema.json", "benches/baseline.json", "src/config.rs", "src/decide.rs"]
        {
            assert!(plugin.folder.join(file).is_file(), "{} lacks {file}", plugin.name);
        }
        assert!(readme.contains(&format!("plugins/{}", plugin.name)), "the README's table lacks {}", plugin.name);
    }
}

#[test]
fn plugins_depend_on_the_kit_and_on_no_other_plugin_and_the_host_on_none() {
    let (workspace, _) = tests::built();
    let names: Vec<String> = workspace.plugins().unwrap().into_iter().map(|plugin| plugin.name).collect();
    let mut manifests: Vec<_> =
        names.iter().map(|name| (name.as_str(), format!("plugins/{name}/Cargo.toml"))).collect();
    manifests.push(("host-test", "host-test/Cargo.toml".into()));
    for (owner, manifest) in manifests {
        let text = fs::read_to_string(workspace.root.join(&manifest)).unwrap();
        for other in names.iter().filter(|name| *name != owner) {
            assert!(!text.lines().any(|line| line.starts_with(other.as_str())), "{manifest} depends on {other}");
        }
    }
}

#[test]
fn every_field_and_reason_of_a_filter_stands_in_its_readme() {
    let (workspace, built) = tests::built();
    for plugin in workspace.plugins().unwrap() {
        let readme = fs::read_to_string(plugin.folder.join("README.md")).unwrap();
        let schema: Value =
            serde_json::from_str(&fs::read_to_string(plugin.folder.join("schema.json")).unwrap()).unwrap();
        let title = format!("Configuration of portcullis.{}", plugin.name.replace('-', "_"));
        assert_eq!(schema["title"], title, "the argument of schema::of is the filter's name in snake case");
        let mut all = Vec::new();
        objects(&schema, &mut all);
        let fields =
            all.iter().filter_map(|object| object.get("properties")?.as_object()).flat_map(|fields| fields.keys());
        let missing: Vec<&String> = fields.filter(|field| !readme.contains(&format!("`{field}`"))).collect();
        assert!(missing.is_empty(), "{}'s README doesn't name the fields {missing:?}", plugin.name);
        // Every reason that a configuration defines a counter for, as the module itself says.
        let module = fs::read(&built.iter().find(|built| built.plugin == plugin.name).unwrap().module.path).unwrap();
        let text = fs::read_to_string(workspace.root.join("plugins/kit/src/reason.rs")).unwrap()
            + &fs::read_to_string(plugin.folder.join("src/decide.rs")).unwrap();
        let codes: Vec<&str> = text.split("Reason(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!codes.is_empty());
        for code in &codes {
            assert!(module.windows(code.len()).any(|window| window == code.as_bytes()), "{code} isn't in the module");
        }
        let missing: Vec<&&str> = codes.iter().filter(|code| !readme.contains(&format!("`{code}`"))).collect();
        assert!(missing.is_empty(), "{}'s README doesn't name the reasons {missing:?}", plugin.name);
    }
}
