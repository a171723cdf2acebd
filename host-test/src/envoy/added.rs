//! What HTTP and Envoy add to a message by themselves, taken away again: it says nothing about the
//! filter, and the other hosts have no wire that would need it.

use super::wire::Lines;
use crate::{
    outcome::Message,
    scenario::{HeaderLines, Step},
};

/// Lines that belong to one connection (RFC 9110 §7.6.1), and the name that HTTP/1 gives the authority.
const OF_THE_CONNECTION: [&str; 5] = ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding"];

/// What the upstream received, without what wasn't the client's or a filter's.
pub fn strip_request(message: &mut Message, step: &Step) {
    let written = |name: &str| names(&step.request().headers, name);
    strip(message, written("content-length"));
    if !written("x-forwarded-proto") {
        message.headers.retain(|(name, value)| name != "x-forwarded-proto" || value != b"http");
    }
}

/// What the client received, without what wasn't the upstream's or a filter's.
pub fn strip_response(message: &mut Message, step: &Step) {
    let answers =
        [step.response.as_ref().map(|response| &response.headers), step.reply.as_ref().map(|reply| &reply.headers)];
    let written = |name: &str| answers.iter().flatten().any(|headers| names(headers, name));
    strip(message, written("content-length"));
    if !written("date") {
        remove(&mut message.headers, "date");
    }
}

fn strip(message: &mut Message, has_length: bool) {
    message.headers.retain(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    // An empty body has no length of its own to announce.
    if !has_length && message.body.is_empty() {
        message.headers.retain(|(name, value)| name != "content-length" || value != b"0");
    }
}

fn names(headers: &HeaderLines, name: &str) -> bool {
    headers.0.iter().any(|(line, _)| line == name)
}

fn remove(lines: &mut Lines, name: &str) {
    lines.retain(|(line, _)| line != name);
}
