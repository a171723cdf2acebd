//! The connection managers of all files, each with its filters and its routes; and wasm filters that
//! stand alone, as in a patch.
//!
//! Managers are found by their `@type` wherever they stand, so that a bootstrap, a resource file, a
//! `/config_dump` and a patch of Istio's are read by the same code.

use std::path::Path;

use super::{
    document::{Document, Node, Value},
    wasm::Wasm,
};

#[derive(Clone, Debug)]
pub struct Edge<'a> {
    pub file: &'a Path,
    /// The name of the listener, or of the manager.
    pub name: String,
    /// `None` where filters stand alone.
    pub manager: Option<&'a Node>,
    pub filters: Vec<HttpFilter<'a>>,
    pub hosts: Vec<VirtualHost<'a>>,
    /// Routes come from a route configuration that no file holds.
    pub routes_elsewhere: Option<&'a Node>,
}

#[derive(Clone, Debug)]
pub struct HttpFilter<'a> {
    pub node: &'a Node,
    pub name: &'a str,
    /// The message of its configuration, without its package: `Router`, `Wasm`.
    pub kind: String,
    /// The fields of its configuration.
    pub settings: Option<&'a Node>,
    pub wasm: Option<Wasm<'a>>,
}

#[derive(Clone, Debug)]
pub struct VirtualHost<'a> {
    pub name: &'a str,
    pub domain: &'a str,
    pub metadata: Option<&'a Node>,
    pub routes: Vec<Route<'a>>,
    /// The file that the routes stand in.
    pub file: &'a Path,
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

/// All edges of all files.
pub fn edges(documents: &[Document]) -> Vec<Edge<'_>> {
    let configurations = route_configurations(documents);
    let mut edges = Vec::new();
    for document in documents {
        for root in &document.roots {
            let mut found = Found::default();
            found.search(root, None);
            edges.extend(found.managers.into_iter().map(|(manager, listener)| {
                let name = listener.map(|node| node.text_of("name")).filter(|name| !name.is_empty());
                let name = name.unwrap_or_else(|| manager.text_of("stat_prefix")).to_owned();
                let filters = manager.get("http_filters").map(Node::elements).unwrap_or_default();
                let (hosts, routes_elsewhere) = routes(manager, &document.file, &configurations);
                let filters = filters.iter().map(HttpFilter::of).collect();
                Edge { file: &document.file, name, manager: Some(manager), filters, hosts, routes_elsewhere }
            }));
            let mut alone: Vec<HttpFilter<'_>> = found.alone.into_iter().map(HttpFilter::of).collect();
            alone.extend(of_gateways(root));
            if !alone.is_empty() {
                let name = root.at_path(&["metadata", "name"]).and_then(Node::text).unwrap_or("filters").to_owned();
                let edge = Edge {
                    file: &document.file,
                    name,
                    manager: None,
                    filters: alone,
                    hosts: Vec::new(),
                    routes_elsewhere: None,
                };
                edges.push(edge);
            }
        }
    }
    edges
}

/// What a search finds: managers, each below its listener, and filters that stand in none.
#[derive(Default)]
struct Found<'a> {
    managers: Vec<(&'a Node, Option<&'a Node>)>,
    alone: Vec<&'a Node>,
}

impl<'a> Found<'a> {
    fn search(&mut self, node: &'a Node, listener: Option<&'a Node>) {
        let listener = if node.get("filter_chains").is_some() { Some(node) } else { listener };
        if settings(node)
            .is_some_and(|settings| is_message(node, "HttpConnectionManager") && settings.get("http_filters").is_some())
        {
            self.managers.extend(settings(node).map(|settings| (settings, listener)));
            return;
        }
        let typed = node.get("typed_config");
        if typed.is_some_and(|typed| is_message(typed, "Wasm") && plugin(typed).is_some()) {
            self.alone.push(node);
            return;
        }
        match &node.value {
            Value::List(elements) => elements.iter().for_each(|node| self.search(node, listener)),
            Value::Map(fields) => fields.iter().for_each(|(_, node)| self.search(node, listener)),
            _ => {}
        }
    }
}

/// Whether an `Any` holds this message, by itself or in a `TypedStruct`.
fn is_message(any: &Node, message: &str) -> bool {
    any.is_a(message) || (any.is_a("TypedStruct") && any.text_of("type_url").rsplit(['/', '.']).next() == Some(message))
}

/// The fields of the message in an `Any`.
fn settings(any: &Node) -> Option<&Node> {
    if any.is_a("TypedStruct") { any.get("value") } else { any.get("@type").map(|_| any) }
}

/// The plugin in an HTTP filter's configuration; network filters have none with callbacks for HTTP.
fn plugin(any: &Node) -> Option<&Node> {
    settings(any)?.get("config").filter(|config| config.get("vm_config").is_some())
}

fn of_gateways<'a>(root: &'a Node) -> Vec<HttpFilter<'a>> {
    let filters = match root.text_of("kind") {
        "WasmPlugin" => Wasm::of_istio(root).into_iter().collect(),
        "EnvoyExtensionPolicy" => Wasm::of_envoy_gateway(root),
        _ => Vec::new(),
    };
    let of = |wasm: Wasm<'a>| HttpFilter {
        node: wasm.node,
        name: "",
        kind: "Wasm".into(),
        settings: None,
        wasm: Some(wasm),
    };
    filters.into_iter().map(of).collect()
}

impl<'a> HttpFilter<'a> {
    fn of(node: &'a Node) -> Self {
        let name = node.text_of("name");
        let any = node.get("typed_config");
        let message =
            any.map(|any| if any.is_a("TypedStruct") { any.text_of("type_url") } else { any.text_of("@type") });
        let kind = message.filter(|message| !message.is_empty()).unwrap_or(name);
        let wasm = any.filter(|any| is_message(any, "Wasm")).and_then(plugin).map(Wasm::of_envoy);
        Self {
            node,
            name,
            kind: kind.rsplit(['/', '.']).next().unwrap_or_default().to_owned(),
            settings: any.and_then(settings),
            wasm,
        }
    }

    /// What to call it.
    pub fn shown(&self) -> &str {
        match &self.wasm {
            Some(wasm) if self.name.is_empty() || self.name.starts_with("envoy.") => wasm.shown(),
            _ => self.name,
        }
    }
}

/// Every route configuration that has a name, with its file.
fn route_configurations(documents: &[Document]) -> Vec<(&str, &Node, &Path)> {
    let mut found = Vec::new();
    for document in documents {
        for root in &document.roots {
            root.walk(&mut |node| {
                if node.get("virtual_hosts").is_some() {
                    found.push((node.text_of("name"), node, document.file.as_path()));
                }
            });
        }
    }
    found
}

fn routes<'a>(
    manager: &'a Node,
    file: &'a Path,
    configurations: &[(&'a str, &'a Node, &'a Path)],
) -> (Vec<VirtualHost<'a>>, Option<&'a Node>) {
    if let Some(inline) = manager.get("route_config") {
        return (hosts(inline, file), None);
    }
    let Some(rds) = manager.get("rds").or_else(|| manager.get("scoped_routes")) else { return (Vec::new(), None) };
    let wanted = rds.text_of("route_config_name");
    match configurations.iter().find(|(name, ..)| *name == wanted && !wanted.is_empty()) {
        Some((_, configuration, file)) => (hosts(configuration, file), None),
        None => (Vec::new(), Some(rds)),
    }
}

fn hosts<'a>(configuration: &'a Node, file: &'a Path) -> Vec<VirtualHost<'a>> {
    let hosts = configuration.get("virtual_hosts").map(Node::elements).unwrap_or_default();
    let of = |node: &'a Node| {
        let domains = node.get("domains").map(Node::elements).unwrap_or_default();
        let domain = domains.iter().filter_map(Node::text).find(|domain| !domain.contains('*'));
        let routes = node.get("routes").map(Node::elements).unwrap_or_default();
        VirtualHost {
            name: node.text_of("name"),
            domain: domain.unwrap_or_default(),
            metadata: node.get("metadata"),
            routes: routes.iter().map(Route::of).collect(),
            file,
        }
    };
    hosts.iter().map(of).collect()
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
        let headers = field("headers").map(Node::elements).unwrap_or_default();
        let method = headers.iter().find(|header| header.text_of("name") == ":method").and_then(|header| {
            let matched = header.get("string_match").map(|wanted| wanted.text_of("exact"));
            matched.or_else(|| header.get("exact_match").and_then(Node::text)).filter(|method| !method.is_empty())
        });
        let method = method.unwrap_or("GET").to_owned();
        let shown = if headers.iter().any(|header| header.text_of("name") == ":method") {
            format!("{method} {shown}")
        } else {
            shown
        };
        Self { node, name: node.text_of("name"), metadata: node.get("metadata"), shown, path, method }
    }
}
