//! The connection managers of all files, each with its filters and its routes; and wasm filters that
//! stand alone.
//!
//! 1. An upgrade with a list of filters of its own (`upgrade_configs`) is an edge of its own: none of the
//!    manager's filters runs on it.
//! 2. What a patch of Istio's says of routes stands beside the filters of the same resource.

use std::path::Path;

use super::{
    document::{Document, Node},
    patch,
    search::{self, Alone, Found},
    virtual_host::{Route, RouteConfigurations, VirtualHost},
    wasm::Wasm,
};

/// Where the messages of Envoy's own filters are from. Several are called alike, `FilterConfig` for one, so that a
/// message is known by its package.
pub const PACKAGE: &str = "envoy.extensions.filters.http.";

#[derive(Clone, Debug)]
pub struct Edge<'a> {
    pub file: &'a Path,
    /// The name of the listener, of the manager, or of the resource.
    pub name: String,
    /// The resource that filters stand in which stand alone.
    within: Option<&'a Node>,
    pub listener: Option<&'a Node>,
    /// `None` where filters stand alone.
    pub manager: Option<&'a Node>,
    /// The upgrade whose own filters these are.
    pub upgrade: Option<&'a Node>,
    pub filters: Vec<HttpFilter<'a>>,
    pub hosts: Vec<VirtualHost<'a>>,
    /// Routes come from a route configuration that no file holds.
    pub routes_elsewhere: Option<&'a Node>,
}

#[derive(Clone, Debug)]
pub struct HttpFilter<'a> {
    pub node: &'a Node,
    pub name: &'a str,
    /// The message of its configuration with its package; its name where there is none.
    pub message: &'a str,
    /// The fields of its configuration.
    pub settings: Option<&'a Node>,
    pub wasm: Option<Wasm<'a>>,
    /// Its configuration is discovered, may be one in wasm, and nothing here holds it.
    pub is_elsewhere: bool,
}

/// A document with what was found in it.
struct Searched<'a> {
    document: &'a Document,
    found: Found<'a>,
}

/// All edges of all files.
pub fn edges<'a>(documents: &'a [Document]) -> Vec<Edge<'a>> {
    let configurations = RouteConfigurations::of(documents);
    let mut searched = Vec::new();
    for document in documents {
        let mut found = Found::default();
        document.roots.iter().for_each(|root| found.search(root));
        searched.push(Searched { document, found });
    }
    let extensions: Vec<&Node> = searched
        .iter()
        .flat_map(|searched| searched.found.alone.iter().map(|alone| alone.node))
        .filter(|node| node.is_a("TypedExtensionConfig"))
        .collect();
    let mut used: Vec<&Node> = Vec::new();
    let mut edges = Vec::new();
    for Searched { document, found } in &searched {
        for (manager, listener) in found.managers.iter().copied() {
            let name = listener.map(|node| node.text_of("name")).filter(|name| !name.is_empty());
            let (hosts, routes_elsewhere) = configurations.hosts(manager, &document.file);
            let mut filters = |holder: &'a Node, list: &str| -> Vec<HttpFilter<'a>> {
                let filters = holder.get(list).map(Node::elements).unwrap_or_default();
                filters.iter().map(|node| HttpFilter::discovered(node, &extensions, &mut used)).collect()
            };
            let edge = Edge {
                file: &document.file,
                name: name.unwrap_or_else(|| manager.text_of("stat_prefix")).to_owned(),
                within: None,
                listener,
                manager: Some(manager),
                upgrade: None,
                filters: filters(manager, "http_filters"),
                hosts,
                routes_elsewhere,
            };
            let upgrades = manager.get("upgrade_configs").map(Node::elements).unwrap_or_default();
            let mut of_upgrades = Vec::new();
            for upgrade in upgrades.iter().filter(|upgrade| edge.allows(upgrade)) {
                let filters = filters(upgrade, "filters");
                if !filters.is_empty() {
                    let name = format!("{}, {} upgrades", edge.name, upgrade.text_of("upgrade_type"));
                    of_upgrades.push(Edge { name, upgrade: Some(upgrade), filters, ..edge.clone() });
                }
            }
            edges.push(edge);
            edges.append(&mut of_upgrades);
        }
    }
    for Searched { document, found } in &searched {
        // Beside each other where they stand in one resource.
        let mut last: Option<*const Node> = None;
        for Alone { within, node } in found.alone.iter().copied() {
            if used.iter().any(|one| std::ptr::eq(*one, node)) {
                continue;
            }
            let filter = HttpFilter::of(node, node.get("typed_config"));
            let place = within.map(std::ptr::from_ref);
            match edges.last_mut().filter(|_| place.is_some() && place == last) {
                Some(edge) => edge.filters.push(filter),
                None => edges.push(Edge::alone(&document.file, within, vec![filter])),
            }
            last = place;
        }
        for resource in found.patched.iter().copied() {
            let hosts = patch::hosts(resource, &document.file);
            let same = |edge: &&mut Edge<'a>| edge.within.is_some_and(|within| std::ptr::eq(within, resource));
            match edges.iter_mut().find(same) {
                Some(edge) => edge.hosts = hosts,
                None if hosts.is_empty() => {}
                None => edges.push(Edge { hosts, ..Edge::alone(&document.file, Some(resource), Vec::new()) }),
            }
        }
        for resource in found.resources.iter().copied() {
            let filters = match resource.text_of("kind") {
                "WasmPlugin" => Wasm::of_istio(resource).into_iter().collect(),
                _ => Wasm::of_envoy_gateway(resource),
            };
            let filters: Vec<HttpFilter<'_>> = filters.into_iter().map(HttpFilter::of_gateway).collect();
            if !filters.is_empty() {
                edges.push(Edge::alone(&document.file, Some(resource), filters));
            }
        }
    }
    edges
}

impl<'a> Edge<'a> {
    fn alone(file: &'a Path, within: Option<&'a Node>, filters: Vec<HttpFilter<'a>>) -> Self {
        let of_resource = within.and_then(|node| node.at_path(&["metadata", "name"])).and_then(Node::text);
        let name = of_resource.or_else(|| within.map(|node| node.text_of("name")).filter(|name| !name.is_empty()));
        let name = name.unwrap_or("filters").to_owned();
        let (listener, manager, upgrade, routes_elsewhere) = (None, None, None, None);
        Self { file, name, within, listener, manager, upgrade, filters, hosts: Vec::new(), routes_elsewhere }
    }

    /// Whether an upgrade may happen: switched off, it needs a route that speaks of upgrades.
    fn allows(&self, upgrade: &Node) -> bool {
        let mut routes = self.hosts.iter().flat_map(|host| &host.routes);
        let spoken_of = |route: &Route<'_>| route.node.at_path(&["route", "upgrade_configs"]).is_some();
        !upgrade.get("enabled").is_some_and(Node::is_false) || routes.any(spoken_of)
    }

    /// Whether a filter is switched off and no route switches it on.
    pub fn has_off(&self, filter: &HttpFilter<'_>) -> bool {
        let mut routes =
            self.hosts.iter().flat_map(|host| host.routes.iter().map(move |route| (host, route))).peekable();
        if routes.peek().is_some() && self.routes_elsewhere.is_none() {
            return routes.all(|(host, route)| host.has_off(route, filter.node));
        }
        filter.node.get("disabled").is_some_and(Node::is_true)
            && !self.hosts.iter().any(|host| host.speaks_of(filter.name))
    }

    /// What routes and virtual hosts say of a filter.
    pub fn per_route(&self, filter: &HttpFilter<'_>) -> Vec<&'a Node> {
        self.hosts.iter().flat_map(|host| host.of_filter(filter.name)).collect()
    }
}

impl<'a> HttpFilter<'a> {
    /// A filter of a list. Where its configuration is discovered, it is the one of its name among those
    /// that were given, or else its default.
    fn discovered(node: &'a Node, extensions: &[&'a Node], used: &mut Vec<&'a Node>) -> Self {
        let Some(discovery) = node.get("config_discovery") else { return Self::of(node, node.get("typed_config")) };
        match extensions.iter().find(|extension| extension.text_of("name") == node.text_of("name")) {
            Some(extension) => {
                used.push(extension);
                Self::of(node, extension.get("typed_config"))
            }
            None => {
                let urls = discovery.get("type_urls").map(Node::elements).unwrap_or_default();
                let in_wasm = urls.iter().filter_map(Node::text).any(|url| url.ends_with(".Wasm"));
                Self { is_elsewhere: in_wasm, ..Self::of(node, discovery.get("default_config")) }
            }
        }
    }

    fn of(node: &'a Node, any: Option<&'a Node>) -> Self {
        let name = node.text_of("name");
        // A filter with a matcher is a filter all the same.
        let within = any.filter(|any| search::is_message(any, "ExtensionWithMatcher"));
        let within = within.and_then(search::settings).and_then(|it| it.at_path(&["extension_config", "typed_config"]));
        let any = within.or(any);
        let message = any.map(search::message).filter(|message| !message.is_empty());
        let wasm = any.and_then(|any| Some(Wasm::of_envoy(search::plugin(any)?, search::message(any))));
        Self {
            node,
            name,
            message: message.unwrap_or(name),
            settings: any.and_then(search::settings),
            wasm,
            is_elsewhere: false,
        }
    }

    fn of_gateway(wasm: Wasm<'a>) -> Self {
        Self { node: wasm.node, name: "", message: "Wasm", settings: None, wasm: Some(wasm), is_elsewhere: false }
    }

    /// Its message without the package: `Router`, `Wasm`. Several filters may share one.
    pub fn kind(&self) -> &'a str {
        self.message.rsplit('.').next().unwrap_or_default()
    }

    /// What to call it.
    pub fn shown(&self) -> &str {
        match &self.wasm {
            Some(wasm) if self.name.is_empty() || self.name.starts_with("envoy.") => wasm.shown(),
            _ => self.name,
        }
    }
}
