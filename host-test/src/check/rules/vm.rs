//! The VM of a filter: what happens when it fails, what it may call, with whom it shares a store.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{
    document::{Node, Value},
    finding::{self, Finding},
    looked::{Looked, LookedFilter, Role},
    wasm::{Dialect, Failure, Handed, Kind, Wasm},
};

/// The minor version of Envoy 1 that brought `failure_policy`.
const FAILURE_POLICY: u32 = 33;
/// The one that wants the capability list in the VM's configuration.
const LIST_OF_VM: u32 = 40;

pub fn look(edge: &Looked<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = &looked.filter.wasm else { continue };
        if wasm.kind == Kind::Http {
            failure(edge, looked, wasm, envoy, findings);
        }
        if wasm.dialect == Dialect::Envoy {
            capabilities(edge, looked, wasm, envoy, findings);
            if wasm.vm_id().is_empty() && !wasm.native {
                findings.push(Finding::new(
                    &finding::VM_ID_EMPTY,
                    edge.edge.file,
                    wasm.vm().unwrap_or(wasm.node),
                    format!(
                        "{}: no vm_id, so every filter without one reads and writes the same store",
                        looked.filter.shown()
                    ),
                    "set vm_config.vm_id to a name of its own",
                ));
            }
        }
    }
}

fn failure(edge: &Looked<'_>, looked: &LookedFilter<'_>, wasm: &Wasm<'_>, envoy: u32, findings: &mut Vec<Finding>) {
    let shown = looked.filter.shown();
    let fields = ["failure_policy", "fail_open", "fail_strategy"];
    let node = fields.iter().find_map(|name| wasm.node.get(name)).unwrap_or(wasm.node);
    let remedy = match wasm.dialect {
        Dialect::Envoy if envoy < FAILURE_POLICY => "set fail_open: false",
        Dialect::Envoy => "set failure_policy: FAIL_RELOAD",
        Dialect::Istio => "set failStrategy: FAIL_RELOAD",
        Dialect::EnvoyGateway => "set failOpen: false",
    };
    match wasm.failure {
        Failure::Open => findings.push(Finding::new(
            if looked.guards() { &finding::FAIL_OPEN } else { &finding::FAIL_OPEN_OTHER },
            edge.edge.file,
            node,
            match looked.role {
                Some(Role::HmacValidation) => format!("{shown}: once the module has failed, unsigned requests pass"),
                _ => format!("{shown}: once the module has failed, traffic passes unfiltered"),
            },
            remedy,
        )),
        // Envoy Gateway knows no reload, and older ones don't either.
        Failure::Closed if wasm.dialect != Dialect::EnvoyGateway && !wasm.native && envoy >= FAILURE_POLICY => findings
            .push(Finding::new(
                &finding::NO_RELOAD,
                edge.edge.file,
                node,
                format!("{shown}: after one trap its worker refuses every request until Envoy is restarted"),
                remedy,
            )),
        _ => {}
    }
}

fn capabilities(
    edge: &Looked<'_>,
    looked: &LookedFilter<'_>,
    wasm: &Wasm<'_>,
    envoy: u32,
    findings: &mut Vec<Finding>,
) {
    let shown = looked.filter.shown();
    let file = edge.edge.file;
    if wasm.native {
        return;
    }
    let Some(list) = wasm.capabilities() else {
        findings.push(Finding::new(
            &finding::CAPABILITIES_MISSING,
            file,
            wasm.vm().unwrap_or(wasm.node),
            format!("{shown}: no capability list, so the module may make any call"),
            match envoy {
                LIST_OF_VM.. => {
                    "set vm_config.capability_restriction_config to the list that `portcullis inspect` prints"
                }
                _ => {
                    "set capability_restriction_config, beside vm_config, to the list that `portcullis inspect` prints"
                }
            },
        ));
        return;
    };
    let Some(inspection) = looked.inspection() else { return };
    let allowed: Vec<&str> = list.fields().iter().map(|(name, _)| name.as_str()).collect();
    for callback in inspection.callbacks.iter().filter(|name| !allowed.contains(&name.as_str())) {
        findings.push(Finding::new(
            &finding::CAPABILITY_LACKING,
            file,
            list,
            format!("{shown}: {callback} is not allowed, so Envoy never calls it, without a word: what it does is off"),
            format!("add `{callback}: {{}}`"),
        ));
    }
    for call in inspection.hostcalls.iter().chain(&inspection.wasi).filter(|name| !allowed.contains(&name.as_str())) {
        findings.push(Finding::new(
            &finding::CAPABILITY_LACKING,
            file,
            list,
            format!("{shown}: the module calls {call}, which is not allowed and will fail"),
            format!("add `{call}: {{}}`"),
        ));
    }
    let needed: Vec<&str> = inspection.capabilities().collect();
    let unneeded: Vec<&str> = allowed.into_iter().filter(|name| !needed.contains(name)).collect();
    if !unneeded.is_empty() {
        findings.push(Finding::new(
            &finding::CAPABILITIES_WIDE,
            file,
            list,
            format!("{shown}: allowed and never called: {}", unneeded.join(", ")),
            "remove them",
        ));
    }
}

/// What only two filters beside each other show: those with one `vm_id`.
pub fn compare(edges: &[Looked<'_>], findings: &mut Vec<Finding>) {
    let mut by_id: BTreeMap<&str, Vec<(&Looked<'_>, &LookedFilter<'_>, &Wasm<'_>)>> = BTreeMap::new();
    for edge in edges {
        for looked in &edge.filters {
            let wasm = looked.filter.wasm.as_ref().filter(|wasm| wasm.dialect == Dialect::Envoy);
            if let Some(wasm) = wasm {
                by_id.entry(wasm.vm_id()).or_default().push((edge, looked, wasm));
            }
        }
    }
    for (id, users) in by_id {
        for (place, (edge, looked, wasm)) in users.iter().enumerate() {
            let before = users.get(..place).unwrap_or_default();
            let node = wasm.vm().and_then(|vm| vm.get("vm_id")).unwrap_or(wasm.node);
            let finding = |rule, what: String, remedy: &str| Finding::new(rule, edge.edge.file, node, what, remedy);
            let shares = before.iter().find(|(_, other, _)| code(other) != code(looked));
            // Without an id they are told one by one.
            if let Some((_, other, _)) = shares.filter(|_| !id.is_empty()) {
                let (theirs, ours) = (other.filter.shown(), looked.filter.shown());
                let what =
                    format!("{theirs} and {ours} have the vm_id `{id}` and different code: they share one store");
                findings.push(finding(&finding::VM_ID_SHARED, what, "give each a vm_id of its own"));
            }
            let is_ambiguous = |other: &LookedFilter<'_>, theirs: &Wasm<'_>| {
                code(other) == code(looked) && same_key(theirs, wasm) && differs(theirs, wasm)
            };
            if let Some((_, other, _)) = before.iter().find(|(_, other, theirs)| is_ambiguous(other, theirs)) {
                let (theirs, ours) = (other.filter.shown(), looked.filter.shown());
                let what = format!(
                    "{theirs} and {ours} share one VM (vm_id `{id}`, code and configuration) and give it different \
                     environments or capabilities; whichever comes first wins"
                );
                let remedy = "give each a vm_id of its own, or the same environment and capabilities";
                findings.push(finding(&finding::VM_KEY_AMBIGUOUS, what, remedy));
            }
        }
    }
}

/// The module's hash, or what stands under `code` where it isn't at hand.
fn code(looked: &LookedFilter<'_>) -> String {
    match &looked.asked {
        Some(Ok(asked)) => asked.sha256().to_owned(),
        _ => text(looked.filter.wasm.as_ref().and_then(|wasm| wasm.vm()?.get("code"))),
    }
}

fn same_key(a: &Wasm<'_>, b: &Wasm<'_>) -> bool {
    // A key is made of bytes, whichever message they stood in.
    let configuration = |wasm: &Wasm<'_>| match &wasm.vm_configuration {
        None => String::new(),
        Some((Handed::Text(text), _)) => text.clone(),
        Some((_, node)) => text(Some(node)),
    };
    configuration(a) == configuration(b)
}

fn differs(a: &Wasm<'_>, b: &Wasm<'_>) -> bool {
    let environment = |wasm: &Wasm<'_>| {
        let of_host: BTreeSet<String> = wasm.environment.of_host.iter().cloned().collect();
        (wasm.environment.values.clone(), of_host)
    };
    let capabilities = |wasm: &Wasm<'_>| text(wasm.capabilities());
    environment(a) != environment(b) || capabilities(a) != capabilities(b)
}

fn text(node: Option<&Node>) -> String {
    node.map(|node| sorted(node).to_json().to_string()).unwrap_or_default()
}

/// The same with the fields of each message in one order: a config dump writes maps in any.
fn sorted(node: &Node) -> Node {
    let value = match &node.value {
        Value::List(elements) => Value::List(elements.iter().map(sorted).collect()),
        Value::Map(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(name, node)| (name.clone(), sorted(node))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(fields)
        }
        other => other.clone(),
    };
    Node { value, at: node.at }
}
