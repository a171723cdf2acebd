//! What differs between the versions of Envoy that are supported, in one place.

use std::ffi::OsString;

use serde_json::Value;

/// `1.40.0` → 40. What isn't a version of Envoy 1 counts as newer than all.
fn minor(version: &str) -> u32 {
    version.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(u32::MAX)
}

/// The arguments under which each line of the access log is written at once. Envoy before 1.37 knows
/// no such argument, and writes within its flush interval.
pub fn lines_at_once(version: &str) -> Vec<OsString> {
    if minor(version) < 37 { Vec::new() } else { ["--file-flush-min-size-kb", "0"].map(Into::into).to_vec() }
}

/// Envoy before 1.40 wants the capability list beside `vm_config`, not in it.
pub fn place_capabilities(bootstrap: &mut Value, version: &str) {
    if minor(version) < 40 {
        lift(bootstrap);
    }
}

fn lift(value: &mut Value) {
    const LIST: &str = "capability_restriction_config";
    match value {
        Value::Object(members) => {
            let list = members.get_mut("vm_config").and_then(Value::as_object_mut).and_then(|vm| vm.remove(LIST));
            members.extend(list.map(|list| (LIST.to_owned(), list)));
            members.values_mut().for_each(lift);
        }
        Value::Array(elements) => elements.iter_mut().for_each(lift),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_capability_list_stands_where_the_version_looks_for_it() {
        let new = json!([{ "config": { "vm_config": { "vm_id": "a", "capability_restriction_config": { "x": 1 } } } }]);
        let old = json!([{ "config": { "vm_config": { "vm_id": "a" }, "capability_restriction_config": { "x": 1 } } }]);
        for (version, expected) in [("1.40.0", &new), ("1.41.2", &new), ("1.39.3", &old), ("1.36.4", &old)] {
            let mut bootstrap = new.clone();
            place_capabilities(&mut bootstrap, version);
            assert_eq!(&bootstrap, expected, "{version}");
        }
    }
}
