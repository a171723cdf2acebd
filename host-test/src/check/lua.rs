//! What a script of Envoy's Lua filter does, as far as its text shows.
//!
//! 1. What stands in `envoy_on_response` concerns the answer alone; any other function may be called for a request.
//! 2. Comments are no code; what a text says in a string is taken for code, which is rare.

use super::document::{Node, Value};

/// Every script in the configuration of a filter, or in what a route says of it.
pub fn scripts(settings: &Node) -> Vec<&str> {
    let mut scripts = Vec::new();
    settings.walk(&mut |node| {
        if let Value::Text(text) = &node.value
            && text.contains("function")
        {
            scripts.push(text.as_str());
        }
    });
    scripts
}

pub fn changes_request_bodies(script: &str) -> bool {
    calls(&of_requests(script), "setBytes")
}

pub fn replies(script: &str) -> bool {
    calls(&code(script), "respond")
}

/// Whether it clears the route cache; Envoy does so by itself, unless it is told not to, where a script changes the
/// head of a request.
pub fn clears_route_cache(script: &str, by_itself: bool) -> bool {
    let of_requests = of_requests(script);
    let changes_head = || {
        let changes = ["replace", "add", "remove"];
        calls(&of_requests, "headers") && changes.iter().any(|change| calls(&of_requests, change))
    };
    calls(&of_requests, "clearRouteCache") || by_itself && changes_head()
}

/// Whether a method of this name is called.
fn calls(code: &str, method: &str) -> bool {
    code.match_indices(method).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default().trim_end();
        let behind = code.get(at + method.len()..).unwrap_or_default().trim_start();
        before.ends_with([':', '.']) && behind.starts_with(['(', '{', '"'])
    })
}

/// Without comments to the end of a line.
fn code(script: &str) -> String {
    let lines = script.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

/// The code but for the function that is called for answers.
fn of_requests(script: &str) -> String {
    let code = code(script);
    let mut kept = String::new();
    for (place, part) in code.split("function ").enumerate() {
        if place == 0 || !part.trim_start().starts_with("envoy_on_response") {
            kept.push_str(part);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_does_to_requests_is_told_from_what_it_does_to_answers_and_says() {
        let request = |body: &str| format!("function envoy_on_request(h)\n  {body}\nend");
        let answer = |body: &str| format!("function envoy_on_response(h)\n  {body}\nend");
        let set = "h:body():setBytes('x')";
        assert!(changes_request_bodies(&request(set)));
        assert!(!changes_request_bodies(&answer(set)) && !changes_request_bodies(&request(&format!("-- {set}"))));
        assert!(changes_request_bodies(&format!("{}\n{}", answer("h:body()"), request(set))));
        assert!(replies(&request("h:respond({[':status'] = '403'}, 'no')")));
        assert!(!replies(&request("local respond = 1")));
    }

    #[test]
    fn a_change_of_a_head_clears_the_route_cache_unless_it_is_told_not_to() {
        let request = |body: &str| format!("function envoy_on_request(h) {body} end");
        let change = request("h:headers():replace('x-a', 'b')");
        assert!(clears_route_cache(&request("h:clearRouteCache()"), false));
        assert!(clears_route_cache(&change, true) && !clears_route_cache(&change, false));
        assert!(!clears_route_cache(&request("h:logInfo(h:headers():get('a'))"), true));
        assert!(!clears_route_cache("function envoy_on_response(h) h:headers():add('a', 'b') end", true));
    }
}
