//! A message about to be sent: its lines with the framing added, its body in pieces.

use super::Lines;
use crate::{
    outcome::Cut,
    scenario::{Body, HeaderLines, Protocol},
};

#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub lines: Lines,
    pub pieces: Vec<Vec<u8>>,
    pub trailers: Lines,
    /// HTTP/1: whether the body travels in chunks.
    pub chunked: bool,
    /// Whether anything follows the head at all.
    pub has_body: bool,
}

impl Outgoing {
    /// The framing is what the scenario writes in `content-length` or `transfer-encoding`; where it
    /// writes neither, a whole body announces its length and a list of chunks doesn't. HTTP/1 can
    /// only carry trailers behind chunks, so there trailers make chunks of a whole body.
    pub fn new(
        headers: &HeaderLines,
        body: Option<&Body>,
        trailers: &HeaderLines,
        cut: Cut,
        protocol: Protocol,
    ) -> Self {
        let mut lines = plain(headers);
        let trailers = plain(trailers);
        let value = |name: &str| lines.iter().find(|(line, _)| line == name).map(|(_, value)| value.clone());
        let encoding = value("transfer-encoding");
        let framed = encoding.is_some() || value("content-length").is_some();
        let mut chunked = encoding.is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
        let pieces = cut.pieces(body.map(Body::pieces).unwrap_or_default());
        let has_body = body.is_some() || !trailers.is_empty();
        if has_body && !framed {
            match (body, protocol) {
                (Some(Body::Whole(whole)), protocol) if trailers.is_empty() || protocol == Protocol::Http2 => {
                    lines.push(("content-length".into(), whole.0.len().to_string().into_bytes()));
                }
                (_, Protocol::Http1) => {
                    lines.push(("transfer-encoding".into(), b"chunked".to_vec()));
                    chunked = true;
                }
                (_, Protocol::Http2) => {}
            }
        }
        Self { lines, pieces, trailers, chunked, has_body }
    }
}

fn plain(lines: &HeaderLines) -> Lines {
    lines.0.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Bytes;

    fn framing(body: Option<Body>, trailers: &[(&str, &str)], protocol: Protocol) -> Vec<String> {
        let lines = trailers.iter().map(|(name, value)| (name.to_string(), Bytes(value.as_bytes().to_vec())));
        let trailers = HeaderLines(lines.collect());
        let outgoing = Outgoing::new(&HeaderLines::default(), body.as_ref(), &trailers, Cut::AsWritten, protocol);
        let text = |(name, value): (String, Vec<u8>)| format!("{name}: {}", String::from_utf8(value).unwrap());
        outgoing.lines.into_iter().map(text).collect()
    }

    #[test]
    fn a_whole_body_announces_its_length_and_a_list_does_not() {
        let (whole, list) = (Body::Whole(Bytes(b"abc".to_vec())), Body::Chunks(vec![Bytes(b"abc".to_vec())]));
        assert_eq!(framing(Some(whole.clone()), &[], Protocol::Http1), ["content-length: 3"]);
        assert_eq!(framing(Some(list.clone()), &[], Protocol::Http1), ["transfer-encoding: chunked"]);
        assert_eq!(framing(Some(whole), &[("a", "b")], Protocol::Http1), ["transfer-encoding: chunked"]);
        assert!(framing(Some(list), &[("a", "b")], Protocol::Http2).is_empty());
        assert!(framing(None, &[], Protocol::Http1).is_empty());
    }
}
