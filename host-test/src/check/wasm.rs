//! What a configuration says of one wasm filter, whoever wrote it: Envoy's own message, Istio's
//! WasmPlugin, Envoy Gateway's EnvoyExtensionPolicy.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    document::{Node, Value},
    parse::parse,
};

#[derive(Clone, Debug)]
pub struct Wasm<'a> {
    pub dialect: Dialect,
    pub kind: Kind,
    /// Whether it is compiled into the proxy, and no module.
    pub native: bool,
    /// The message itself.
    pub node: &'a Node,
    pub name: String,
    pub root_id: String,
    pub code: Code<'a>,
    /// The configuration as it reaches the filter, and where it stands.
    pub configuration: Option<(Handed, &'a Node)>,
    /// `vm_config.configuration`, likewise.
    pub vm_configuration: Option<(Handed, &'a Node)>,
    pub environment: Environment,
    pub failure: Failure,
    /// Whether a held head leaves body callbacks running.
    pub holds_head_alone: bool,
}

/// Who wrote it, and so which fields there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Envoy,
    /// `WasmPlugin`.
    Istio,
    /// `EnvoyExtensionPolicy`.
    EnvoyGateway,
}

/// What it filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    Network,
    /// Nothing; it has a root context alone.
    Service,
}

/// The variables that it is given.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub values: BTreeMap<String, String>,
    /// Those that the proxy itself has.
    pub of_host: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Code<'a> {
    File(String, &'a Node),
    Inline(Vec<u8>, &'a Node),
    /// Fetched by the proxy: its address, and the sha256 that is asked for.
    Remote(String, String, &'a Node),
    Missing,
}

/// How a configuration travels.
#[derive(Clone, Debug, PartialEq)]
pub enum Handed {
    Struct(serde_json::Value),
    Text(String),
    /// A message that only the proxy can serialise.
    Other(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Closed,
    Open,
    Reload,
}

/// Those that run modules; any other, as `envoy.wasm.runtime.null`, runs what is linked into the proxy.
const RUNTIMES: [&str; 4] =
    ["envoy.wasm.runtime.v8", "envoy.wasm.runtime.wamr", "envoy.wasm.runtime.wasmtime", "envoy.wasm.runtime.wavm"];

impl<'a> Wasm<'a> {
    /// From an `envoy.extensions.wasm.v3.PluginConfig` in a message of this full name.
    pub fn of_envoy(node: &'a Node, message: &str) -> Self {
        let kind = match message {
            _ if message.contains(".filters.network.") => Kind::Network,
            _ if message.contains(".filters.http.") => Kind::Http,
            _ => Kind::Service,
        };
        let code = node.at_path(&["vm_config", "code"]);
        let policy = node.get("failure_policy");
        let failure = match policy {
            Some(policy) if policy.is_value("FAIL_OPEN", 3) => Failure::Open,
            Some(policy) if policy.is_value("FAIL_RELOAD", 1) => Failure::Reload,
            _ if node.get("fail_open").is_some_and(Node::is_true) => Failure::Open,
            _ => Failure::Closed,
        };
        Self {
            dialect: Dialect::Envoy,
            kind,
            native: node
                .at_path(&["vm_config", "runtime"])
                .and_then(Node::text)
                .is_some_and(|runtime| !runtime.is_empty() && !RUNTIMES.contains(&runtime)),
            node,
            name: node.text_of("name").to_owned(),
            root_id: node.text_of("root_id").to_owned(),
            code: code.map_or(Code::Missing, Code::of_envoy),
            configuration: node.get("configuration").map(|node| (Handed::of_any(node), node)),
            vm_configuration: node.at_path(&["vm_config", "configuration"]).map(|node| (Handed::of_any(node), node)),
            environment: node
                .at_path(&["vm_config", "environment_variables"])
                .map(Environment::of_envoy)
                .unwrap_or_default(),
            failure,
            holds_head_alone: node.get("allow_on_headers_stop_iteration").is_some_and(Node::is_true),
        }
    }

    /// From a `WasmPlugin`. Istio hands `pluginConfig` on as JSON text, under a `vm_id` of its own.
    pub fn of_istio(resource: &'a Node) -> Option<Self> {
        let spec = resource.get("spec")?;
        let failure = match spec.text_of("fail_strategy") {
            "FAIL_OPEN" => Failure::Open,
            "FAIL_RELOAD" => Failure::Reload,
            _ => Failure::Closed,
        };
        Some(Self {
            dialect: Dialect::Istio,
            kind: if spec.text_of("type") == "NETWORK" { Kind::Network } else { Kind::Http },
            native: false,
            node: spec,
            name: resource.at_path(&["metadata", "name"]).and_then(Node::text).unwrap_or_default().to_owned(),
            root_id: spec.text_of("plugin_name").to_owned(),
            code: Code::of_address(spec.get("url"), spec.text_of("sha256")),
            configuration: spec.get("plugin_config").map(|node| (Handed::Text(node.to_json().to_string()), node)),
            vm_configuration: None,
            environment: spec.at_path(&["vm_config", "env"]).map(Environment::of_istio).unwrap_or_default(),
            failure,
            holds_head_alone: false,
        })
    }

    /// Those of an `EnvoyExtensionPolicy`. The gateway hands `config` on as JSON text.
    pub fn of_envoy_gateway(resource: &'a Node) -> Vec<Self> {
        let list = resource.at_path(&["spec", "wasm"]).map(Node::elements).unwrap_or_default();
        let of = |node: &'a Node| {
            let http = node.at_path(&["code", "http"]);
            let address = http.or_else(|| node.at_path(&["code", "image"])).and_then(|source| source.get("url"));
            let root_id = node.fields().iter().find(|(key, _)| key.eq_ignore_ascii_case("rootid"));
            Self {
                dialect: Dialect::EnvoyGateway,
                kind: Kind::Http,
                native: false,
                node,
                name: node.text_of("name").to_owned(),
                root_id: root_id.and_then(|(_, node)| node.text()).unwrap_or_default().to_owned(),
                code: Code::of_address(address, http.map_or("", |http| http.text_of("sha256"))),
                configuration: node.get("config").map(|node| (Handed::Text(node.to_json().to_string()), node)),
                vm_configuration: None,
                environment: Environment {
                    of_host: node.at_path(&["env", "host_keys"]).map(texts).unwrap_or_default(),
                    ..Environment::default()
                },
                failure: if node.get("fail_open").is_some_and(Node::is_true) { Failure::Open } else { Failure::Closed },
                holds_head_alone: false,
            }
        };
        list.iter().map(of).collect()
    }

    /// The configuration's fields, whether they stand as such or as JSON or YAML in a text. What stands in a text has
    /// the place of that text.
    pub fn fields(&self) -> Option<Cow<'a, Node>> {
        self.configuration.as_ref().and_then(|(handed, node)| self.fields_of(handed, node))
    }

    /// The same of the VM's configuration.
    pub fn vm_fields(&self) -> Option<Cow<'a, Node>> {
        self.vm_configuration.as_ref().and_then(|(handed, node)| self.fields_of(handed, node))
    }

    fn fields_of(&self, handed: &Handed, node: &'a Node) -> Option<Cow<'a, Node>> {
        if self.dialect != Dialect::Envoy {
            return Some(Cow::Borrowed(node));
        }
        let value = node.get("value")?;
        match handed {
            Handed::Struct(_) => Some(Cow::Borrowed(value)),
            Handed::Text(text) => {
                let mut parsed = parse(text).ok()?.into_iter().next()?;
                parsed.set_place(value.at);
                Some(Cow::Owned(parsed))
            }
            Handed::Other(_) => None,
        }
    }

    pub fn vm(&self) -> Option<&'a Node> {
        self.node.get("vm_config")
    }

    pub fn vm_id(&self) -> &'a str {
        self.vm().map_or("", |vm| vm.text_of("vm_id"))
    }

    /// The capability list, where there is one: in the VM's configuration, before 1.40 beside it.
    pub fn capabilities(&self) -> Option<&'a Node> {
        let of = |node: &'a Node| node.at_path(&["capability_restriction_config", "allowed_capabilities"]);
        self.vm().and_then(of).or_else(|| of(self.node)).filter(|list| !list.fields().is_empty())
    }

    /// What to call it: its name, or else that of its root.
    pub fn shown(&self) -> &str {
        match (self.name.as_str(), self.root_id.as_str()) {
            ("", "") => "wasm",
            ("", root_id) => root_id,
            (name, _) => name,
        }
    }
}

impl<'a> Code<'a> {
    /// The module's own name, without folder, tag and ending; empty where it has none.
    pub fn name(&self) -> &str {
        let (Self::File(address, _) | Self::Remote(address, ..)) = self else { return "" };
        let last = address.rsplit('/').next().unwrap_or_default();
        last.split([':', '@', '.', '?']).next().unwrap_or_default()
    }

    fn of_envoy(node: &'a Node) -> Self {
        if let Some(local) = node.get("local") {
            if let Some(file) = local.get("filename") {
                return Self::File(file.text().unwrap_or_default().to_owned(), file);
            }
            if let Some(inline) = local.get("inline_bytes") {
                let text: String = inline.text().unwrap_or_default().split_ascii_whitespace().collect();
                return BASE64_STANDARD.decode(text).map_or(Self::Missing, |bytes| Self::Inline(bytes, inline));
            }
            if let Some(inline) = local.get("inline_string") {
                return Self::Inline(inline.text().unwrap_or_default().as_bytes().to_vec(), inline);
            }
            return match local.get("environment_variable").and_then(|node| Some((node.text()?, node))) {
                Some((name, node)) => Self::Remote(format!("the environment variable {name}"), String::new(), node),
                None => Self::Missing,
            };
        }
        let remote = node.get("remote");
        let address = remote.and_then(|remote| remote.at_path(&["http_uri", "uri"]));
        Self::of_address(address, remote.map_or("", |remote| remote.text_of("sha256")))
    }

    fn of_address(node: Option<&'a Node>, sha256: &str) -> Self {
        match node.and_then(|node| Some((node.text()?, node))) {
            None => Self::Missing,
            Some((address, node)) => match address.strip_prefix("file://") {
                Some(path) => Self::File(path.to_owned(), node),
                None => Self::Remote(address.to_owned(), sha256.to_owned(), node),
            },
        }
    }
}

fn texts(list: &Node) -> Vec<String> {
    list.elements().iter().filter_map(Node::text).map(str::to_owned).collect()
}

impl Environment {
    fn of_envoy(node: &Node) -> Self {
        let values = node.get("key_values").map(Node::fields).unwrap_or_default();
        let of = |(name, node): &(String, Node)| (name.clone(), node.shown());
        Self {
            values: values.iter().map(of).collect(),
            of_host: node.get("host_env_keys").map(texts).unwrap_or_default(),
        }
    }

    fn of_istio(list: &Node) -> Self {
        let mut environment = Self::default();
        for variable in list.elements() {
            let name = variable.text_of("name").to_owned();
            if variable.text_of("value_from") == "HOST" {
                environment.of_host.push(name);
            } else {
                environment.values.insert(name, variable.text_of("value").to_owned());
            }
        }
        environment
    }
}

impl Handed {
    /// From a `google.protobuf.Any`.
    fn of_any(node: &Node) -> Self {
        let value = node.get("value");
        match value.map(|value| &value.value) {
            Some(Value::Text(text)) if node.is_a("StringValue") => Self::Text(text.clone()),
            Some(Value::Text(text)) if node.is_a("BytesValue") => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Self::Text(String::from_utf8_lossy(&bytes).into_owned()),
                Err(_) => Self::Other("BytesValue".into()),
            },
            Some(Value::Map(_)) if node.is_a("Struct") => {
                Self::Struct(value.map_or(serde_json::Value::Null, Node::to_json))
            }
            None if node.is_a("Struct") || node.is_a("StringValue") => Self::Text(String::new()),
            // Nothing at all, not even a type.
            None if matches!(&node.value, Value::Map(fields) if fields.is_empty()) => Self::Text(String::new()),
            _ => Self::Other(node.text_of("@type").rsplit(['/', '.']).next().unwrap_or_default().to_owned()),
        }
    }
}
