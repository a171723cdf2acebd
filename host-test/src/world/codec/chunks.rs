//! A body in chunks: bytes → data and trailers, as Envoy's parser takes them.
//!
//! 1. A size is hexadecimal digits, followed by nothing, blanks, or an extension; its line ends with CR LF.
//! 2. Whatever stands between a chunk's data and the end of that line is left out.
//! 3. All that one read brings is one piece for the filters. Where a chunk is refused none of it gets
//!    there, where trailers are refused it does.

use super::head::{self, CODEC_ERROR, Fault, Lines};

#[derive(Debug)]
pub struct Chunks<'a> {
    pub data: Vec<u8>,
    pub trailers: Lines,
    pub rest: &'a [u8],
}

/// What is wrong, and what went on before.
pub type Broken = (Fault, Vec<u8>);

pub fn chunks(mut bytes: &[u8]) -> Result<Chunks<'_>, Broken> {
    let mut data = Vec::new();
    loop {
        let Some((size, rest)) = size(bytes).map_err(|fault| (fault, Vec::new()))? else {
            return Err((Fault::Unfinished, data));
        };
        if size == 0 {
            return match head::lines(rest) {
                Ok((trailers, rest)) => Ok(Chunks { data, trailers, rest }),
                Err(fault) => Err((fault, data)),
            };
        }
        let Some((chunk, rest)) = rest.split_at_checked(size) else {
            data.extend(rest);
            return Err((Fault::Unfinished, data));
        };
        data.extend(chunk);
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Err((Fault::Unfinished, data)) };
        bytes = rest.get(end + 1..).unwrap_or_default();
    }
}

/// The size of the next chunk, and what stands behind its line; `None` where the line has no end.
fn size(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, Fault> {
    let digits = bytes.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(bytes.len());
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (digits, behind) = bytes.split_at_checked(digits).unwrap_or_default();
    if bytes.is_empty() || digits.len() == bytes.len() && digits.len() <= 16 {
        return Ok(None);
    }
    let behind_digits = behind.first();
    if digits.is_empty() || !behind_digits.is_some_and(|byte| b"; \t\r".contains(byte)) {
        return Err(CODEC_ERROR);
    }
    let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let size = size.ok_or(CODEC_ERROR)?;
    let Some(end) = end else { return Ok(None) };
    let line = bytes.get(digits.len()..end).unwrap_or_default();
    match line.split_last() {
        Some((b'\r', extension)) if !extension.contains(&b'\r') => {
            Ok(Some((size, bytes.get(end + 1..).unwrap_or_default())))
        }
        _ => Err(CODEC_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_one_piece_and_what_stands_behind_their_data_is_left_out() {
        let read = chunks(b"2\r\nabX\r\n3 ;x=y\r\ncde\r\n0\r\nT: 1\r\n\r\nmore").unwrap();
        assert_eq!((read.data.as_slice(), read.trailers.len(), read.rest), (&b"abcde"[..], 1, &b"more"[..]));
    }

    #[test]
    fn a_wrong_size_takes_the_data_with_it_and_wrong_trailers_do_not() {
        for size in ["xyz", "-3", "0x3", "", " 3", "3\n", "3;a\rb", "fffffffffffffffff"] {
            let wire = format!("1\r\na\r\n{size}\r\nabc\r\n0\r\n\r\n");
            let (fault, data) = chunks(wire.as_bytes()).unwrap_err();
            assert_eq!((fault, data.len()), (CODEC_ERROR, 0), "{size:?}");
        }
        assert_eq!(chunks(b"1\r\na\r\n0\r\nx y: 1\r\n\r\n").unwrap_err(), (CODEC_ERROR, b"a".to_vec()));
        assert_eq!(chunks(b"1\r\na\r\n").unwrap_err(), (Fault::Unfinished, b"a".to_vec()));
    }
}
