//! Where filters stand in a document: in connection managers, in resources of gateways, or alone, as in
//! a patch, in an extension that is discovered, or within another filter.
//!
//! 1. Everything is found by its `@type` or `kind` wherever it stands, so that a bootstrap, a resource
//!    file, a `/config_dump`, `kubectl get -o yaml` and a patch of Istio's are read by the same code.
//! 2. A config dump tells static listeners twice; the bootstrap's part is left out. So are listeners
//!    that drain, and updates that were refused.

use super::document::Node;

/// A filter that stands in no manager's list.
#[derive(Clone, Copy)]
pub struct Alone<'a> {
    /// What it is named after: the resource or the listener that it stands in.
    pub within: Option<&'a Node>,
    pub node: &'a Node,
}

#[derive(Default)]
pub struct Found<'a> {
    /// Each below its listener.
    pub managers: Vec<(&'a Node, Option<&'a Node>)>,
    pub alone: Vec<Alone<'a>>,
    /// Resources of Istio that patch what the mesh makes.
    pub patched: Vec<&'a Node>,
    /// Resources of gateways that hold filters in a form of their own.
    pub resources: Vec<&'a Node>,
}

/// States of a config dump's listeners that serve nobody new.
const GONE: [&str; 2] = ["draining_state", "error_state"];

#[derive(Clone, Copy, Default)]
struct Above<'a> {
    listener: Option<&'a Node>,
    resource: Option<&'a Node>,
}

impl<'a> Found<'a> {
    pub fn search(&mut self, root: &'a Node) {
        self.below(root, Above::default());
    }

    fn below(&mut self, node: &'a Node, mut above: Above<'a>) {
        if ["filter_chains", "default_filter_chain", "api_listener"].iter().any(|name| node.get(name).is_some()) {
            above.listener = Some(node);
        }
        if is_resource(node) {
            above.resource = Some(node);
            if let "WasmPlugin" | "EnvoyExtensionPolicy" = node.text_of("kind") {
                self.resources.push(node);
                return;
            }
            if node.text_of("kind") == "EnvoyFilter" {
                self.patched.push(node);
            }
        }
        if is_message(node, "HttpConnectionManager")
            && let Some(settings) = settings(node)
            && let Some(filters) = settings.get("http_filters")
        {
            self.managers.push((settings, above.listener));
            let upgrades = settings.get("upgrade_configs").map(Node::elements).unwrap_or_default();
            let of_upgrades = upgrades.iter().filter_map(|upgrade| upgrade.get("filters"));
            let filters = std::iter::once(filters).chain(of_upgrades).flat_map(Node::elements);
            filters.filter(|filter| !is_filter(filter)).for_each(|node| self.children(node, above));
            let others = ["route_config", "access_log"].iter().filter_map(|name| settings.get(name));
            others.for_each(|node| self.children(node, above));
            return;
        }
        if is_filter(node) {
            self.alone.push(Alone { within: above.resource.or(above.listener), node });
            return;
        }
        self.children(node, above);
    }

    fn children(&mut self, node: &'a Node, above: Above<'a>) {
        if let Some(dumps) = node.get("configs") {
            let lists = dumps.elements().iter().any(|dump| dump.is_a("ListenersConfigDump"));
            let told_once = |dump: &&Node| !(lists && dump.is_a("BootstrapConfigDump"));
            dumps.elements().iter().filter(told_once).for_each(|dump| self.below(dump, above));
            return;
        }
        let fields = node.fields().iter().filter(|(name, _)| !GONE.contains(&name.as_str())).map(|(_, node)| node);
        fields.for_each(|node| self.below(node, above));
        if node.is_list() {
            node.elements().iter().for_each(|node| self.below(node, above));
        }
    }
}

/// Whether it is a resource of Kubernetes of a kind that holds filters, by the names of their makers.
pub fn is_resource(node: &Node) -> bool {
    let group = match node.text_of("kind") {
        "WasmPlugin" => "extensions.istio.io/",
        "EnvoyFilter" => "networking.istio.io/",
        "EnvoyExtensionPolicy" | "EnvoyPatchPolicy" => "gateway.envoyproxy.io/",
        _ => return false,
    };
    node.text_of("api_version").starts_with(group)
}

fn is_filter(node: &Node) -> bool {
    node.get("typed_config").is_some_and(|any| plugin(any).is_some())
}

/// The full name of the message in an `Any`, by itself or in a `TypedStruct`.
pub fn message(any: &Node) -> &str {
    let url = if any.is_a("TypedStruct") { any.text_of("type_url") } else { any.text_of("@type") };
    url.rsplit('/').next().unwrap_or_default()
}

/// Whether an `Any` holds a message of this name, whatever its package.
pub fn is_message(any: &Node, name: &str) -> bool {
    message(any).rsplit('.').next() == Some(name)
}

/// The fields of the message in an `Any`.
pub fn settings(any: &Node) -> Option<&Node> {
    if any.is_a("TypedStruct") { any.get("value") } else { any.get("@type").map(|_| any) }
}

/// The plugin in the configuration of a filter or a service in wasm.
pub fn plugin(any: &Node) -> Option<&Node> {
    let is_wasm = ["Wasm", "WasmAccessLog", "WasmService"].iter().any(|name| is_message(any, name));
    settings(any).filter(|_| is_wasm)?.get("config").filter(|config| config.get("vm_config").is_some())
}
