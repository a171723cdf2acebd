//! Whether the module is there, loads, and takes its configuration.

use crate::check::{
    ask::Why,
    document::Node,
    finding::{self, Finding},
    looked::Looked,
    wasm::{Code, Wasm},
};

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let (Some(wasm), Some(Err(silent))) = (&looked.filter.wasm, &looked.asked) else { continue };
        let code = match &wasm.code {
            Code::File(_, node) | Code::Inline(_, node) | Code::Remote(_, _, node) => node,
            Code::Missing => wasm.node,
        };
        let shown = looked.filter.shown();
        let file = edge.edge.file;
        findings.push(match &silent.why {
            Why::Missing(what) => Finding::new(
                &finding::MODULE_MISSING,
                file,
                code,
                format!("{shown}: {what}"),
                "build it, or name the folder that it lies in with --modules",
            ),
            Why::Unseen(address) => Finding::new(
                &finding::MODULE_UNSEEN,
                file,
                code,
                format!("{shown}: {address} is fetched by the proxy, so the module wasn't tried"),
                "put a copy of it into a folder and name that with --modules",
            ),
            Why::Other => continue,
            Why::Untried(reason) => Finding::new(
                &finding::MODULE_UNSEEN,
                file,
                code,
                format!("{shown}: the module can't be tried here: {}", reason.lines().last().unwrap_or_default()),
                "try it in Envoy: envoy --mode validate",
            ),
            Why::Refused(reason) => Finding::new(
                &finding::MODULE_REFUSED,
                file,
                code,
                format!("{shown}: Envoy refuses the module: {reason}"),
                "rebuild it for proxy-wasm 0.2.1 (`portcullis inspect` shows what it asks for)",
            ),
            Why::Unserialised(message) => Finding::new(
                &finding::CONFIGURATION_UNSEEN,
                file,
                wasm.configuration.as_ref().map_or(wasm.node, |(_, node)| node),
                format!("{shown}: a configuration of type `{message}` can't be handed over here, so it wasn't tried"),
                "use google.protobuf.Struct or google.protobuf.StringValue",
            ),
            Why::Unequipped(reason, variables) => Finding::new(
                &finding::CONFIGURATION_UNSEEN,
                file,
                place(wasm, reason),
                format!("{shown}: {}, but {} isn't set here", first_line(reason), variables.join(" and ")),
                "set what the proxy has in its environment, and check again",
            ),
            Why::Unconfigured(reason) => Finding::new(
                &finding::CONFIGURATION_REFUSED,
                file,
                place(wasm, reason),
                format!("{shown}: {}", first_line(reason)),
                "mend it; Envoy would refuse the whole listener",
            ),
        });
    }
}

/// Where in the configuration the error's path leads, as far as it can be followed.
fn place<'a>(wasm: &Wasm<'a>, reason: &str) -> &'a Node {
    let Some((_, configuration)) = &wasm.configuration else { return wasm.node };
    let mut node = configuration.get("value").unwrap_or(configuration);
    let line = first_line(reason);
    let path = line.split_once("configuration refused: ").map_or(line, |(_, path)| path);
    for part in path.split(": ").next().unwrap_or_default().split(['.', '[']) {
        let next = match part.trim_end_matches(']').parse::<usize>() {
            Ok(index) => node.elements().get(index),
            Err(_) => node.fields().iter().find(|(key, _)| key == part).map(|(_, node)| node),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// The line that says why: the module's own where it wrote one.
fn first_line(reason: &str) -> &str {
    let lines = || reason.lines().filter(|line| !line.is_empty());
    lines().find(|line| line.contains("refused")).or_else(|| lines().next()).unwrap_or("it gives no reason")
}
