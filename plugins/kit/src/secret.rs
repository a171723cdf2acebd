//! What must never be seen: keys and tokens.
//!
//! A secret has no `Debug`, no `Display` and no `Clone`, so that no log line, metric, record or answer can be made of
//! it by mistake. Whoever hashes with it says so: [`Secret::reveal`].

/// The bytes of a key or of a token.
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For a computation that gives none of it away.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    /// Linear memory is never given back, and the next allocation may read it.
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&mut self.0);
    }
}
