//! A proxy-wasm filter without an SDK. The upstream gets `x-item`, the item that the client's `x-number` asks
//! for; the fourth of three panics, which is what a test should find before a client does.
#![cfg(target_arch = "wasm32")]

use std::{mem, panic, ptr, slice};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *const u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
}

const ITEMS: [&str; 3] = ["sword", "shield", "lamp"];
const REQUEST_HEADERS: u32 = 0;
const CRITICAL: u32 = 5;

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    mem::ManuallyDrop::new(Vec::with_capacity(size)).as_mut_ptr()
}

/// Without a hook a panic's message stays in the module.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        unsafe { proxy_log(CRITICAL, text.as_ptr(), text.len()) };
    }));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_context: u32, _lines: u32, _end: u32) -> u32 {
    let (name, mut value, mut size) = ("x-number", ptr::null(), 0);
    let status =
        unsafe { proxy_get_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), &mut value, &mut size) };
    if status == 0 {
        let number = unsafe { slice::from_raw_parts(value, size) };
        let item = ITEMS[usize::from(number[0] - b'0')];
        let name = "x-item";
        unsafe { proxy_add_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), item.as_ptr(), item.len()) };
    }
    0
}
