//! The exports of a module. Every exported callback costs each request, so a module exports those
//! that it handles and no others; `on_delete` always, since contexts would pile up without it.

/// Makes a [`Root`](super::Root) the module's plugin.
///
/// Both header callbacks are exported even where a plugin handles one of them: without a valid
/// configuration, the first that is called refuses the stream. Behind the type stand further callbacks that the
/// plugin handles: `tick`, `grpc` (the answers to its calls), `body` (the request's, with its trailers).
#[macro_export]
macro_rules! proxy_wasm_entry {
    ($root:ty $(, $more:ident)+) => {
        $crate::proxy_wasm_entry!($root);
        $crate::proxy_wasm_entry!(@each $root, $($more)+);
    };
    (@grpc $root:ty) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_grpc_receive(_root: u32, token: u32, _size: u32) {
            CONTEXTS.with(|contexts| contexts.received(token));
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_grpc_close(_root: u32, token: u32, _status: u32) {
            CONTEXTS.with(|contexts| contexts.answered(token, None));
        }
    };
    (@each $root:ty, $first:ident $($more:ident)*) => {
        $crate::proxy_wasm_entry!(@$first $root);
        $crate::proxy_wasm_entry!(@each $root, $($more)*);
    };
    (@each $root:ty,) => {};
    (@body $root:ty) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_body(id: u32, size: usize, end_of_stream: u32) -> u32 {
            use $crate::proxy_wasm::Root;
            let handle = |root: &mut $root, stream: &mut <$root as Root>::Stream| {
                root.on_request_body(stream, size, end_of_stream != 0)
            };
            CONTEXTS.with(|contexts| contexts.on_stream(id, handle)) as u32
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_trailers(id: u32, _count: u32) -> u32 {
            use $crate::proxy_wasm::Root;
            CONTEXTS.with(|contexts| contexts.on_stream(id, <$root>::on_request_trailers)) as u32
        }
    };
    (@tick $root:ty) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_tick(id: u32) {
            CONTEXTS.with(|contexts| contexts.tick(id));
        }
    };
    ($root:ty) => {
        std::thread_local! {
            static CONTEXTS: $crate::proxy_wasm::Contexts<$root> = std::default::Default::default();
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_abi_version_0_2_1() {}

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
            $crate::proxy_wasm::allocate(size)
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
            CONTEXTS.with(|contexts| contexts.create(id, parent));
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_configure(id: u32, _size: usize) -> u32 {
            CONTEXTS.with(|contexts| contexts.configure(id)).into()
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_headers(id: u32, _count: u32, end_of_stream: u32) -> u32 {
            use $crate::proxy_wasm::Root;
            let handle = |root: &mut $root, stream: &mut <$root as Root>::Stream| {
                root.on_request_head(stream, end_of_stream != 0)
            };
            CONTEXTS.with(|contexts| contexts.on_stream(id, handle)) as u32
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_headers(id: u32, _count: u32, _end_of_stream: u32) -> u32 {
            use $crate::proxy_wasm::Root;
            CONTEXTS.with(|contexts| contexts.on_stream(id, <$root>::on_response_headers)) as u32
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_delete(id: u32) {
            CONTEXTS.with(|contexts| contexts.delete(id));
        }
    };
}
