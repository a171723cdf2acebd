//! The head of a message. Values are bytes: a client may send any byte above 0x1F in a header.

use std::ops::Range;

/// Header lines in order, duplicates kept, names in lower case; pseudo-headers (`:path`) among them.
/// All in one buffer: a head is read on the path of every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a line stands in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

/// More than one line where one was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl Headers {
    /// Reads the pairs of the proxy-wasm ABI: a count, the lengths, then each name and value with a
    /// NUL behind it, numbers in little-endian. `None` for anything else. Empty bytes are no headers.
    pub fn from_pairs(text: Vec<u8>) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = number(&text)?;
        let sizes_end = count.checked_mul(8)?;
        let mut sizes = rest.get(..sizes_end)?;
        let mut lines = Vec::with_capacity(count);
        let mut start = 4 + sizes_end;
        while !sizes.is_empty() {
            let (name_size, after) = number(sizes)?;
            let (value_size, after) = number(after)?;
            sizes = after;
            let name = start..start.checked_add(name_size)?;
            let value_start = name.end.checked_add(1)?;
            let value = value_start..value_start.checked_add(value_size)?;
            if text.get(name.end) != Some(&0) || text.get(value.end) != Some(&0) {
                return None;
            }
            start = value.end.checked_add(1)?;
            lines.push(Line { name, value });
        }
        (start == text.len()).then_some(Self { text, lines })
    }

    /// All values of `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// All values of `name` (lower case), in order, with `-` or `_` in it: to many backends both spellings are one header.
    pub fn all_spelt<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |(candidate, _)| is_spelt(candidate, name)).map(|(_, value)| value)
    }

    /// The value of `name` (lower case) where there is at most one line of it.
    ///
    /// # Errors
    /// `Repeated` where there are more: which of them the upstream reads is its own choice.
    pub fn single(&self, name: &[u8]) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.iter().filter(|(candidate, _)| *candidate == name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|(_, value)| value)),
            _ => Err(Repeated),
        }
    }

    /// A response's status; `None` where it isn't a number.
    pub fn status(&self) -> Option<u16> {
        let digits = self.all(b":status").next().filter(|digits| !digits.is_empty())?;
        digits.iter().try_fold(0u16, |number, digit| {
            let digit = char::from(*digit).to_digit(10).and_then(|digit| u16::try_from(digit).ok())?;
            number.checked_mul(10)?.checked_add(digit)
        })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.lines.iter().map(move |line| (text(&line.name), text(&line.value)))
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            let start = headers.text.len();
            headers.text.extend(&name);
            headers.text.extend(&value);
            let middle = start + name.len();
            headers.lines.push(Line { name: start..middle, value: middle..headers.text.len() });
        }
        headers
    }
}

/// Whether `found` is `name` (lower case, with `-`), perhaps with `_` in place of `-`.
pub fn is_spelt(found: &[u8], name: &[u8]) -> bool {
    let is_same = |(found, name): (&u8, &u8)| found == name || (*found == b'_' && *name == b'-');
    found.len() == name.len() && found.iter().zip(name).all(is_same)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*head)).ok()?, rest))
}

/// What a policy may read of a request's head. A part that the proxy couldn't name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Vec<u8>,
    pub authority: Vec<u8>,
    /// Path and query.
    pub path: Vec<u8>,
    pub headers: Headers,
}

impl RequestHead {
    /// Takes the parts out of the pseudo-headers.
    pub fn from_headers(headers: Headers) -> Self {
        let part = |name: &[u8]| headers.all(name).next().unwrap_or_default().to_vec();
        Self { method: part(b":method"), authority: part(b":authority"), path: part(b":path"), headers }
    }
}

/// Whether it is a header's name: a token (RFC 9110 §5.6.2).
#[inline(never)]
pub fn is_name(text: &str) -> bool {
    let token = |byte| matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~');
    !text.is_empty() && text.bytes().all(token)
}

/// A header's name as it travels in HTTP/2: in lower case.
#[inline(never)]
pub fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut out = u32::try_from(headers.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in headers {
            out.extend(length(name));
            out.extend(length(value));
        }
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            out.extend(text);
            out.push(0);
        }
        out
    }

    #[test]
    fn a_name_is_a_token() {
        for byte in 0..=0x7fu8 {
            let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_name(&char::from(byte).to_string()), is_token, "{byte}");
        }
        assert!(!is_name("") && !is_name("\u{e4}"));
    }

    proptest! {
        #[test]
        fn whatever_lines_a_proxy_writes_are_read_back(
            headers: Vec<(Vec<u8>, Vec<u8>)>,
        ) {
            let read = Headers::from_pairs(pairs(&headers)).unwrap();
            prop_assert!(read.iter().eq(headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))));
            let collected: Headers = headers.into_iter().collect();
            prop_assert!(read.iter().eq(collected.iter()));
        }

        #[test]
        fn no_bytes_make_the_reader_fail_otherwise_than_by_saying_so(bytes: Vec<u8>) {
            let _ = Headers::from_pairs(bytes);
        }
    }

    #[test]
    fn a_count_that_would_need_more_bytes_than_there_are_is_refused_before_memory_is_taken() {
        assert_eq!(Headers::from_pairs(u32::MAX.to_le_bytes().to_vec()), None);
    }

    #[test]
    fn a_repeated_line_is_told_from_a_single_one() {
        let headers: Headers = [("a", "1"), ("b", "2"), ("a", "3")]
            .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .into_iter()
            .collect();
        assert_eq!(headers.single(b"a"), Err(Repeated));
        assert_eq!(headers.single(b"b"), Ok(Some(b"2".as_slice())));
        assert_eq!(headers.single(b"c"), Ok(None));
        assert_eq!(headers.all(b"a").collect::<Vec<_>>(), [b"1", b"3"]);
    }
}
