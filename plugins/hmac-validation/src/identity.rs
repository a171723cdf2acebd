//! What the upstream is told of a delivery that was verified. Only this filter says so: lines of these names are taken
//! out of what came in, in every mode, in any spelling that a server may read as the same.

use portcullis_kit::head::Headers;

use crate::decide::Verified;

const PROVIDER: &[u8] = b"x-verified-provider";
const KEY: &[u8] = b"x-verified-key-id";
const DELIVERY: &[u8] = b"x-verified-delivery-id";
const TIMESTAMP: &[u8] = b"x-verified-timestamp";

/// All of them.
pub const NAMES: [&[u8]; 4] = [PROVIDER, KEY, DELIVERY, TIMESTAMP];

/// The names in a head that a server may read as one of ours: `x_verified_provider` is the same to CGI and its heirs.
pub fn spellings(headers: &Headers) -> Vec<Vec<u8>> {
    let same = |a: &[u8], b: &[u8]| {
        let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        a.len() == b.len() && a.iter().map(plain).eq(b.iter().copied())
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    for (name, _) in headers.iter() {
        if NAMES.iter().any(|known| same(name, known)) && !found.iter().any(|known| known == name) {
            found.push(name.to_vec());
        }
    }
    found
}

/// The lines that say who was verified.
pub fn lines(provider: &str, key: &str, verified: &Verified) -> Vec<(&'static [u8], Vec<u8>)> {
    let mut lines = vec![(PROVIDER, provider.into()), (KEY, key.into())];
    lines.extend(verified.id.clone().map(|id| (DELIVERY, id)));
    lines.extend(verified.timestamp.clone().map(|timestamp| (TIMESTAMP, timestamp)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_a_server_may_take_for_ours_is_found_once() {
        let names =
            ["x_verified_provider", "x-verified_key-id", "x-verified-timestamp", "x-verified-timestamp", "x-verified"];
        let headers: Headers = names.iter().map(|name| (name.as_bytes().to_vec(), b"a".to_vec())).collect();
        let found: Vec<_> = names[..3].iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(spellings(&headers), found);
    }
}
