//! The answers that come back under load: HTTP/1.1 with a `content-length`, and nothing else. It is
//! read on the core beside Envoy's, and a client that parses more would be what is measured.

use anyhow::{Context, Result, bail};

/// One answer at the start of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: &'a [u8],
    /// The header lines, each with its line break.
    head: &'a [u8],
    /// Bytes with the body.
    pub size: usize,
}

impl<'a> Answer<'a> {
    /// `None` where more bytes are needed.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(blank) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let (head, _) = bytes.split_at(blank + 2);
        let (line, head) = head.split_at(head.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let status = line.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let Some(status) = status else { bail!("no HTTP/1.1 answer: {}", String::from_utf8_lossy(line)) };
        let mut answer = Self { status, head, size: blank + 4 };
        let length = answer.lines().find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
        let (_, length) = length.context("an answer without content-length")?;
        let length = std::str::from_utf8(length).ok().and_then(|length| length.parse::<usize>().ok());
        answer.size += length.context("a content-length that is no number")?;
        Ok((bytes.len() >= answer.size).then_some(answer))
    }

    /// Names and values as they came.
    pub fn lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.head.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((name, value.get(1..)?.trim_ascii()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: a: b\r\n\r\nabcHTTP/1.1 503 \r\n";

    #[test]
    fn an_answer_ends_with_its_body_and_the_next_begins() {
        let answer = Answer::read(TWO).unwrap().unwrap();
        assert_eq!((answer.status, TWO.split_at(answer.size).1), (&b"200"[..], &b"HTTP/1.1 503 \r\n"[..]));
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(lines, [(&b"content-length"[..], &b"3"[..]), (b"x", b"a: b")]);
    }

    #[test]
    fn wherever_the_bytes_are_cut_more_are_asked_for() {
        let whole = Answer::read(TWO).unwrap().unwrap().size;
        assert!((0..whole).all(|cut| Answer::read(TWO.split_at(cut).0).unwrap().is_none()));
    }

    #[test]
    fn what_it_cant_read_is_an_error_and_no_endless_wait() {
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").is_err());
        assert!(Answer::read(b"hello\r\n\r\n").is_err());
    }
}
