//! What a scenario puts on the wire as it is written, so that a codec has something to refuse.

use schemars::JsonSchema;
use serde::Deserialize;

use super::bytes::Bytes;

/// Over HTTP/1 bytes, `"GET / HTTP/1.1\r\nhost: a\r\n\r\n"` or a list of pieces that stand one behind the other;
/// over HTTP/2 `{head: [[":method", GET], …]}`, the lines of a head in their order and spelling, behind which
/// the message ends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(untagged)]
pub enum Raw {
    Head(RawHead),
    Pieces(Vec<Bytes>),
    Whole(Bytes),
}

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RawHead {
    pub head: Vec<(String, Bytes)>,
}

impl Raw {
    /// The bytes for a connection of HTTP/1; none where only a head is given.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Head(_) => Vec::new(),
            Self::Pieces(pieces) => pieces.iter().flat_map(|piece| piece.0.iter().copied()).collect(),
            Self::Whole(whole) => whole.0.clone(),
        }
    }

    /// The lines of a head for HTTP/2.
    pub fn head(&self) -> &[(String, Bytes)] {
        match self {
            Self::Head(RawHead { head }) => head,
            _ => &[],
        }
    }

    pub fn is_of_http2(&self) -> bool {
        matches!(self, Self::Head(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pieces_and_a_head_are_told_apart() {
        let read = |yaml: &str| serde_saphyr::from_str::<Raw>(yaml).unwrap();
        assert_eq!(read(r#""a\r\n""#).bytes(), b"a\r\n");
        assert_eq!(read(r#"[a, {hex: "00"}, {repeat: b, times: 2}]"#).bytes(), b"a\0bb");
        let head = read(r#"{head: [[":method", GET], [X-A, "1"]]}"#);
        assert!(head.is_of_http2());
        assert_eq!(head.head()[1].0, "X-A");
    }
}
