//! Every callback of root and HTTP contexts that the ABI 0.2.1 has.

use crate::{play::callback, state};

/// Memory for what the host hands over; the layout of a `Vec<u8>` with this capacity.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size == 0 || state::with(|state| state.no_memory.get()) {
        return std::ptr::null_mut();
    }
    let mut memory = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size));
    memory.as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
    if parent != 0 {
        state::with(|state| {
            state.stream.set(id);
            state.roots.borrow_mut().insert(id, parent);
        });
    }
    callback("context_create", id, &format!("id={id} parent={parent}"), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_foreign_function(id: u32, function: u32, size: u32) {
    callback("foreign_function", id, &format!("function={function} size={size}"), false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(id: u32, token: u32, headers: u32, body: u32, trailers: u32) {
    let arguments = format!("token={token} headers={headers} body={body} trailers={trailers}");
    callback("http_call_response", id, &arguments, false, 0);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(id: u32, queue: u32) {
    let known = state::with(|state| state.queue.get()) == Some(queue);
    let shown = if known { "$queue".into() } else { queue.to_string() };
    callback("queue_ready", id, &format!("queue={shown}"), false, 0);
}

/// `exported name, its short name(arguments behind the context's id) default`: a callback that returns a number.
macro_rules! returning {
    ($($exported:ident, $name:literal ($($argument:ident),*) $default:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $exported(id: u32 $(, $argument: u32)*) -> u32 {
            #[allow(unused_mut, unused_assignments)]
            let mut last = false;
            let arguments: &[String] = &[$({
                last = stringify!($argument) == "end" && $argument != 0;
                format!("{}={}", stringify!($argument), $argument)
            }),*];
            callback($name, id, &arguments.join(" "), last, $default)
        }
    )*};
}

macro_rules! silent {
    ($($exported:ident, $name:literal ($($argument:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $exported(id: u32 $(, $argument: u32)*) {
            let arguments: &[String] = &[$(format!("{}={}", stringify!($argument), $argument)),*];
            callback($name, id, &arguments.join(" "), false, 0);
        }
    )*};
}

returning! {
    proxy_on_vm_start, "vm_start"(size) 1;
    proxy_on_configure, "configure"(size) 1;
    proxy_on_done, "done"() 1;
    proxy_on_request_headers, "request_headers"(count, end) 0;
    proxy_on_request_body, "request_body"(size, end) 0;
    proxy_on_request_trailers, "request_trailers"(count) 0;
    proxy_on_request_metadata, "request_metadata"(count) 0;
    proxy_on_response_headers, "response_headers"(count, end) 0;
    proxy_on_response_body, "response_body"(size, end) 0;
    proxy_on_response_trailers, "response_trailers"(count) 0;
    proxy_on_response_metadata, "response_metadata"(count) 0;
}

silent! {
    proxy_on_tick, "tick"();
    proxy_on_log, "log"();
    proxy_on_delete, "delete"();
    proxy_on_grpc_receive_initial_metadata, "grpc_receive_initial_metadata"(token, count);
    proxy_on_grpc_receive, "grpc_receive"(token, size);
    proxy_on_grpc_receive_trailing_metadata, "grpc_receive_trailing_metadata"(token, count);
    proxy_on_grpc_close, "grpc_close"(token, code);
    envoy_on_resolve_dns, "resolve_dns"(token, size);
}
