//! How Envoy answers a call that it doesn't fulfil, in the numbers of proxy-wasm.

/// proxy-wasm-cpp-host `include/proxy-wasm/wasm_vm.h`, `WasmResult` without `Ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    BadExpression = 5,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    ResultMismatch = 9,
    InternalFailure = 10,
    BrokenConnection = 11,
    Unimplemented = 12,
}
