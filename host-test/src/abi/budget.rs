//! How much a guest may make the host do in one callback. Fuel counts only what the guest itself
//! does; without this a loop of calls would fill the host's memory, or never end. Envoy has no such
//! limit: there it is Envoy's memory that fills.

/// Calls of one callback.
const CALLS: u32 = 100_000;
/// Bytes that calls carry from or to the guest in one callback.
const BYTES: usize = 256 << 20;

#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    calls: u32,
    bytes: usize,
}

impl Budget {
    /// `Err` with the reason of the trap.
    pub fn call(&mut self) -> Result<(), String> {
        self.calls += 1;
        if self.calls > CALLS {
            return Err(format!(
                "more than {CALLS} calls to the host in one callback; in Envoy it would block its worker"
            ));
        }
        Ok(())
    }

    /// `Err` with the reason of the trap.
    pub fn bytes(&mut self, count: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(count);
        if self.bytes > BYTES {
            return Err(format!(
                "more than {} MiB carried by calls to the host in one callback; in Envoy it would fill the proxy's memory",
                BYTES >> 20
            ));
        }
        Ok(())
    }
}
