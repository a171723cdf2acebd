//! The calls of the ABI 0.2.1 as they are declared, pointers as numbers.
//!
//! Source: <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.

macro_rules! imports {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(pub fn $name($($argument: $type),*) -> u32;)*
        }

        /// Makes a call by its full name; `None` where no call has it, or too few arguments.
        pub fn raw(name: &str, arguments: &[i64]) -> Option<u32> {
            let mut arguments = arguments.iter().copied();
            $(if name == stringify!($name) {
                $(let $argument = arguments.next()? as $type;)*
                // SAFETY: the host checks every pointer that it is given, and what it writes is the script's risk.
                return Some(unsafe { $name($($argument),*) });
            })*
            let _ = arguments.next();
            None
        }
    };
}

imports! {
    proxy_log(level: u32, text: u32, size: u32);
    proxy_get_log_level(level: u32);
    proxy_get_current_time_nanoseconds(time: u32);
    proxy_set_tick_period_milliseconds(period: u32);
    proxy_get_property(path: u32, path_size: u32, value: u32, value_size: u32);
    proxy_set_property(path: u32, path_size: u32, value: u32, value_size: u32);
    proxy_get_buffer_bytes(buffer: u32, start: u32, most: u32, value: u32, value_size: u32);
    proxy_get_buffer_status(buffer: u32, size: u32, flags: u32);
    proxy_set_buffer_bytes(buffer: u32, start: u32, length: u32, value: u32, value_size: u32);
    proxy_get_header_map_pairs(map: u32, value: u32, value_size: u32);
    proxy_set_header_map_pairs(map: u32, value: u32, value_size: u32);
    proxy_get_header_map_size(map: u32, size: u32);
    proxy_get_header_map_value(map: u32, name: u32, name_size: u32, value: u32, value_size: u32);
    proxy_replace_header_map_value(map: u32, name: u32, name_size: u32, value: u32, value_size: u32);
    proxy_add_header_map_value(map: u32, name: u32, name_size: u32, value: u32, value_size: u32);
    proxy_remove_header_map_value(map: u32, name: u32, name_size: u32);
    proxy_get_shared_data(key: u32, key_size: u32, value: u32, value_size: u32, cas: u32);
    proxy_set_shared_data(key: u32, key_size: u32, value: u32, value_size: u32, cas: u32);
    proxy_register_shared_queue(name: u32, name_size: u32, queue: u32);
    proxy_resolve_shared_queue(vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, queue: u32);
    proxy_enqueue_shared_queue(queue: u32, value: u32, value_size: u32);
    proxy_dequeue_shared_queue(queue: u32, value: u32, value_size: u32);
    proxy_define_metric(kind: u32, name: u32, name_size: u32, id: u32);
    proxy_increment_metric(id: u32, by: i64);
    proxy_record_metric(id: u32, amount: u64);
    proxy_get_metric(id: u32, value: u32);
    proxy_get_status(code: u32, text: u32, text_size: u32);
    proxy_call_foreign_function(name: u32, name_size: u32, data: u32, data_size: u32, value: u32, value_size: u32);
    proxy_http_call(
        cluster: u32, cluster_size: u32, headers: u32, headers_size: u32, body: u32, body_size: u32,
        trailers: u32, trailers_size: u32, timeout: u32, token: u32
    );
    proxy_grpc_call(
        service: u32, service_size: u32, name: u32, name_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout: u32, token: u32
    );
    proxy_grpc_stream(
        service: u32, service_size: u32, name: u32, name_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, token: u32
    );
    proxy_grpc_send(token: u32, message: u32, message_size: u32, end: u32);
    proxy_grpc_cancel(token: u32);
    proxy_grpc_close(token: u32);
    proxy_send_local_response(
        status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32, headers_size: u32,
        grpc_status: u32
    );
    proxy_continue_stream(stream: u32);
    proxy_close_stream(stream: u32);
    proxy_set_effective_context(context: u32);
    proxy_done();
    envoy_resolve_dns(address: u32, address_size: u32, token: u32);
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub fn proc_exit(code: u32);
}
