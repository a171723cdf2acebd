//! `sign` and `verify_signature`: what is refused of them before a key is used.
//!
//! 1. Exactly one key, as DER or as PEM. Envoy 1.36 knows DER alone, and takes none for a bad one.
//! 2. Hashes by their names, in any case: `sha1` to `sha512`. What Envoy refuses then is a result with an
//!    error in it, not a status.
//! 3. What looks like a key isn't used: this host neither signs nor verifies.

use super::{protobuf, status::Status};

const HASHES: [&str; 5] = ["sha1", "sha224", "sha256", "sha384", "sha512"];
const NO_SIGNING_KEY: &str = "Invalid key type: private key required for signing operation.";
const NO_VERIFYING_KEY: &str = "Failed to initialize digest verify.";

/// What is asked for, with the numbers of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Sign,
    Verify,
}

impl Asked {
    /// Of the key as PEM, and of the error in the result.
    fn fields(self) -> (u64, u64) {
        match self {
            Self::Sign => (4, 3),
            Self::Verify => (5, 2),
        }
    }

    /// A serialised result that holds an error; `None` where a key would be used.
    pub fn refusal(self, argument: &[u8], envoy: u32) -> Result<Option<Vec<u8>>, Status> {
        let fields = protobuf::fields(argument).ok_or(Status::BadArgument)?;
        let (pem_field, error) = self.fields();
        let (hash, der, pem) =
            (protobuf::text(&fields, 1), protobuf::text(&fields, 2), protobuf::text(&fields, pem_field));
        let hash = std::str::from_utf8(hash).map_err(|_| Status::BadArgument)?;
        let knows_pem = envoy > 36;
        if knows_pem && (der.is_empty() == pem.is_empty() || std::str::from_utf8(pem).is_err()) {
            return Err(Status::BadArgument);
        }
        let mut result = Vec::new();
        if !HASHES.contains(&hash.to_ascii_lowercase().as_str()) {
            protobuf::bytes(&mut result, error, format!("{hash} is not supported.").as_bytes());
        } else if !(der.starts_with(&[0x30]) || knows_pem && pem.starts_with(b"-----BEGIN ")) {
            let text = if self == Self::Sign { NO_SIGNING_KEY } else { NO_VERIFYING_KEY };
            protobuf::bytes(&mut result, error, text.as_bytes());
        } else {
            return Ok(None);
        }
        Ok(Some(result))
    }
}
