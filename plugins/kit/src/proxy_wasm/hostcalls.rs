//! Hostcalls as safe functions over bytes. None panics, whatever the host answers: a call that fails
//! gives nothing, and the caller's rules say what follows from nothing.
//!
//! The SDK isn't used, for two reasons: it panics on any status that it doesn't list (a header read
//! out of its phase) and on one byte above 0x7F, and it exports every callback, each of which Envoy
//! then calls for every request.

use super::imports::{
    environ_get, environ_sizes_get, proxy_add_header_map_value, proxy_call_foreign_function, proxy_continue_stream,
    proxy_define_metric, proxy_get_buffer_bytes, proxy_get_current_time_nanoseconds, proxy_get_header_map_pairs,
    proxy_get_property, proxy_get_shared_data, proxy_grpc_call, proxy_increment_metric, proxy_log, proxy_record_metric,
    proxy_remove_header_map_value, proxy_replace_header_map_value, proxy_send_local_response,
    proxy_set_effective_context, proxy_set_property, proxy_set_shared_data, proxy_set_tick_period_milliseconds,
    random_get,
};
use crate::{
    head::{Headers, RequestHead},
    host::{CallId, Clock, CounterId, GaugeId, GrpcCall, Host, Level, NoRandom, RouteProperty, Secrets, StatefulHost},
    secret::Secret,
    store::{Found, Over, Store, Version, Written},
    verdict::{Edit, Reply, Verdict},
};

/// Which headers are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Request = 0,
    Response = 2,
}

/// What a headers callback gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    Continue = 0,
    /// The head waits. Under `allow_on_headers_stop_iteration` a body that comes meanwhile is told to the filter, and
    /// carries the head along if that lets it on, as a module without a body's callback does.
    Pause = 1,
    /// Everything waits, whatever the plugin's options are.
    HoldAll = 4,
}

const REQUEST_BODY: u32 = 0;
const GRPC_MESSAGE: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;
/// Bytes of a service's answer that are read; what is longer isn't read to its end.
const LARGEST_ANSWER: usize = 64 * 1024;
const REQUEST: u32 = 0;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const NO_GRPC_STATUS: i32 = -1;
/// No value has it: the proxy counts from 1, and starts again before it could get there twice.
const NO_VERSION: u32 = u32::MAX;

/// Bytes that the host placed in memory that it took from `proxy_on_memory_allocate`.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    if call(&raw mut data, &raw mut size) != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host filled `size` bytes which it allocated through `proxy_on_memory_allocate`, whose
    // layout is that of a `Vec<u8>` of this capacity, and gave them away.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// The configuration of this plugin; only while it is configured.
pub(super) fn configuration() -> Vec<u8> {
    // SAFETY: both pointers are valid for writing while the call lasts.
    received(|data, size| unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size) })
        .unwrap_or_default()
}

/// The message of a gRPC answer; only while it is told.
pub(super) fn grpc_message() -> Vec<u8> {
    // SAFETY: both pointers are valid for writing while the call lasts.
    received(|data, size| unsafe { proxy_get_buffer_bytes(GRPC_MESSAGE, 0, LARGEST_ANSWER, data, size) })
        .unwrap_or_default()
}

/// Makes a stream the one in hand; `false` where it is gone.
pub(super) fn take_in_hand(stream: u32) -> bool {
    // SAFETY: takes no pointer.
    unsafe { proxy_set_effective_context(stream) == OK }
}

/// Lets the request in hand go on. Of a response that hasn't begun, Envoy would die.
pub(super) fn resume_request() {
    // SAFETY: takes no pointer.
    unsafe { proxy_continue_stream(REQUEST) };
}

/// All lines of a head, in one call. `None` where the proxy doesn't give them: outside of their phase,
/// or where the capability list leaves the call out.
pub fn headers(map: Map) -> Option<Headers> {
    // SAFETY: both pointers are valid for writing while the call lasts.
    let pairs = received(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) });
    // A head is never empty: where its map is gone, Envoy gives no pairs and says that all is well.
    pairs.filter(|pairs| !pairs.is_empty()).and_then(Headers::from_pairs)
}

/// The head of the request in hand.
pub fn request_head() -> Option<RequestHead> {
    headers(Map::Request).map(RequestHead::from_headers)
}

/// A part of the request's body, in its callback. `None` where the proxy doesn't give it.
pub fn request_body(start: usize, size: usize) -> Option<Vec<u8>> {
    if size == 0 {
        return Some(Vec::new());
    }
    // SAFETY: both pointers are valid for writing while the call lasts.
    let body = received(|data, read| unsafe { proxy_get_buffer_bytes(REQUEST_BODY, start, size, data, read) });
    // Where there is no body in hand, Envoy gives no bytes and says that all is well.
    body.filter(|body| body.len() == size)
}

/// Makes a verdict true for the message whose head is in hand.
pub fn carry_out(map: Map, verdict: Verdict<'_>) -> Action {
    match verdict {
        Verdict::Pass => Action::Continue,
        Verdict::Edit(edits) => {
            for edit in edits {
                self::edit(map, edit);
            }
            Action::Continue
        }
        Verdict::Hold => Action::HoldAll,
        Verdict::Reply(reply) => {
            self::reply(&reply);
            Action::Pause
        }
    }
}

fn edit(map: Map, edit: Edit<'_>) {
    let map = map as u32;
    // SAFETY: each pointer is valid for reading its size while the call lasts.
    unsafe {
        match edit {
            Edit::Set(name, value) => {
                proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
            Edit::Add(name, value) => {
                proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
            Edit::Remove(name) => proxy_remove_header_map_value(map, name.as_ptr(), name.len()),
        }
    };
}

/// Answers in the upstream's place. The first reply of a stream stands.
pub fn reply(reply: &Reply) {
    let headers = pairs(&reply.headers);
    let details = &reply.details;
    // SAFETY: each pointer is valid for reading its size while the call lasts.
    unsafe {
        proxy_send_local_response(
            u32::from(reply.status),
            details.as_ptr(),
            details.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            headers.as_ptr(),
            headers.len(),
            reply.grpc_status.and_then(|status| i32::try_from(status).ok()).unwrap_or(NO_GRPC_STATUS),
        )
    };
}

fn pairs(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = u32::try_from(headers.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for (name, value) in headers {
        out.extend(size(name));
        out.extend(size(value));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(text);
        out.push(0);
    }
    out
}

/// A property by its path, parts parted by NUL; empty where there is none.
fn read_property(path: &[u8]) -> Vec<u8> {
    // SAFETY: the path is valid for reading, both pointers for writing, while the call lasts.
    received(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).unwrap_or_default()
}

/// The proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proxy;

impl Store for Proxy {
    fn get(&mut self, key: &[u8]) -> Found {
        let (mut status, mut version) = (OK, 0);
        let value = received(|data, size| {
            // SAFETY: the key is valid for reading, the pointers for writing, while the call lasts.
            status = unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version) };
            status
        });
        match value {
            Some(value) => Found::Value(value, Version(version)),
            None if status == NOT_FOUND => Found::Nothing,
            None => Found::Unreadable,
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], over: Over) -> Written {
        let version = match over {
            // The proxy doesn't look at the number where there is no value, and refuses a wrong one where there is.
            Over::Nothing => NO_VERSION,
            Over::Version(Version(version)) => version,
        };
        // SAFETY: key and value are valid for reading their sizes while the call lasts.
        match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) } {
            OK => Written::Done,
            CAS_MISMATCH => Written::Lost,
            _ => Written::Unwritable,
        }
    }
}

impl Clock for Proxy {
    fn now(&mut self) -> u64 {
        let mut time = 0;
        // SAFETY: the time is valid for writing while the call lasts.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
        time
    }
}

impl Host for Proxy {
    fn route(&mut self, property: RouteProperty) -> Vec<u8> {
        let path: &[u8] = match property {
            RouteProperty::RouteName => b"xds\0route_name",
            RouteProperty::VirtualHostName => b"xds\0virtual_host_name",
            RouteProperty::RouteMetadata => b"xds\0route_metadata",
            RouteProperty::VirtualHostMetadata => b"xds\0virtual_host_metadata",
        };
        read_property(path)
    }

    fn define_counter(&mut self, name: &str) -> CounterId {
        let mut id = 0;
        // SAFETY: the name is valid for reading, the id for writing, while the call lasts.
        unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut id) };
        CounterId(id)
    }

    fn increment(&mut self, CounterId(id): CounterId) {
        // SAFETY: takes no pointer.
        unsafe { proxy_increment_metric(id, 1) };
    }

    fn leave_record(&mut self, name: &str, record: &str) {
        // One path part: Envoy can't read back what was set under several.
        // SAFETY: both pointers are valid for reading their sizes while the call lasts.
        unsafe { proxy_set_property(name.as_ptr(), name.len(), record.as_ptr(), record.len()) };
    }

    fn log(&mut self, level: Level, line: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // SAFETY: the text is valid for reading its size while the call lasts.
        unsafe { proxy_log(level, line.as_ptr(), line.len()) };
    }
}

impl Secrets for Proxy {
    fn secret(&mut self, name: &str) -> Option<Secret> {
        let (mut count, mut size) = (0, 0);
        // SAFETY: both pointers are valid for writing while the call lasts.
        if unsafe { environ_sizes_get(&raw mut count, &raw mut size) } != 0 {
            return None;
        }
        let (mut places, mut text) = (vec![std::ptr::null_mut(); count], vec![0_u8; size]);
        // SAFETY: there is room for as many pointers and bytes as the host has just asked for.
        if unsafe { environ_get(places.as_mut_ptr(), text.as_mut_ptr()) } != 0 {
            return None;
        }
        let value = |line: &[u8]| line.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
        text.split(|byte| *byte == 0).find_map(value).map(Secret::new)
    }
}

impl StatefulHost for Proxy {
    fn define_gauge(&mut self, name: &str) -> GaugeId {
        let mut id = 0;
        // SAFETY: the name is valid for reading, the id for writing, while the call lasts.
        unsafe { proxy_define_metric(GAUGE, name.as_ptr(), name.len(), &raw mut id) };
        GaugeId(id)
    }

    fn set_gauge(&mut self, GaugeId(id): GaugeId, value: u64) {
        // SAFETY: takes no pointer.
        unsafe { proxy_record_metric(id, value) };
    }

    fn add(&mut self, CounterId(id): CounterId, by: u64) {
        if let Some(by) = i64::try_from(by).ok().filter(|by| *by > 0) {
            // SAFETY: takes no pointer.
            unsafe { proxy_increment_metric(id, by) };
        }
    }

    fn client_address(&mut self) -> Vec<u8> {
        read_property(b"source\0address")
    }

    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8> {
        let mut parts = b"metadata\0filter_metadata\0".to_vec();
        parts.extend(namespace.as_bytes());
        for part in path {
            parts.push(0);
            parts.extend(part.as_bytes());
        }
        read_property(&parts)
    }

    fn request_head(&mut self) -> Option<RequestHead> {
        request_head()
    }

    fn response_details(&mut self) -> Vec<u8> {
        read_property(b"response\0code_details")
    }

    fn keep_record(&mut self, name: &str) {
        // Envoy's `DeclarePropertyArguments` (source/extensions/common/wasm/ext/declare_property.proto): field 1 is the
        // name, field 3 the type (1: text), field 5 the life span (1: the request of the client).
        let mut arguments = vec![0x0a, u8::try_from(name.len()).unwrap_or(0)];
        arguments.extend(name.as_bytes());
        arguments.extend([0x18, 1, 0x28, 1]);
        let function = b"declare_property";
        // A second configuration in the same VM declares it once more, which is refused and changes nothing.
        // SAFETY: name and arguments are valid for reading, both pointers for writing, while the call lasts.
        received(|data, size| unsafe {
            proxy_call_foreign_function(
                function.as_ptr(),
                function.len(),
                arguments.as_ptr(),
                arguments.len(),
                data,
                size,
            )
        });
    }

    fn earlier_record(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(read_property(name.as_bytes())).filter(|record| !record.is_empty())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        // SAFETY: the bytes are valid for writing while the call lasts.
        match unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) } {
            0 => Ok(()),
            _ => Err(NoRandom),
        }
    }

    fn set_tick_period(&mut self, milliseconds: u32) {
        // SAFETY: takes no pointer.
        unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
    }

    fn call(&mut self, call: &GrpcCall<'_>) -> Option<CallId> {
        let target = target(call.cluster);
        let metadata = pairs(&[]);
        let mut token = 0;
        // SAFETY: each pointer is valid for reading its size, the token for writing, while the call lasts.
        let status = unsafe {
            proxy_grpc_call(
                target.as_ptr(),
                target.len(),
                call.service.as_ptr(),
                call.service.len(),
                call.method.as_ptr(),
                call.method.len(),
                metadata.as_ptr(),
                metadata.len(),
                call.message.as_ptr(),
                call.message.len(),
                call.timeout.max(1),
                &raw mut token,
            )
        };
        (status == OK).then_some(CallId(token))
    }
}

/// A cluster as `envoy.config.core.v3.GrpcService` with `envoy_grpc.cluster_name`. Envoy takes a plain name, too, but
/// first tries to read it as this message, and dies where it can (`xa` is a field that it doesn't know).
fn target(cluster: &str) -> Vec<u8> {
    const FIRST_FIELD: u8 = 1 << 3 | 2;
    let field = |bytes: &[u8]| {
        let mut out = vec![FIRST_FIELD];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    };
    field(&field(cluster.as_bytes()))
}
