//! Which requests a filter is asked about on a route.
//!
//! 1. A plain one, as the route wants it.
//! 2. One for each entry of the filter's own `routes` that such a request can meet there: its host, its method,
//!    a path of its template. Only those answers are told that differ from the plain one's.

use super::{
    document::Node,
    matching,
    virtual_host::{Route, VirtualHost},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub method: String,
    pub authority: String,
    pub path: String,
}

impl Question {
    /// The plain request to a route.
    pub fn plain(host: &VirtualHost<'_>, route: &Route<'_>) -> Self {
        Self { method: route.method.clone(), authority: host.authority(), path: route.path.clone() }
    }

    pub fn shown(&self) -> String {
        format!("{} {}{}", self.method, self.authority, self.path)
    }
}

/// The requests besides the plain one that the entries of `routes` in a filter's configuration are for.
pub fn of_rules(
    configuration: &Node,
    hosts: &[VirtualHost<'_>],
    host: &VirtualHost<'_>,
    route: &Route<'_>,
) -> Vec<Question> {
    let plain = Question::plain(host, route);
    let mut questions: Vec<Question> = Vec::new();
    for rule in configuration.get("routes").map(Node::elements).unwrap_or_default() {
        let Some(wanted) = rule.get("match") else { continue };
        let is_other = |field: &str, name: &str| wanted.get(field).is_some_and(|node| node.text() != Some(name));
        if is_other("route_name", route.name) || is_other("virtual_host_name", host.name) {
            continue;
        }
        let text = |field: &str| wanted.get(field).and_then(Node::text).filter(|text| !text.is_empty());
        let question = Question {
            method: text("method").map_or_else(|| plain.method.clone(), str::to_owned),
            authority: text("host").map_or_else(|| plain.authority.clone(), |host| host.replace("*.", "edge.")),
            path: text("path_template").map_or_else(|| plain.path.clone(), path),
        };
        let is_of_host = || match host.domains.is_empty() {
            true => true,
            false => matching::host(hosts, &question.authority).is_some_and(|taken| std::ptr::eq(taken, host)),
        };
        let is_new = question != plain && !questions.contains(&question);
        if is_new && is_of_host() && matching::comes_to(host, route, &question.method, &question.path) {
            questions.push(question);
        }
    }
    questions
}

/// A path of a template: `/a/:id` → `/a/id`, `/a/*` → `/a/x`.
fn path(template: &str) -> String {
    let segments = template.split('/').map(|segment| match segment {
        "*" => "x",
        named => named.strip_prefix(':').unwrap_or(named),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::parse::parse;

    #[test]
    fn an_entry_is_asked_about_where_its_requests_come() {
        let routes = "virtual_hosts: [{name: all, domains: ['*'], routes: [{name: items, match: {prefix: /items/}}, \
                      {name: rest, match: {prefix: /}}]}, {name: b, domains: [b.example], routes: [{match: {prefix: \
                      /}}]}]";
        let configuration = "routes: [{match: {path_template: '/items/:id'}}, {match: {host: b.example, method: \
                             POST}}, {match: {route_name: rest, path_template: /a/*}}, {match: {method: GET}}]";
        let (routes, configuration) = (parse(routes).unwrap().remove(0), parse(configuration).unwrap().remove(0));
        let hosts = VirtualHost::all(&routes, Path::new("a"));
        let asked = |host: usize, route: usize| -> Vec<String> {
            let (host, hosts) = (&hosts[host], &hosts);
            of_rules(&configuration, hosts, host, &host.routes[route]).iter().map(Question::shown).collect()
        };
        assert_eq!(asked(0, 0), ["GET edge.example/items/id"]);
        assert_eq!(asked(0, 1), ["GET edge.example/a/x"]);
        assert_eq!(asked(1, 0), ["GET b.example/items/id", "POST b.example/"]);
    }
}
