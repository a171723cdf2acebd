//! One scenario as a story: who called whom, with what, and what came of it. Pure.

use std::fmt::Write as _;

use crate::{
    outcome::{Cut, Message, Outcome, Play},
    scenario::{Scenario, bytes::display},
    world::trace::{Entry, LONGEST_TEXT, Text, Way},
};

/// What the numbers of a callback mean.
const CALLBACKS: &[(&str, &[&str])] = &[
    ("proxy_on_context_create", &["context", "parent"]),
    ("proxy_on_vm_start", &["context", "bytes of configuration"]),
    ("proxy_on_configure", &["context", "bytes of configuration"]),
    ("proxy_on_request_headers", &["context", "lines", "end of stream"]),
    ("proxy_on_request_body", &["context", "bytes", "end of stream"]),
    ("proxy_on_request_trailers", &["context", "lines"]),
    ("proxy_on_response_headers", &["context", "lines", "end of stream"]),
    ("proxy_on_response_body", &["context", "bytes", "end of stream"]),
    ("proxy_on_response_trailers", &["context", "lines"]),
    ("proxy_on_http_call_response", &["context", "call", "lines", "bytes", "trailers"]),
    ("proxy_on_queue_ready", &["context", "queue"]),
    ("proxy_on_tick", &["context"]),
    ("proxy_on_done", &["context"]),
    ("proxy_on_log", &["context"]),
    ("proxy_on_delete", &["context"]),
];

/// Callbacks whose answer decides whether the message goes on.
const HOLDING: &str = "_headers _body _trailers";

/// What the first number of a call to the host means, by what its name holds.
const HEADERS: [&str; 8] = [
    "request headers",
    "request trailers",
    "response headers",
    "response trailers",
    "initial metadata of gRPC",
    "trailing metadata of gRPC",
    "headers of the answer",
    "trailers of the answer",
];
const BUFFERS: [&str; 9] = [
    "request body",
    "response body",
    "downstream data",
    "upstream data",
    "body of the answer",
    "message of gRPC",
    "configuration of the VM",
    "configuration",
    "argument of the call",
];

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];
const METRICS: [&str; 3] = ["counter", "gauge", "histogram"];

type Numbers = &'static [(usize, &'static str, &'static str)];

/// The numbers of calls to the host that say something: their places among the arguments, and what stands before and
/// behind each. What is left out is where texts lie, how long they are, and what a trace doesn't keep.
const NUMBERS: &[(&str, Numbers)] = &[
    ("proxy_get_buffer_bytes", &[(1, "from ", ""), (2, "at most ", " bytes")]),
    ("proxy_grpc_call", &[(10, "within ", " ms")]),
    ("proxy_grpc_cancel", &[(0, "call ", "")]),
    ("proxy_grpc_close", &[(0, "call ", "")]),
    ("proxy_grpc_send", &[(0, "call ", ""), (3, "end of stream ", "")]),
    ("proxy_http_call", &[(8, "within ", " ms")]),
    ("proxy_increment_metric", &[(1, "by ", "")]),
    ("proxy_record_metric", &[(1, "", "")]),
    ("proxy_send_local_response", &[(0, "status ", ""), (7, "gRPC status ", "")]),
    ("proxy_set_buffer_bytes", &[(1, "from ", ""), (2, "in the place of ", " bytes")]),
    ("proxy_set_effective_context", &[(0, "context ", "")]),
    ("proxy_set_tick_period_milliseconds", &[(0, "every ", " ms")]),
];

/// What a number of the ABI means for none given: all that there is, or no status of gRPC.
const ALL: [i64; 3] = [-1, u32::MAX as i64, i32::MAX as i64];

const STREAMS: [&str; 4] = ["request", "response", "downstream", "upstream"];

/// The ABI's statuses, from 0.
const STATUSES: [&str; 13] = [
    "ok",
    "not found",
    "bad argument",
    "serialization failure",
    "parse failure",
    "bad expression",
    "invalid memory access",
    "empty",
    "cas mismatch",
    "result mismatch",
    "internal failure",
    "broken connection",
    "unimplemented",
];

pub fn tell(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut story = format!("{}\n", scenario.scenario);
    let mut traces = outcome.traces.iter();
    story.push_str("\nthe worker's VM starts\n");
    if let Some(start) = traces.next() {
        push(&mut story, start);
    }
    if let Some(reason) = &outcome.refused {
        let _ = writeln!(story, "\nthe configuration is refused:\n{}", indented(reason));
        return story;
    }
    for (play, trace) in outcome.plays.iter().zip(traces).filter(|(play, _)| play.cut == Cut::AsWritten) {
        step(&mut story, scenario, play);
        push(&mut story, trace);
        seen(&mut story, play);
    }
    for trap in &outcome.traps {
        let _ = writeln!(story, "\ntrap in {trap}");
    }
    story
}

fn step(story: &mut String, scenario: &Scenario, play: &Play) {
    let Some(step) = scenario.steps.get(play.step) else { return };
    let request = step.request();
    let name = step.name.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
    let stream = step.stream.as_deref().map(|stream| format!(", stream {stream}")).unwrap_or_default();
    let _ = writeln!(story, "\nstep {}{stream}{name}: {} {}", play.step + 1, request.method, request.path);
}

fn push(story: &mut String, entries: &[Entry]) {
    calls(entries).iter().for_each(|line| story.extend([line, "\n"]));
}

/// A line for each call. A callback stands at the left, what is called in it below and further to the right.
pub fn calls(entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut depth = 1_usize;
    for (place, entry) in entries.iter().enumerate() {
        if entry.name == "(allocate)" {
            continue;
        }
        let indent = "  ".repeat(depth);
        match entry.way {
            Way::Created => {}
            Way::Called => {
                let body = texts(entry, true).fold(String::new(), |body, text| body + " ← " + &text);
                lines.push(format!("{indent}{}({}){body}", entry.name, callback_arguments(entry)));
                depth += 1;
            }
            Way::Returned => {
                depth = depth.saturating_sub(1).max(1);
                let indent = "  ".repeat(depth);
                let left = entry.texts.iter().fold(String::new(), |left, text| left + ", leaves " + &shown(text));
                lines.push(format!("{indent}→ {}{} fuel{left}", returned(entry), entry.fuel));
            }
            Way::Asked => {
                let rest = entries.get(place + 1..).unwrap_or_default();
                let mut after = rest.iter().filter(|entry| entry.name != "(allocate)");
                let answer = after.next().filter(|next| next.way == Way::Answered).map(status);
                let answer = answer.map_or_else(|| " …".to_owned(), |status| format!(" → {status}"));
                let given = texts(entry, true).fold(String::new(), |given, text| given + " ← " + &text);
                lines.push(format!("{indent}{}({}){answer}{given}", entry.name, arguments(entry)));
                depth += usize::from(answer == " …");
            }
            Way::Answered => {
                let before = entries.get(..place).unwrap_or_default();
                let before = before.iter().rev().find(|entry| entry.name != "(allocate)");
                // One that was answered at once is told with its answer.
                if before.is_some_and(|before| before.way != Way::Asked) {
                    depth = depth.saturating_sub(1).max(1);
                    lines.push(format!("{}… → {}", "  ".repeat(depth), status(entry)));
                }
            }
        }
    }
    lines
}

fn callback_arguments(entry: &Entry) -> String {
    let labels = CALLBACKS.iter().find(|(name, _)| *name == entry.name).map_or(&[] as &[&str], |(_, labels)| labels);
    let shown = entry.values.iter().flatten().enumerate().map(|(index, value)| match labels.get(index) {
        Some(&"end of stream") => if *value == 0 { "goes on" } else { "ends" }.to_owned(),
        Some(label @ (&"context" | &"parent" | &"call" | &"queue")) => format!("{label} {value}"),
        Some(label) => format!("{value} {label}"),
        None => value.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What a callback answered, in words where it decides something.
fn returned(entry: &Entry) -> String {
    let Some(value) = entry.values.first().copied().flatten() else { return String::new() };
    let holds = HOLDING.split(' ').any(|ending| entry.name.ends_with(ending));
    match (holds, value) {
        (true, 0) => "continue, ".into(),
        (true, 1) => "pause, ".into(),
        _ if entry.name == "proxy_on_configure" && value == 0 => "refused, ".into(),
        _ => format!("{value}, "),
    }
}

fn status(entry: &Entry) -> String {
    let value = entry.values.first().copied().flatten().unwrap_or_default();
    let name = usize::try_from(value).ok().and_then(|value| STATUSES.get(value));
    name.map_or_else(|| format!("status {value}"), ToString::to_string)
}

/// Which map or buffer a call is about, and the bytes that the module hands over.
fn arguments(entry: &Entry) -> String {
    let subject = Some(subject(entry).to_owned()).filter(|subject| !subject.is_empty());
    subject.into_iter().chain(numbers(entry)).chain(texts(entry, false)).collect::<Vec<_>>().join(", ")
}

/// The numbers that a call is made with, in words.
fn numbers(entry: &Entry) -> Vec<String> {
    let named = NUMBERS.iter().find(|(name, _)| *name == entry.name).map_or(&[] as &[_], |(_, numbers)| numbers);
    let shown = named.iter().filter_map(|(place, before, behind)| {
        let value = entry.values.get(*place).copied().flatten()?;
        match ALL.contains(&value) {
            // Not said, so not told.
            true if before.starts_with("gRPC") => None,
            true => Some(format!("{before}all{behind}").replace("all bytes", "all")),
            false => Some(format!("{before}{value}{behind}")),
        }
    });
    shown.collect()
}

fn subject(entry: &Entry) -> &'static str {
    let first = entry.values.first().copied().flatten().and_then(|value| usize::try_from(value).ok());
    let names: &[&str] = match entry.name.as_str() {
        name if name.contains("_header_map_") => &HEADERS,
        name if name.contains("_buffer_") => &BUFFERS,
        "proxy_continue_stream" | "proxy_close_stream" => &STREAMS,
        "proxy_define_metric" => &METRICS,
        "proxy_log" => &LEVELS,
        _ => &[],
    };
    first.and_then(|first| names.get(first).copied()).unwrap_or_default()
}

/// What was carried, by the host or by the module.
fn texts(entry: &Entry, given: bool) -> impl Iterator<Item = String> {
    // Where and how long its texts are: the first thing that it carries, and nothing to read.
    let vectors = usize::from(!given && matches!(entry.name.as_str(), "fd_write" | "fd_pwrite"));
    let texts = entry.texts.iter().filter(move |text| text.length > 0 && text.given == given);
    texts.skip(vectors).map(shown)
}

fn shown(text: &Text) -> String {
    let rest = text.length.saturating_sub(LONGEST_TEXT);
    let more = if rest > 0 { format!(" and {rest} bytes more") } else { String::new() };
    format!("\"{}\"{more}", display(&text.bytes).replace('\n', "\\n"))
}

fn seen(story: &mut String, play: &Play) {
    let received = play.upstream.iter().chain(&play.further).map(|message| ("upstream", Some(message)));
    let nothing = play.upstream.is_none().then_some(("upstream", None));
    for (who, message) in received.chain(nothing).chain([("client", play.client.as_ref())]) {
        let shown = message.map_or_else(|| "nothing".to_owned(), message_shown);
        let _ = writeln!(story, "  {who} sees {shown}");
    }
    for line in &play.log {
        let _ = writeln!(story, "  log: {line}");
    }
    if let Some(record) = &play.record {
        let _ = writeln!(story, "  record: {record}");
    }
    for (name, grown) in &play.metrics {
        let _ = writeln!(story, "  metric: {name} +{grown}");
    }
}

fn message_shown(message: &Message) -> String {
    let mut text = message.start.clone();
    for (name, value) in message.headers.iter().chain(&message.trailers) {
        let _ = write!(text, "\n    {name}: {}", display(value));
    }
    if !message.body.is_empty() {
        let body = message.body.get(..LONGEST_TEXT).unwrap_or(&message.body);
        let _ = write!(text, "\n    body of {} bytes: {}", message.body.len(), display(body));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
