//! Where Envoy takes a request: the virtual host by its authority, and in it the first route that matches.
//!
//! 1. The host: an exact domain, then the longest `*.suffix`, then the longest `prefix.*`, then `*`.
//! 2. A route matches by path and method as far as that can be told without the request's other headers; what
//!    else it asks for, and an expression, makes it `Perhaps`.

use super::{
    document::Node,
    virtual_host::{Route, VirtualHost},
};

/// What is tried where a route doesn't want one method, in this order.
pub const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matches {
    No,
    Perhaps,
    Yes,
}

/// The host among these that Envoy takes for an authority.
pub fn host<'a, 'b>(hosts: &'b [VirtualHost<'a>], authority: &str) -> Option<&'b VirtualHost<'a>> {
    let rated = hosts.iter().filter_map(|host| {
        let best = host.domains.iter().filter_map(|domain| rating(domain, authority)).max()?;
        Some((best, host))
    });
    rated.max_by_key(|(rating, _)| *rating).map(|(_, host)| host)
}

/// How closely a domain is meant for an authority.
fn rating(domain: &str, authority: &str) -> Option<(u8, usize)> {
    let (domain, authority) = (domain.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let longer = authority.len() >= domain.len();
    match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
        (Some(""), _) => Some((0, 0)),
        (Some(suffix), _) => (longer && authority.ends_with(suffix)).then_some((2, suffix.len())),
        (None, Some(prefix)) => (longer && authority.starts_with(prefix)).then_some((1, prefix.len())),
        (None, None) => (domain == authority).then_some((3, 0)),
    }
}

/// Whether a request with this method and path comes to a route, and to none before it.
pub fn comes_to(host: &VirtualHost<'_>, route: &Route<'_>, method: &str, path: &str) -> bool {
    if matches(route.node, method, path) == Matches::No {
        return false;
    }
    let mut before = host.routes.iter().take_while(|other| !std::ptr::eq(other.node, route.node));
    before.all(|other| matches(other.node, method, path) != Matches::Yes)
}

pub fn matches(route: &Node, method: &str, path: &str) -> Matches {
    let Some(matching) = route.get("match") else { return Matches::Perhaps };
    let whole = path.split(['?', '#']).next().unwrap_or_default();
    let any_case = matching.get("case_sensitive").is_some_and(Node::is_false);
    let begins = |text: &str, with: &str| match text.get(..with.len()) {
        Some(beginning) if any_case => beginning.eq_ignore_ascii_case(with),
        beginning => beginning == Some(with),
    };
    let text = |name: &str| matching.get(name).and_then(Node::text);
    let mut result = Matches::Yes;
    let fits = if let Some(exact) = text("path") {
        whole.len() == exact.len() && begins(whole, exact)
    } else if let Some(prefix) = text("prefix") {
        begins(path, prefix)
    } else if let Some(prefix) = text("path_separated_prefix") {
        let rest = whole.get(prefix.len()..).filter(|_| begins(whole, prefix));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    } else {
        result = Matches::Perhaps;
        true
    };
    if !fits {
        return Matches::No;
    }
    const TOLD: [&str; 5] = ["path", "prefix", "path_separated_prefix", "case_sensitive", "headers"];
    if matching.fields().iter().any(|(name, _)| !TOLD.iter().any(|told| super::document::is_named(name, told))) {
        result = Matches::Perhaps;
    }
    for header in matching.get("headers").map(Node::elements).unwrap_or_default() {
        let of_method = (header.text_of("name") == ":method").then(|| wants(header, method)).flatten();
        match of_method {
            Some(true) => {}
            Some(false) => return Matches::No,
            None => result = Matches::Perhaps,
        }
    }
    result
}

/// Whether a matcher of headers takes a method; `None` where that can't be told.
fn wants(header: &Node, method: &str) -> Option<bool> {
    let string = header.get("string_match").unwrap_or(header);
    let text = |name: &str| string.get(name).or_else(|| header.get(&format!("{name}_match"))).and_then(Node::text);
    let regex = string.get("safe_regex").or_else(|| header.get("safe_regex_match"));
    let wants = if let Some(exact) = text("exact") {
        exact == method
    } else if let Some(prefix) = text("prefix") {
        method.starts_with(prefix)
    } else if let Some(regex) = regex.map(|regex| regex.text_of("regex")) {
        let plain = regex.trim_start_matches(['^', '(']).trim_end_matches(['$', ')']);
        if !plain.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'|') {
            return None;
        }
        plain.split('|').any(|one| one == method)
    } else if header.get("present_match").is_some() {
        true
    } else {
        return None;
    };
    Some(wants != header.get("invert_match").is_some_and(Node::is_true))
}

/// The first method that a route takes.
pub fn method(route: &Node) -> &str {
    let headers = route.at_path(&["match", "headers"]).map(Node::elements).unwrap_or_default();
    let of_method: Vec<&Node> = headers.iter().filter(|header| header.text_of("name") == ":method").collect();
    let takes = |method: &str| of_method.iter().all(|header| wants(header, method) != Some(false));
    let odd = of_method.iter().filter_map(|header| {
        header.at_path(&["string_match", "exact"]).or_else(|| header.get("exact_match")).and_then(Node::text)
    });
    METHODS.into_iter().chain(odd).find(|method| takes(method)).unwrap_or(METHODS[0])
}

/// The plain characters that an expression for a path begins with: a path that it matches, often.
pub fn beginning(regex: &str) -> String {
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    let end = regex.find(|letter: char| r".[]()*+?{}|\^$".contains(letter)).unwrap_or(regex.len());
    let (plain, rest) = regex.split_at(end);
    let mut plain = plain.to_owned();
    // What is repeated may be left out, and what stands for an alternative is none.
    match rest.chars().next() {
        Some('*' | '?' | '{') => drop(plain.pop()),
        Some('|') => plain.clear(),
        _ => {}
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::parse::parse;

    #[test]
    fn the_host_is_the_one_that_envoy_takes() {
        let text = "virtual_hosts: [{name: all, domains: ['*']}, {name: suffix, domains: ['*.example']}, {name: \
                    longer, domains: ['*.a.example']}, {name: prefix, domains: ['www.*']}, {name: exact, domains: \
                    [A.example, 'b.example:8080']}]";
        let root = parse(text).unwrap().remove(0);
        let hosts = VirtualHost::all(&root, Path::new("a"));
        for (authority, expected) in [
            ("a.example", "exact"),
            ("b.example:8080", "exact"),
            ("b.example", "suffix"),
            ("x.a.example", "longer"),
            ("www.other", "prefix"),
            ("www.example", "suffix"),
            ("example", "all"),
        ] {
            assert_eq!(host(&hosts, authority).unwrap().name, expected, "{authority}");
        }
    }

    #[test]
    fn a_route_matches_by_path_and_method() {
        for (route, method, path, expected) in [
            ("{path: /a}", "GET", "/a?x", Matches::Yes),
            ("{path: /a}", "GET", "/ab", Matches::No),
            ("{path: /A, case_sensitive: false}", "GET", "/a", Matches::Yes),
            ("{prefix: /a}", "GET", "/ab", Matches::Yes),
            ("{path_separated_prefix: /a}", "GET", "/a/b", Matches::Yes),
            ("{path_separated_prefix: /a}", "GET", "/ab", Matches::No),
            ("{safe_regex: {regex: /a}}", "GET", "/b", Matches::Perhaps),
            ("{prefix: /, grpc: {}}", "GET", "/", Matches::Perhaps),
            ("{prefix: /, headers: [{name: x-a, present_match: true}]}", "GET", "/", Matches::Perhaps),
            ("{prefix: /, headers: [{name: ':method', string_match: {exact: POST}}]}", "GET", "/", Matches::No),
            (
                "{prefix: /, headers: [{name: ':method', string_match: {exact: GET}, invert_match: true}]}",
                "POST",
                "/",
                Matches::Yes,
            ),
        ] {
            let node = parse(&format!("match: {route}")).unwrap().remove(0);
            assert_eq!(matches(&node, method, path), expected, "{route} {method} {path}");
        }
    }

    #[test]
    fn a_route_is_asked_with_a_method_and_a_path_that_it_takes() {
        for (matcher, expected) in [
            ("string_match: {exact: POST}", "POST"),
            ("exact_match: PURGE", "PURGE"),
            ("string_match: {safe_regex: {regex: 'PUT|POST'}}", "POST"),
            ("string_match: {exact: GET}, invert_match: true", "POST"),
            ("present_match: true", "GET"),
        ] {
            let text = format!("match: {{prefix: /, headers: [{{name: ':method', {matcher}}}]}}");
            assert_eq!(method(&parse(&text).unwrap().remove(0)), expected, "{matcher}");
        }
        for (regex, expected) in
            [("/rx/.*", "/rx/"), ("^/a/b$", "/a/b"), ("/ab*", "/a"), ("/a|/b", ""), (".*", ""), ("/v[0-9]/x", "/v")]
        {
            assert_eq!(beginning(regex), expected, "{regex}");
        }
    }
}
