//! What a module does that works in a test and goes wrong one day, seen in its calls alone, whatever a
//! scenario expects. What only the messages show, a length that isn't the body's, is noticed where they go on
//! (`stream/ends.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::trace::{Entry, Way};

/// Attributes that Envoy once had under these names, and has elsewhere now.
const OLD_PROPERTIES: [&str; 8] = [
    "cluster_name",
    "cluster_metadata",
    "route_name",
    "route_metadata",
    "listener_direction",
    "listener_metadata",
    "upstream_host_metadata",
    "plugin_direction",
];

/// Calls with an effect that lasts. `on_configure` runs in the canary, the main thread and each worker.
const LASTING: [&str; 5] =
    ["proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream", "proxy_set_shared_data", "proxy_enqueue_shared_queue"];

/// Calls after which something comes that may let a message on.
const AWAITED: [&str; 4] =
    ["proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream", "proxy_set_tick_period_milliseconds"];

const BAD_ARGUMENT: i64 = 2;
const NOT_FOUND: i64 = 1;
const ANSWER_HEADERS: i64 = 6;

/// A callback that hasn't returned.
struct Frame {
    callback: String,
    values: Vec<i64>,
    /// Whether it looked at how a callout went.
    looked: bool,
    /// The stream that calls are for, where the guest has chosen another than the callback's own.
    effective: Option<i64>,
    /// Whether it let its own message on, or ended it: what it answers holds nothing.
    over: bool,
}

/// Looks at the calls of one session, play by play.
#[derive(Default)]
pub struct Watch {
    frames: Vec<Frame>,
    /// Streams whose message of a side is held: the context and whether it is the response; and whether all of the
    /// message has come.
    held: BTreeMap<(i64, bool), bool>,
    /// Callouts without an answer yet, and a tick: what may still let a message on.
    awaited: i64,
    /// Streams whose response has begun.
    begun: BTreeSet<i64>,
    /// Bodies that were edited.
    edited: BTreeSet<(i64, bool)>,
    /// More held bytes than this come near the limit.
    much: i64,
}

impl Watch {
    pub fn new(buffer_limit: usize) -> Self {
        Self { much: i64::try_from(buffer_limit / 2).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// What is dangerous in these calls, each once, as sentences.
    pub fn look(&mut self, entries: &[Entry]) -> Vec<String> {
        let mut found = Vec::new();
        let mut asked: Vec<&Entry> = Vec::new();
        for entry in entries {
            let values: Vec<i64> = entry.values.iter().map(|value| value.unwrap_or_default()).collect();
            let hazard = match entry.way {
                Way::Created => None,
                Way::Called => {
                    let frame =
                        Frame { callback: entry.name.clone(), values, looked: false, effective: None, over: false };
                    let ended = (frame.callback == "proxy_on_done").then(|| self.ended(frame.context()));
                    if ["proxy_on_http_call_response", "proxy_on_grpc_close"].contains(&frame.callback.as_str()) {
                        self.awaited -= 1;
                    }
                    self.frames.push(frame);
                    ended.flatten()
                }
                Way::Returned => self.frames.pop().and_then(|frame| self.returned(&frame, values.first().copied())),
                Way::Asked => {
                    asked.push(entry);
                    None
                }
                Way::Answered => {
                    let status = values.first().copied().unwrap_or_default();
                    asked.pop().and_then(|call| self.answered(call, status))
                }
            };
            if let Some(hazard) = hazard.filter(|hazard| !found.contains(hazard)) {
                found.push(hazard);
            }
        }
        found
    }

    fn ended(&mut self, context: i64) -> Option<String> {
        let held = [false, true].into_iter().find(|response| self.held.remove(&(context, *response)).is_some());
        self.edited.retain(|(stream, _)| *stream != context);
        self.begun.remove(&context);
        held.map(|response| {
            let message = if response { "response" } else { "request" };
            format!("the {message} was held and nothing let it on: it waited until it timed out, or somebody left")
        })
    }

    /// What is dangerous once everything is over: a whole message that is still held while nothing is awaited.
    pub fn end(&mut self) -> Option<String> {
        self.held.retain(|_, whole| *whole);
        let ((context, _), _) = self.held.first_key_value().filter(|_| self.awaited <= 0)?;
        self.ended(*context)
    }

    fn returned(&mut self, frame: &Frame, answer: Option<i64>) -> Option<String> {
        let response = frame.response()?;
        if response && !matches!(answer, Some(1 | 3 | 4)) {
            self.begun.insert(frame.context());
        }
        let holds = matches!(answer, Some(1 | 3 | 4)) && !frame.over;
        if holds {
            let whole = frame.callback.ends_with("_trailers") || frame.values.get(2) == Some(&1);
            self.held.insert((frame.context(), response), whole);
        } else {
            self.held.remove(&(frame.context(), response));
        }
        let size = frame.values.get(1).copied().unwrap_or_default();
        (holds && frame.callback.ends_with("_body") && size > self.much).then(|| {
            format!("{}: more than half of the buffer limit is held; above it Envoy answers 413 or 500", frame.callback)
        })
    }

    fn answered(&mut self, call: &Entry, status: i64) -> Option<String> {
        let argument = |place: usize| call.values.get(place).copied().flatten().unwrap_or_default();
        let frame = self.frames.iter_mut().rev().find(|frame| frame.callback.starts_with("proxy_on_"))?;
        let (callback, response) = (frame.callback.clone(), frame.response());
        let context = frame.effective.unwrap_or_else(|| frame.context());
        let is_own = context == frame.context();
        let name = call.name.as_str();
        if status == 0 && AWAITED.contains(&name) {
            self.awaited += 1;
        }
        let starting = callback == "proxy_on_configure" || callback == "proxy_on_vm_start";
        let told = |what: &str| Some(format!("{callback}: {what}"));
        match name {
            _ if starting && status == 0 && LASTING.contains(&name) => told(&format!(
                "{name} happens in the canary, in the main thread and in each worker: once more than twice the workers"
            )),
            "proxy_set_effective_context" if status == 0 => {
                frame.effective = Some(argument(0));
                None
            }
            "proxy_get_status" => {
                frame.looked = true;
                None
            }
            _ if name.contains("_header_map_") => {
                frame.looked |= argument(0) == ANSWER_HEADERS && tells_success(call);
                if status == BAD_ARGUMENT {
                    told(&format!("{name} of headers that aren't in hand in this callback"))
                } else {
                    None
                }
            }
            "proxy_set_buffer_bytes" if status == BAD_ARGUMENT && argument(1) > 0 => {
                told("an edit inside of a buffer; Envoy replaces a beginning or all of it, and appends")
            }
            "proxy_set_buffer_bytes" if status == 0 => {
                let response = response?;
                let again = !self.edited.insert((context, response));
                let frame = self.frames.iter().rev().find(|frame| frame.callback == callback)?;
                let empty_end = frame.values.get(1) == Some(&0) && frame.values.get(2) == Some(&1);
                if again && empty_end { told("the body is edited once more on its empty end") } else { None }
            }
            "proxy_get_property" if status == NOT_FOUND => {
                let path = call.texts.first().map(|text| String::from_utf8_lossy(&text.bytes).into_owned())?;
                let old = OLD_PROPERTIES.contains(&path.split('\0').next().unwrap_or_default());
                if old { told(&format!("the property `{path}` is gone; see `xds`")) } else { None }
            }
            "proxy_continue_stream" => {
                let of_response = argument(0) == 1;
                frame.over |= is_own && response == Some(of_response);
                let failed =
                    callback == "proxy_on_grpc_close" && frame.values.get(2).is_some_and(|status| *status != 0);
                let unseen = !frame.looked && (callback == "proxy_on_http_call_response" || failed);
                self.held.remove(&(context, of_response));
                if of_response {
                    self.begun.insert(context);
                }
                if of_response && response == Some(false) {
                    told("the response is resumed before there is one, which ends Envoy")
                } else if unseen {
                    told(&format!(
                        "the {} goes on, and nobody looked at how the callout went: a failure is an answer too",
                        if of_response { "response" } else { "request" }
                    ))
                } else {
                    None
                }
            }
            "proxy_send_local_response" if status == 0 => {
                frame.over |= is_own;
                self.held.retain(|(stream, _), _| *stream != context);
                let late = self.begun.contains(&context) || response == Some(true) && !callback.ends_with("_headers");
                if late {
                    told("a reply after the response has begun: the client has its head already, or the body is held")
                } else {
                    None
                }
            }
            "proxy_close_stream" => {
                frame.over |= is_own;
                self.held.retain(|(stream, _), _| *stream != context);
                None
            }
            _ => None,
        }
    }
}

/// Whether a read of an answer's head shows how the callout went: its status, or all of its lines, none where it
/// broke. Any other line says nothing of that.
fn tells_success(call: &Entry) -> bool {
    let key = call.texts.first().map(|text| text.bytes.as_slice()).unwrap_or_default();
    match call.name.as_str() {
        "proxy_get_header_map_pairs" | "proxy_get_header_map_size" => true,
        "proxy_get_header_map_value" => key.eq_ignore_ascii_case(b":status"),
        _ => false,
    }
}

impl Frame {
    fn context(&self) -> i64 {
        self.values.first().copied().unwrap_or_default()
    }

    /// Whether it is about the response; `None` where it is about neither message.
    fn response(&self) -> Option<bool> {
        let part = ["_headers", "_body", "_trailers"].iter().any(|end| self.callback.ends_with(end));
        match (part, self.callback.starts_with("proxy_on_request"), self.callback.starts_with("proxy_on_response")) {
            (true, true, _) => Some(false),
            (true, _, true) => Some(true),
            _ => None,
        }
    }
}
