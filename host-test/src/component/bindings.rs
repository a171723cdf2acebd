//! What `wit/` says, as Rust.

wasmtime::component::bindgen!({ path: "../wit", world: "head-policy" });
