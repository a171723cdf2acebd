//! The connection managers of all files, each with its filters and its routes; and wasm filters that
//! stand alone.

use std::path::Path;

use super::{
    document::{Document, Node},
    search::{self, Alone, Found},
    virtual_host::{RouteConfigurations, VirtualHost},
    wasm::Wasm,
};

#[derive(Clone, Debug)]
pub struct Edge<'a> {
    pub file: &'a Path,
    /// The name of the listener, of the manager, or of the resource.
    pub name: String,
    pub listener: Option<&'a Node>,
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
pub fn edges(documents: &[Document]) -> Vec<Edge<'_>> {
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
            let filters = manager.get("http_filters").map(Node::elements).unwrap_or_default();
            let filters = filters.iter().map(|node| HttpFilter::discovered(node, &extensions, &mut used));
            edges.push(Edge {
                file: &document.file,
                name: name.unwrap_or_else(|| manager.text_of("stat_prefix")).to_owned(),
                listener,
                manager: Some(manager),
                filters: filters.collect(),
                hosts,
                routes_elsewhere,
            });
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
        let (listener, manager, routes_elsewhere) = (None, None, None);
        Self { file, name, listener, manager, filters, hosts: Vec::new(), routes_elsewhere }
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
