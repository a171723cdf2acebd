//! The head of an HTTP/1 message: bytes → a first line and lines, as Envoy's parser takes them.
//!
//! 1. A line ends with LF, with or without CR.
//! 2. A line that begins with a blank goes on with the value before it; CR and LF within a value are left
//!    out, and so is a CR that stands alone.
//! 3. Control characters are refused anywhere, but for the tab; a name is a token right before its colon.

use super::is_token;
use crate::scenario::Bytes;

pub type Lines = Vec<(String, Bytes)>;

#[derive(Debug)]
pub struct Head<'a> {
    pub first: &'a [u8],
    pub lines: Lines,
    /// What stands behind it.
    pub rest: &'a [u8],
    /// Bytes of it.
    pub size: usize,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Unfinished,
    /// Envoy's detail.
    Refused(&'static str),
}

pub const CODEC_ERROR: Fault = Fault::Refused("http1.codec_error");

/// The first line, and the lines behind it up to an empty one.
pub fn head(bytes: &[u8]) -> Result<Head<'_>, Fault> {
    let (first, behind) = line(bytes).ok_or(Fault::Unfinished)?;
    if first.iter().any(is_control) {
        return Err(Fault::Refused("http1.invalid_characters"));
    }
    let (lines, rest) = lines(behind)?;
    Ok(Head { first, lines, rest, size: bytes.len() - rest.len() })
}

/// Lines up to an empty one, and what stands behind it.
pub fn lines(mut bytes: &[u8]) -> Result<(Lines, &[u8]), Fault> {
    let mut raw: Vec<Vec<u8>> = Vec::new();
    loop {
        let (line, rest) = line(bytes).ok_or(Fault::Unfinished)?;
        bytes = rest;
        match (line.first(), raw.last_mut()) {
            (None, _) => break,
            (Some(b' ' | b'\t'), Some(last)) => last.extend(line),
            (Some(b' ' | b'\t'), None) => return Err(CODEC_ERROR),
            _ => raw.push(line.to_vec()),
        }
    }
    if raw.iter().flatten().any(is_control) {
        return Err(Fault::Refused("http1.invalid_characters"));
    }
    let mut lines = Lines::new();
    for line in raw {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(CODEC_ERROR)?;
        let (name, value) = line.split_at(colon);
        if !is_token(name) {
            return Err(CODEC_ERROR);
        }
        let mut value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
        value.retain(|byte| *byte != b'\r');
        lines.push((String::from_utf8_lossy(name).to_ascii_lowercase(), Bytes(value)));
    }
    Ok((lines, bytes))
}

/// A line without its end, and what stands behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && !b"\t\r\n".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str) -> Result<Vec<(String, String)>, Fault> {
        let text = |(name, value): (String, Bytes)| (name, String::from_utf8(value.0).unwrap());
        head(wire.as_bytes()).map(|head| head.lines.into_iter().map(text).collect())
    }

    #[test]
    fn a_folded_line_and_a_lone_cr_are_taken() {
        let lines = read("x\r\nA: 1\r\n 2\r\nb:\t3\r4 \nc:\n\n").unwrap();
        let expected = [("a", "1 2"), ("b", "34"), ("c", "")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for wire in
            ["x\r\n a: 1\r\n\r\n", "x\r\na : 1\r\n\r\n", "x\r\na\r\n\r\n", "x\r\n: a\r\n\r\n", "x\r\na\rb: c\r\n\r\n"]
        {
            assert_eq!(read(wire), Err(CODEC_ERROR), "{wire:?}");
        }
        assert_eq!(read("x\r\na: \0\r\n\r\n"), Err(Fault::Refused("http1.invalid_characters")));
        assert_eq!(read("x\r\na: 1\r\n"), Err(Fault::Unfinished));
    }
}
