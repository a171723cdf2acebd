//! Which requests a filter is asked about on a route.
//!
//! 1. A plain one, as the route wants it.
//! 2. A stranger: one that meets no entry of the filter's own `routes`, as far as the route lets it: another host,
//!    another method, a path that no template names. What opens there must not hide behind a plain one that is guarded.
//! 3. For each entry that such a request can meet there: its host, its method, a path of its template. The rest is as
//!    in the plain one, then as in the stranger; then each of its conditions is missed alone.
//! 4. Only those answers are told that differ from the plain one's, and from what is told beside them.
//! 5. To find out which requests come to a route is work, and bounded for a whole edge.

use std::collections::HashSet;

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

/// Why a question is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stranger,
    /// It is what an entry is for.
    Entry,
    /// It is near to the last entry.
    Near,
}

/// Steps of looking where requests go: routes and domains that are compared.
#[derive(Debug)]
pub struct Work(usize);

const MOST_STEPS: usize = 10_000_000;

impl Default for Work {
    fn default() -> Self {
        Self(MOST_STEPS)
    }
}

impl Work {
    pub fn is_spent(&self) -> bool {
        self.0 == 0
    }

    fn take(&mut self, steps: usize) -> bool {
        self.0 = self.0.saturating_sub(steps);
        self.0 > 0
    }
}

impl Question {
    /// The plain request to a route of a host, by an authority that is of that host.
    pub fn plain(authority: &str, route: &Route<'_>) -> Self {
        Self { method: route.method.clone(), authority: authority.to_owned(), path: route.path.clone() }
    }

    pub fn shown(&self) -> String {
        format!("{} {}{}", self.method, self.authority, self.path)
    }
}

/// A host with its routes' surroundings, while its routes are asked about.
pub struct Asking<'a, 'b> {
    pub hosts: &'b [VirtualHost<'a>],
    pub host: &'b VirtualHost<'a>,
    /// Its place among the routes of the host.
    pub place: usize,
    pub route: &'b Route<'a>,
}

impl Asking<'_, '_> {
    /// The requests besides the plain one, for the entries of `routes` in a filter's configuration.
    pub fn of_rules(&self, configuration: &Node, plain: &Question, work: &mut Work) -> Vec<(Kind, Question)> {
        let entries = configuration.get("routes").map(Node::elements).unwrap_or_default();
        let rules: Vec<Rule<'_>> = entries.iter().filter_map(|entry| Some(Rule::of(entry.get("match")?))).collect();
        if !work.take(rules.len()) {
            return Vec::new();
        }
        let rules: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.may_be(self)).collect();
        if rules.is_empty() {
            return Vec::new();
        }
        let mut known = HashSet::from([plain.clone()]);
        let mut questions = Vec::new();
        let stranger = self.stranger(&rules, plain, work);
        if known.insert(stranger.clone()) {
            questions.push((Kind::Stranger, stranger.clone()));
        }
        for rule in rules {
            let mut ask = |kind, question: Question| {
                if !work.is_spent() && !known.contains(&question) && self.comes(&question, work) {
                    known.insert(question.clone());
                    questions.push((kind, question));
                }
            };
            let exact = rule.on(plain);
            ask(Kind::Entry, exact.clone());
            ask(Kind::Near, rule.on(&stranger));
            if rule.method.is_some() {
                ask(Kind::Near, Question { method: stranger.method.clone(), ..exact.clone() });
            }
            if rule.host.is_some() {
                ask(Kind::Near, Question { authority: stranger.authority.clone(), ..exact.clone() });
            }
            if rule.path.is_some() {
                ask(Kind::Near, Question { path: stranger.path.clone(), ..exact });
            }
        }
        questions
    }

    /// Whether a request comes to this route.
    fn comes(&self, question: &Question, work: &mut Work) -> bool {
        let domains: usize = self.hosts.iter().map(|host| 1 + host.domains.len()).sum();
        work.take(domains + self.place)
            && is_of(self.hosts, self.host, &question.authority)
            && matching::comes_to(self.host, self.route, &question.method, &question.path)
    }

    /// A request that meets as little of the entries as it can and comes here.
    fn stranger(&self, rules: &[&Rule<'_>], plain: &Question, work: &mut Work) -> Question {
        let mut stranger = plain.clone();
        let mut turn = |candidates: Vec<Question>| {
            // Several times over all entries would be too much of a good thing.
            if let Some(question) = candidates.into_iter().take(64).find(|question| self.comes(question, work)) {
                stranger = question;
            }
            stranger.clone()
        };
        let mut now = plain.clone();
        let hosts: HashSet<String> = rules.iter().filter_map(|rule| Some(rule.host?.to_ascii_lowercase())).collect();
        if !hosts.is_empty() {
            let is_met = |authority: &str| {
                let host = authority.split(':').next().unwrap_or_default().to_ascii_lowercase();
                let mut below = host.match_indices('.').map(|(dot, _)| format!("*{}", host.get(dot..).unwrap_or("")));
                hosts.contains(&host) || below.any(|name| hosts.contains(&name))
            };
            let of =
                |domain: &&str| NAMES.map(|name| domain.replace('*', if *domain == "*" { name } else { "elsewhere" }));
            let domains = if self.host.domains.is_empty() { &["*"][..] } else { &self.host.domains };
            let names = domains.iter().flat_map(of).filter(|name| !is_met(name));
            now = turn(names.map(|authority| Question { authority, ..now.clone() }).collect());
        }
        let methods: HashSet<&str> = rules.iter().filter_map(|rule| rule.method).collect();
        if !methods.is_empty() {
            let others = matching::METHODS.into_iter().chain(["PURGE"]).filter(|method| !methods.contains(method));
            now = turn(others.map(|method| Question { method: method.to_owned(), ..now.clone() }).collect());
        }
        let paths: Vec<Vec<&str>> = rules.iter().filter_map(|rule| Some(rule.path?.split('/').collect())).collect();
        // No expression is evaluated here.
        if !paths.is_empty() && !self.route.is_by_expression() {
            let is_met = |path: &str| {
                let segments: Vec<&str> = path.split('/').collect();
                paths.iter().any(|template| meets(template, &segments))
            };
            let base = plain.path.trim_end_matches('/');
            let below = [1, 2, 9].map(|times| format!("{base}{}", "/elsewhere".repeat(times)));
            let beside = format!("{}elsewhere", plain.path);
            let others = std::iter::once(plain.path.clone()).chain(below).chain([beside]).filter(|path| !is_met(path));
            now = turn(others.map(|path| Question { path, ..now.clone() }).collect());
        }
        now
    }
}

/// For a domain of `*`: names that hardly anybody has.
const NAMES: [&str; 3] = ["elsewhere.example", "elsewhere.test", "elsewhere.invalid"];

/// Whether an authority is of this host, and of no other one.
pub fn is_of(hosts: &[VirtualHost<'_>], host: &VirtualHost<'_>, authority: &str) -> bool {
    host.domains.is_empty() || matching::host(hosts, authority).is_some_and(|taken| std::ptr::eq(taken, host))
}

/// Whether a path meets a template; `*` is one segment or all that follow.
fn meets(template: &[&str], path: &[&str]) -> bool {
    for (place, wanted) in template.iter().enumerate() {
        match path.get(place) {
            _ if wanted.starts_with('*') && place + 1 == template.len() => return path.len() >= template.len(),
            Some(found) if wanted == found || wanted.starts_with([':', '*']) => {}
            _ => return false,
        }
    }
    template.len() == path.len()
}

/// What an entry asks for.
struct Rule<'a> {
    node: &'a Node,
    host: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
}

impl<'a> Rule<'a> {
    fn of(node: &'a Node) -> Self {
        let text = |field: &str| node.get(field).and_then(Node::text).filter(|text| !text.is_empty());
        Self { node, host: text("host"), method: text("method"), path: text("path_template") }
    }

    fn may_be(&self, asking: &Asking<'_, '_>) -> bool {
        let is_other = |field: &str, name: &str| self.node.get(field).is_some_and(|node| node.text() != Some(name));
        !is_other("route_name", asking.route.name) && !is_other("virtual_host_name", asking.host.name)
    }

    /// A request that it is for, else like another.
    fn on(&self, other: &Question) -> Question {
        Question {
            method: self.method.map_or_else(|| other.method.clone(), str::to_owned),
            authority: self.host.map_or_else(|| other.authority.clone(), |host| host.replace("*.", "edge.")),
            path: self.path.map_or_else(|| other.path.clone(), path),
        }
    }
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
        let asked = |host: usize, place: usize| -> Vec<String> {
            let (host, hosts) = (&hosts[host], &hosts);
            let (route, authority) = (&host.routes[place], host.authority(hosts));
            let asking = Asking { hosts, host, place, route };
            let plain = Question::plain(&authority, route);
            let asked = asking.of_rules(&configuration, &plain, &mut Work::default());
            let (entries, others): (Vec<_>, Vec<_>) = asked.iter().partition(|(kind, _)| *kind == Kind::Entry);
            assert!(others.iter().any(|(kind, _)| *kind == Kind::Stranger), "{others:?}");
            entries.iter().map(|(_, question)| question.shown()).collect()
        };
        assert_eq!(asked(0, 0), ["GET edge.example/items/id"]);
        assert_eq!(asked(0, 1), ["GET edge.example/a/x"]);
        assert_eq!(asked(1, 0), ["GET b.example/items/id", "POST b.example/"]);
    }
}
