//! A guest that makes nearly every call in nearly every callback, good and bad ones. It decides
//! nothing; what it is told stands in the trace.

use std::fmt::Write as _;

/// Where names and values lie in memory, 64 bytes for each.
const FIRST: usize = 1024;

/// Imports: name, short name, parameters.
const IMPORTS: &[(&str, &str, &str)] = &[
    ("proxy_get_header_map_value", "get", "i32 i32 i32 i32 i32"),
    ("proxy_get_header_map_pairs", "pairs", "i32 i32 i32"),
    ("proxy_get_header_map_size", "size", "i32 i32"),
    ("proxy_add_header_map_value", "add", "i32 i32 i32 i32 i32"),
    ("proxy_replace_header_map_value", "replace", "i32 i32 i32 i32 i32"),
    ("proxy_remove_header_map_value", "remove", "i32 i32 i32"),
    ("proxy_get_buffer_bytes", "read", "i32 i32 i32 i32 i32"),
    ("proxy_get_buffer_status", "status", "i32 i32 i32"),
    ("proxy_set_buffer_bytes", "write", "i32 i32 i32 i32 i32"),
    ("proxy_get_property", "property", "i32 i32 i32 i32"),
    ("proxy_set_property", "state", "i32 i32 i32 i32"),
    ("proxy_get_shared_data", "load", "i32 i32 i32 i32 i32"),
    ("proxy_set_shared_data", "store", "i32 i32 i32 i32 i32"),
    ("proxy_define_metric", "define", "i32 i32 i32 i32"),
    ("proxy_increment_metric", "increment", "i32 i64"),
    ("proxy_record_metric", "record", "i32 i64"),
    ("proxy_get_metric", "metric", "i32 i32"),
    ("proxy_log", "log", "i32 i32 i32"),
    ("proxy_get_log_level", "level", "i32"),
    ("proxy_set_effective_context", "effective", "i32"),
    ("proxy_continue_stream", "continue", "i32"),
    ("proxy_done", "done", ""),
    ("proxy_get_current_time_nanoseconds", "time", "i32"),
    ("proxy_register_shared_queue", "register", "i32 i32 i32"),
    ("proxy_resolve_shared_queue", "resolve", "i32 i32 i32 i32 i32"),
    ("proxy_enqueue_shared_queue", "enqueue", "i32 i32 i32"),
    ("proxy_dequeue_shared_queue", "dequeue", "i32 i32 i32"),
    ("proxy_call_foreign_function", "foreign", "i32 i32 i32 i32 i32 i32"),
    ("proxy_http_call", "call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_grpc_call", "grpc", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_grpc_stream", "stream", "i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_grpc_send", "send", "i32 i32 i32 i32"),
    ("proxy_grpc_cancel", "cancel", "i32"),
    ("proxy_grpc_close", "close", "i32"),
    ("proxy_get_status", "code", "i32 i32 i32"),
    ("proxy_close_stream", "end", "i32"),
    ("proxy_set_tick_period_milliseconds", "tick", "i32"),
];

const PROPERTIES: &[&str] = &[
    "request.path",
    "request.method",
    "request.headers",
    "request.headers.x-a",
    "request.time",
    "request.id",
    "request.size",
    "request.total_size",
    "request.duration",
    "request.protocol",
    "request",
    "response.code",
    "response.code_details",
    "response.flags",
    "response.headers",
    "response.size",
    "upstream.address",
    "source.address",
    "source.port",
    "source",
    "destination.port",
    "connection.id",
    "connection.mtls",
    "connection_id",
    "connection.requested_server_name",
    "xds.cluster_name",
    "xds.route_name",
    "xds.route_metadata",
    "xds.virtual_host_name",
    "xds.virtual_host_metadata",
    "cluster_name",
    "route_name",
    "route_metadata",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "x-state",
    "nothing",
    "",
];

struct Text {
    calls: String,
    /// Each call for people, in order.
    told: Vec<String>,
    data: String,
    place: usize,
    /// What lies where.
    names: Vec<(String, String)>,
}

impl Text {
    /// A pointer and a length.
    fn bytes(&mut self, text: &str) -> String {
        self.names.push((self.place.to_string(), text.to_owned()));
        let _ = write!(self.data, "(data (i32.const {}) \"{}\")", self.place, text.replace('.', "\\00"));
        self.place += 64;
        format!("(i32.const {}) (i32.const {})", self.place - 64, text.len())
    }

    fn call(&mut self, name: &str, arguments: &str) {
        let _ = writeln!(self.calls, "(drop (call ${name} {arguments}))");
        let mut told = arguments.replace("(i32.const ", "").replace("(i64.const ", "").replace(')', "");
        for (place, name) in &self.names {
            told = told.replace(&format!("{place} {}", name.len()), name);
        }
        self.told.push(format!("{name} {told}"));
    }
}

fn numbers(numbers: &[u32]) -> String {
    numbers.iter().map(|number| format!("(i32.const {})", number.cast_signed())).collect::<Vec<_>>().join(" ")
}

/// The guest as WAT, and what it calls in each callback. `writes`: whether it also changes messages.
pub fn guest(writes: bool) -> (String, Vec<String>) {
    let mut text =
        Text { calls: String::new(), told: Vec::new(), data: String::new(), place: FIRST, names: Vec::new() };
    let out = "(i32.const 0) (i32.const 4)";
    let (name, new, value) = (text.bytes("x-a"), text.bytes("x-new"), text.bytes("val"));
    for map in 0..9 {
        let map = format!("(i32.const {map})");
        text.call("get", &format!("{map} {name} {out}"));
        text.call("get", &format!("{map} {new} {out}"));
        text.call("pairs", &format!("{map} {out}"));
        text.call("size", &format!("{map} (i32.const 0)"));
        if writes {
            text.call("add", &format!("{map} {new} {value}"));
            text.call("replace", &format!("{map} {new} {value}"));
            text.call("remove", &format!("{map} {new}"));
        }
    }
    for buffer in 0..10 {
        text.call("read", &format!("{} {out}", numbers(&[buffer, 0, 4])));
        text.call("read", &format!("{} {out}", numbers(&[buffer, 2, u32::MAX])));
        text.call("read", &format!("{} {out}", numbers(&[buffer, 1000, 1])));
        text.call("status", &numbers(&[buffer, 0, 4]));
        if writes {
            for (start, length) in [(0, 0), (0, 2), (1, 1), (1000, 0)] {
                text.call("write", &format!("{} {value}", numbers(&[buffer, start, length])));
            }
        }
    }
    let state = text.bytes("x-state");
    text.call("state", &format!("{state} {value}"));
    let (two, path) = (text.bytes("a.b"), text.bytes("request.path"));
    text.call("state", &format!("{two} {value}"));
    text.call("property", &format!("{two} {out}"));
    text.call("state", &format!("{path} {value}"));
    for property in PROPERTIES {
        let property = text.bytes(property);
        text.call("property", &format!("{property} {out}"));
    }
    let key = text.bytes("key");
    text.call("load", &format!("{key} {out} (i32.const 8)"));
    text.call("store", &format!("{key} {value} (i32.const 99999)"));
    text.call("store", &format!("{key} {value} (i32.const 0)"));
    text.call("load", &format!("{key} {out} (i32.const 8)"));
    for kind in 0..4 {
        text.call("define", &format!("(i32.const {kind}) {key} (i32.const 8)"));
        for (call, by) in [("increment", -1), ("increment", 0), ("increment", 2), ("record", 3)] {
            text.call(call, &format!("(i32.load (i32.const 8)) (i64.const {by})"));
        }
        text.call("metric", "(i32.load (i32.const 8)) (i32.const 0)");
        let unknown = 4000 + kind;
        text.call("increment", &format!("(i32.const {unknown}) (i64.const 1)"));
        text.call("record", &format!("(i32.const {unknown}) (i64.const 1)"));
        text.call("metric", &format!("(i32.const {unknown}) (i32.const 0)"));
    }
    for level in [0, 5, 6] {
        text.call("log", &format!("(i32.const {level}) {value}"));
    }
    text.call("log", &numbers(&[2, u32::MAX, 4]));
    text.call("get", &numbers(&[0, u32::MAX, 4, 0, 4]));
    text.call("level", "(i32.const 0)");
    text.call("time", "(i32.const 0)");
    text.call("done", "");
    for stream in [2, 3, 4, 9] {
        text.call("continue", &format!("(i32.const {stream})"));
    }
    for stream in [2, 3, 9] {
        text.call("end", &format!("(i32.const {stream})"));
    }
    text.call("tick", "(i32.const 0)");
    text.call("code", "(i32.const 0) (i32.const 4) (i32.const 8)");
    let empty = text.bytes("");
    // A queue that somebody else registers, one of nobody's, and one of its own.
    text.call("resolve", &format!("{empty} {key} (i32.const 8)"));
    text.call("resolve", &format!("{value} {key} (i32.const 8)"));
    text.call("dequeue", &format!("(i32.const 999) {out}"));
    text.call("enqueue", &format!("(i32.const 999) {value}"));
    text.call("dequeue", &format!("(i32.load (i32.const 8)) {out}"));
    for name in [
        "nothing",
        "clear_route_cache",
        "compress",
        "uncompress",
        "expr_delete",
        "declare_property",
        "sign",
        "verify_signature",
        "set_envoy_filter_state",
        "expr_create",
        "expr_evaluate",
    ] {
        let name = text.bytes(name);
        text.call("foreign", &format!("{name} {value} {out}"));
    }
    // A cluster that there isn't, and calls and streams that never were.
    let cluster = text.bytes("nowhere");
    text.call("call", &format!("{cluster} {empty} {empty} {empty} (i32.const 1000) (i32.const 8)"));
    text.call("grpc", &format!("{cluster} {value} {value} {empty} {empty} (i32.const 1000) (i32.const 8)"));
    text.call("stream", &format!("{cluster} {value} {value} {empty} (i32.const 8)"));
    for id in [4, 5, 6, 7, 0] {
        text.call("cancel", &format!("(i32.const {id})"));
        text.call("close", &format!("(i32.const {id})"));
        text.call("send", &format!("(i32.const {id}) {value} (i32.const 0)"));
    }
    for context in [99, 1] {
        text.call("effective", &format!("(i32.const {context})"));
        text.call("pairs", &format!("(i32.const 0) {out}"));
        text.call("get", &format!("(i32.const 0) {name} {out}"));
    }
    text.call("effective", "(i32.const 0)");
    (module(&text), text.told)
}

fn module(text: &Text) -> String {
    let mut wat = String::from("(module\n");
    for (name, short, parameters) in IMPORTS {
        let _ = writeln!(wat, "(import \"env\" \"{name}\" (func ${short} (param {parameters}) (result i32)))");
    }
    let _ = writeln!(wat, "(memory (export \"memory\") 4)\n{}", text.data);
    wat.push_str("(func (export \"proxy_abi_version_0_2_1\"))\n");
    wat.push_str("(func (export \"malloc\") (param i32) (result i32) (i32.const 131072))\n");
    let _ = writeln!(wat, "(func $all {})", text.calls);
    wat.push_str("(func (export \"proxy_on_context_create\") (param i32 i32))\n");
    for (callback, parameters, answer) in [
        ("vm_start", "i32 i32", Some(1)),
        ("configure", "i32 i32", Some(1)),
        ("request_headers", "i32 i32 i32", Some(0)),
        ("request_body", "i32 i32 i32", Some(0)),
        ("request_trailers", "i32 i32", Some(0)),
        ("response_headers", "i32 i32 i32", Some(0)),
        ("response_body", "i32 i32 i32", Some(0)),
        ("response_trailers", "i32 i32", Some(0)),
        ("log", "i32", None),
        ("done", "i32", Some(1)),
        ("delete", "i32", None),
    ] {
        let (result, value) = match answer {
            Some(answer) => ("(result i32)", format!("(i32.const {answer})")),
            None => ("", String::new()),
        };
        let _ =
            writeln!(wat, "(func (export \"proxy_on_{callback}\") (param {parameters}) {result} (call $all) {value})");
    }
    wat.push(')');
    wat
}
