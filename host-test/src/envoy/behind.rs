//! The filter behind the one under test: a Lua filter that answers a request itself, or sends it to
//! another route. It shows nothing of this in the request.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::scenario::Reply;

/// Where the Lua filter says that a request is rerouted.
const NAMESPACE: &str = "portcullis.host_test";

/// The filter, or `None` where there is nothing for it to do.
pub fn filter(reroute: bool, reply: Option<&Reply>) -> Option<Value> {
    if !reroute && reply.is_none() {
        return None;
    }
    Some(json!({ "name": "behind", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": { "inline_string": script(reroute, reply) },
    } }))
}

/// Matches requests that the Lua filter has rerouted.
pub fn reroute_matcher() -> Value {
    json!({
        "filter": NAMESPACE,
        "path": [{ "key": "reroute" }],
        "value": { "bool_match": true },
    })
}

fn script(reroute: bool, reply: Option<&Reply>) -> String {
    let mut script = String::from("function envoy_on_request(handle)\n");
    if reroute {
        let _ = writeln!(script, "  handle:streamInfo():dynamicMetadata():set(\"{NAMESPACE}\", \"reroute\", true)");
        script.push_str("  handle:clearRouteCache()\n");
    }
    if let Some(reply) = reply {
        let body = quoted(&reply.body.0);
        let _ = writeln!(script, "  handle:respond({{[\":status\"] = \"{}\"}}, {body})", reply.status);
    }
    script.push_str("end\n");
    if let Some(reply) = reply {
        script.push_str(&headers(reply));
    }
    script
}

/// `respond` takes a table, which has no order, so the lines are added to the response as it comes
/// by. What Envoy adds to a reply comes after them, as where a filter's code replies.
fn headers(reply: &Reply) -> String {
    let mut script = String::from("function envoy_on_response(handle)\n  local headers = handle:headers()\n");
    let defaults = ["content-length", "content-type"];
    for (index, name) in defaults.iter().enumerate() {
        let _ = writeln!(script, "  local default{index} = headers:get(\"{name}\")\n  headers:remove(\"{name}\")");
    }
    for (name, value) in &reply.headers.0 {
        let _ = writeln!(script, "  headers:add({}, {})", quoted(name.as_bytes()), quoted(&value.0));
    }
    for (index, name) in defaults.iter().enumerate() {
        if !reply.headers.0.iter().any(|(line, _)| line == name) {
            let _ = writeln!(script, "  if default{index} then headers:add(\"{name}\", default{index}) end");
        }
    }
    script.push_str("end\n");
    script
}

/// Any bytes as a Lua string.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_can_stand_in_a_lua_string() {
        assert_eq!(quoted(b"a\"\\\x00\xff1"), r#""a\"\\\000\2551""#);
    }

    #[test]
    fn a_filter_stands_there_only_where_it_is_needed() {
        assert!(filter(false, None).is_none());
        assert!(filter(true, None).unwrap().to_string().contains("clearRouteCache"));
    }
}
