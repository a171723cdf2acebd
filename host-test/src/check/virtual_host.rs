//! Virtual hosts and their routes, and where a connection manager has them from.

use std::path::Path;

use super::document::{Document, Node};

#[derive(Clone, Debug)]
pub struct VirtualHost<'a> {
    pub node: &'a Node,
    pub name: &'a str,
    /// One that it is for; empty where it is for all.
    pub domain: &'a str,
    pub metadata: Option<&'a Node>,
    pub routes: Vec<Route<'a>>,
    /// The file that the routes stand in.
    pub file: &'a Path,
    /// What is said of single filters, the closest first.
    per_filter: Vec<&'a Node>,
}

#[derive(Clone, Debug)]
pub struct Route<'a> {
    pub node: &'a Node,
    pub name: &'a str,
    pub metadata: Option<&'a Node>,
    /// How a person says what it matches.
    pub shown: String,
    /// A path that it matches.
    pub path: String,
    pub method: String,
}

/// The route configurations of all files.
pub struct RouteConfigurations<'a> {
    /// By name, with their files.
    named: Vec<(&'a str, &'a Node, &'a Path)>,
    /// Those that scopes name, where scopes are resources of their own.
    scoped: Vec<&'a str>,
}

impl<'a> RouteConfigurations<'a> {
    pub fn of(documents: &'a [Document]) -> Self {
        let mut found = Self { named: Vec::new(), scoped: Vec::new() };
        for document in documents {
            for root in &document.roots {
                root.walk(&mut |node| {
                    if node.get("virtual_hosts").is_some() {
                        found.named.push((node.text_of("name"), node, document.file.as_path()));
                    } else if node.is_a("ScopedRouteConfiguration") {
                        found.scoped.push(node.text_of("route_configuration_name"));
                    }
                });
            }
        }
        found
    }

    /// The virtual hosts of a manager, and what says that they come from elsewhere, if nothing here holds them.
    pub fn hosts(&self, manager: &'a Node, file: &'a Path) -> (Vec<VirtualHost<'a>>, Option<&'a Node>) {
        if let Some(inline) = manager.get("route_config") {
            return (hosts(inline, file), inline.get("vhds"));
        }
        let Some(source) = manager.get("rds").or_else(|| manager.get("scoped_routes")) else {
            return (Vec::new(), None);
        };
        let list = source.at_path(&["scoped_route_configurations_list", "scoped_route_configurations"]);
        let scopes = list.map(Node::elements).unwrap_or_default();
        let mut wanted: Vec<&str> = scopes.iter().map(|scope| scope.text_of("route_configuration_name")).collect();
        wanted.push(source.text_of("route_config_name"));
        if source.get("scoped_rds").is_some() {
            wanted.extend(&self.scoped);
        }
        let inline = scopes.iter().filter_map(|scope| scope.get("route_configuration"));
        let mut found: Vec<VirtualHost<'a>> = inline.flat_map(|inline| hosts(inline, file)).collect();
        for name in wanted.into_iter().filter(|name| !name.is_empty()) {
            let named = self.named.iter().find(|(known, ..)| *known == name);
            found.extend(named.into_iter().flat_map(|(_, configuration, file)| hosts(configuration, file)));
        }
        let elsewhere = found.is_empty().then_some(source);
        (found, elsewhere)
    }
}

fn hosts<'a>(configuration: &'a Node, file: &'a Path) -> Vec<VirtualHost<'a>> {
    let hosts = configuration.get("virtual_hosts").map(Node::elements).unwrap_or_default();
    let of = |node: &'a Node| {
        let domains = node.get("domains").map(Node::elements).unwrap_or_default();
        let domain = domains.iter().filter_map(Node::text).find(|domain| !domain.contains('*'));
        VirtualHost {
            node,
            name: node.text_of("name"),
            domain: domain.unwrap_or_default(),
            metadata: node.get("metadata"),
            routes: routes(node),
            file,
            per_filter: [node, configuration].into_iter().filter_map(|node| node.get(PER_FILTER)).collect(),
        }
    };
    hosts.iter().map(of).collect()
}

const PER_FILTER: &str = "typed_per_filter_config";

/// The routes of a virtual host, those in its tree of matchers with them.
fn routes(host: &Node) -> Vec<Route<'_>> {
    let listed = host.get("routes").map(Node::elements).unwrap_or_default();
    let mut routes: Vec<Route<'_>> = listed.iter().map(Route::of).collect();
    if let Some(matcher) = host.get("matcher") {
        matcher.walk(&mut |node| {
            if node.is_a("Route") {
                routes.push(Route { shown: shown_in_tree(node), ..Route::of(node) });
            } else if node.is_a("RouteList") {
                routes.extend(node.get("routes").map(Node::elements).unwrap_or_default().iter().map(Route::of));
            }
        });
    }
    routes
}

fn shown_in_tree(route: &Node) -> String {
    let name = route.text_of("name");
    if name.is_empty() { "by a matcher".into() } else { format!("{name}, by a matcher") }
}

impl VirtualHost<'_> {
    /// Whether a filter is switched off on a route: `disabled` of the closest that speaks.
    pub fn has_off(&self, route: &Route<'_>, filter: &Node) -> bool {
        let name = filter.text_of("name");
        let closest = route.node.get(PER_FILTER).into_iter().chain(self.per_filter.iter().copied());
        let said = closest.filter_map(|filters| filters.fields().iter().find(|(key, _)| key == name)).next();
        match said {
            Some((_, of_filter)) => of_filter.get("disabled").is_some_and(Node::is_true),
            None => filter.get("disabled").is_some_and(Node::is_true),
        }
    }
}

impl<'a> Route<'a> {
    fn of(node: &'a Node) -> Self {
        let matching = node.get("match");
        let field = |name: &str| matching.and_then(|matching| matching.get(name));
        let text = |name: &str| field(name).and_then(Node::text).map(str::to_owned);
        let (shown, path) = if let Some(path) = text("path") {
            (path.clone(), path)
        } else if let Some(prefix) = text("prefix") {
            (format!("{prefix}*"), prefix)
        } else if let Some(prefix) = text("path_separated_prefix") {
            (format!("{prefix}/*"), prefix)
        } else if let Some(regex) = field("safe_regex") {
            (format!("~ {}", regex.text_of("regex")), "/".to_owned())
        } else {
            let fields = matching.map(Node::fields).unwrap_or_default();
            (fields.first().map_or("any", |(name, _)| name.as_str()).to_owned(), "/".to_owned())
        };
        // A prefix may be empty, and a path that isn't absolute is no request's.
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let headers = field("headers").map(Node::elements).unwrap_or_default();
        let of_method = headers.iter().find(|header| header.text_of("name") == ":method");
        let method = of_method.and_then(|header| {
            let matched = header.get("string_match").map(|wanted| wanted.text_of("exact"));
            matched.or_else(|| header.get("exact_match").and_then(Node::text)).filter(|method| !method.is_empty())
        });
        let shown = method.map_or_else(|| shown.clone(), |method| format!("{method} {shown}"));
        let method = method.unwrap_or("GET").to_owned();
        Self { node, name: node.text_of("name"), metadata: node.get("metadata"), shown, path, method }
    }
}
