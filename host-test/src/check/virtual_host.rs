//! Virtual hosts and their routes, and where a connection manager has them from.

use std::path::Path;

use super::{
    document::{Document, Node},
    matching,
};

#[derive(Clone, Debug)]
pub struct VirtualHost<'a> {
    pub node: &'a Node,
    pub name: &'a str,
    /// The hosts that it is for, `*` among them, as they are written.
    pub domains: Vec<&'a str>,
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
    /// A path that it matches, as far as can be told.
    pub path: String,
    pub method: String,
    /// What the one of its weighted clusters says of single filters.
    of_cluster: Option<&'a Node>,
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
            return (VirtualHost::all(inline, file), inline.get("vhds"));
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
        let mut found: Vec<VirtualHost<'a>> = inline.flat_map(|inline| VirtualHost::all(inline, file)).collect();
        for name in wanted.into_iter().filter(|name| !name.is_empty()) {
            let named = self.named.iter().find(|(known, ..)| *known == name);
            found.extend(named.into_iter().flat_map(|(_, configuration, file)| VirtualHost::all(configuration, file)));
        }
        let elsewhere = found.is_empty().then_some(source);
        (found, elsewhere)
    }
}

const PER_FILTER: &str = "typed_per_filter_config";

impl<'a> VirtualHost<'a> {
    /// Those of a route configuration.
    pub fn all(configuration: &'a Node, file: &'a Path) -> Vec<Self> {
        let hosts = configuration.get("virtual_hosts").map(Node::elements).unwrap_or_default();
        hosts.iter().map(|node| Self::of(node, Some(configuration), file)).collect()
    }

    pub fn of(node: &'a Node, configuration: Option<&'a Node>, file: &'a Path) -> Self {
        let domains = node.get("domains").map(Node::elements).unwrap_or_default();
        let holders = std::iter::once(node).chain(configuration);
        Self {
            node,
            name: node.text_of("name"),
            domains: domains.iter().filter_map(Node::text).collect(),
            metadata: node.get("metadata"),
            routes: routes(node),
            file,
            per_filter: holders.filter_map(|node| node.get(PER_FILTER)).collect(),
        }
    }

    /// A host that says nothing itself, for routes that stand alone.
    pub fn bare(self) -> Self {
        Self { metadata: None, domains: Vec::new(), per_filter: Vec::new(), ..self }
    }

    /// The same with a route that stands for all of them, where it has none.
    pub fn with_a_route(mut self) -> Self {
        if self.routes.is_empty() {
            let route = Route { name: "", metadata: None, shown: "each route".into(), ..Route::of(self.node) };
            self.routes.push(route);
        }
        self
    }

    /// An authority that is of this host, and of no other among them where there is one.
    pub fn authority(&self, hosts: &[VirtualHost<'_>]) -> String {
        if let Some(plain) = self.domains.iter().find(|domain| !domain.contains('*')) {
            return (*plain).to_owned();
        }
        let domain = match self.domains.first() {
            None | Some(&"*") => "*.example",
            Some(domain) => domain,
        };
        let names = ["edge", "any", "some", "a-host"].map(|name| domain.replace('*', name));
        let free = names
            .iter()
            .find(|name| matching::host(hosts, name).is_none_or(|taken| std::ptr::eq(taken.node, self.node)));
        free.or(names.first()).cloned().unwrap_or_default()
    }

    /// What is said of a filter here, on the host or on one of its routes.
    pub fn of_filter(&self, filter: &str) -> Vec<&'a Node> {
        let routes = self.routes.iter().flat_map(|route| [route.of_cluster, route.node.get(PER_FILTER)]);
        let all = routes.flatten().chain(self.per_filter.iter().copied());
        all.filter_map(|filters| filters.fields().iter().find(|(key, _)| key == filter))
            .map(|(_, node)| unwrapped(node))
            .collect()
    }

    pub fn speaks_of(&self, filter: &str) -> bool {
        !self.of_filter(filter).is_empty()
    }
}

/// What a `FilterConfig` holds, which only says more of it.
fn unwrapped(node: &Node) -> &Node {
    let is_wrapped = node.is_a("FilterConfig");
    node.get("config").filter(|config| is_wrapped && config.get("@type").is_some()).unwrap_or(node)
}

/// The routes of a virtual host, those in its tree of matchers with them.
fn routes(host: &Node) -> Vec<Route<'_>> {
    let listed = host.get("routes").map(Node::elements).unwrap_or_default();
    let mut routes: Vec<Route<'_>> = listed.iter().flat_map(Route::all).collect();
    if let Some(matcher) = host.get("matcher") {
        matcher.walk(&mut |node| {
            if node.is_a("Route") {
                routes.extend(Route::all(node).into_iter().map(|route| Route { shown: shown_in_tree(node), ..route }));
            } else if node.is_a("RouteList") {
                routes.extend(node.get("routes").map(Node::elements).unwrap_or_default().iter().flat_map(Route::all));
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
    /// What the closest says of a filter on a route.
    pub fn said_of<'b>(&'b self, route: &'b Route<'_>, filter: &str) -> Option<&'b Node> {
        let of_route = [route.of_cluster, route.node.get(PER_FILTER)].into_iter().flatten();
        let mut closest = of_route.chain(self.per_filter.iter().copied()).flat_map(Node::fields);
        closest.find(|(key, _)| key == filter).map(|(_, node)| unwrapped(node))
    }

    /// Whether a filter is switched off on a route: `disabled` of the closest that speaks.
    pub fn has_off(&self, route: &Route<'_>, filter: &Node) -> bool {
        let name = filter.text_of("name");
        let of_route = [route.of_cluster, route.node.get(PER_FILTER)].into_iter().flatten();
        let closest = of_route.chain(self.per_filter.iter().copied());
        let said = closest.filter_map(|filters| filters.fields().iter().find(|(key, _)| key == name)).next();
        match said {
            Some((_, of_filter)) => of_filter.get("disabled").is_some_and(Node::is_true),
            None => filter.get("disabled").is_some_and(Node::is_true),
        }
    }
}

impl<'a> Route<'a> {
    pub fn is_by_expression(&self) -> bool {
        self.node.at_path(&["match", "safe_regex"]).is_some()
    }

    /// A route, once for each of its weighted clusters where one of these speaks of single filters.
    pub fn all(node: &'a Node) -> Vec<Self> {
        let route = Self::of(node);
        let clusters =
            node.at_path(&["route", "weighted_clusters", "clusters"]).map(Node::elements).unwrap_or_default();
        if !clusters.iter().any(|cluster| cluster.get(PER_FILTER).is_some()) {
            return vec![route];
        }
        let to = |cluster: &'a Node| Self {
            shown: format!("{} to {}", route.shown, cluster.text_of("name")),
            of_cluster: cluster.get(PER_FILTER),
            ..route.clone()
        };
        clusters.iter().map(to).collect()
    }

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
            let regex = regex.text_of("regex");
            (format!("~ {regex}"), matching::beginning(regex))
        } else {
            let fields = matching.map(Node::fields).unwrap_or_default();
            (fields.first().map_or("any", |(name, _)| name.as_str()).to_owned(), "/".to_owned())
        };
        // A prefix may be empty, and a path that isn't absolute is no request's.
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let method = matching::method(node);
        let shown = if method == matching::METHODS[0] { shown } else { format!("{method} {shown}") };
        let method = method.to_owned();
        Self { node, name: node.text_of("name"), metadata: node.get("metadata"), shown, path, method, of_cluster: None }
    }
}
