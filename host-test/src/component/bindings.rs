//! What `wit/` says, as Rust.

/// The world of policies that decide on heads, and the words that all worlds share.
pub mod head {
    wasmtime::component::bindgen!({ path: "../wit", world: "head-policy" });
}

/// The world of policies that decide on bodies, too.
pub mod message {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "message-policy",
        with: {
            "portcullis:policy/types": super::head::portcullis::policy::types,
            "portcullis:policy/host": super::head::portcullis::policy::host,
            "portcullis:policy/store": super::head::portcullis::policy::store,
        },
    });
}
