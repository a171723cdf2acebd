//! What a request says more than once: its cookies and query parameters, all values of a name.

use portcullis_kit::head::RequestHead;

/// The values of a cookie in all `cookie` lines (RFC 6265 §5.4).
pub fn cookies(head: &RequestHead, name: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for line in head.headers.all(b"cookie") {
        for pair in line.split(|byte| *byte == b';') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            if let (Some(found), Some(value)) = (parts.next(), parts.next())
                && found == name
            {
                // Quotes around a value are no part of it to those who read it (RFC 6265 §4.1.1).
                let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
                values.push(bare.unwrap_or(value).to_vec());
            }
        }
    }
    values
}

/// The values of a query parameter, decoded as forms are.
pub fn parameters(path: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let Some(start) = path.iter().position(|byte| *byte == b'?') else { return Vec::new() };
    let query = path.get(start + 1..).unwrap_or_default().split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut values = Vec::new();
    for pair in query.split(|byte| *byte == b'&') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=').map(decoded);
        if parts.next().is_some_and(|found| found == name) {
            values.push(parts.next().unwrap_or_default());
        }
    }
    values
}

/// `%41` and `+` decoded; what isn't an encoding stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                (hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default(), after)
            }
            (b'+', _) => (b' ', after),
            (byte, _) => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, headers: &[(&str, &str)]) -> RequestHead {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        RequestHead { path: path.into(), headers: headers.collect(), ..RequestHead::default() }
    }

    #[test]
    fn every_cookie_and_every_parameter_of_a_name_is_seen() {
        let head = head("/p?a=1&b=2&%61=3&a+b=4&a", &[("cookie", "sid=1; x=2;sid =3"), ("cookie", " sid=\"4\"")]);
        assert_eq!(cookies(&head, b"sid"), [b"1", b"3", b"4"]);
        assert_eq!(parameters(&head.path, b"a"), [b"1".to_vec(), b"3".to_vec(), b"".to_vec()]);
        assert_eq!(parameters(&head.path, b"a b"), [b"4"]);
        assert!(parameters(b"/p", b"a").is_empty());
    }
}
