//! HTTP/1.1 as it stands on the wire (RFC 9112), for both ends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Lines, Outgoing, Pace, Part};
use crate::world::wire::{self, Length};

/// The largest head that is read, in bytes.
const LARGEST_HEAD: usize = 1 << 20;

/// How the end of a body is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// `None` where the length is no number, which is no HTTP.
    pub fn of_request(lines: &Lines) -> Option<Self> {
        Self::announced(lines, Self::Length(0))
    }

    /// The same for a response; `method` is that of the request. No status but one of three digits is one.
    pub fn of_response(method: &str, status: &str, lines: &Lines) -> Option<Self> {
        if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) || status.starts_with('0') {
            return None;
        }
        let announced = Self::announced(lines, Self::UntilClose)?;
        Some(if method == "HEAD" || is_bodiless(status) { Self::Length(0) } else { announced })
    }

    fn announced(lines: &Lines, otherwise: Self) -> Option<Self> {
        let value = |name: &str| lines.iter().rfind(|(line, _)| line == name).map(|(_, value)| value);
        if value("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked")) {
            return Some(Self::Chunked);
        }
        match wire::length(lines, false) {
            Length::Untold => Some(otherwise),
            Length::Bytes(length) => Some(Self::Length(length as u64)),
            Length::Wrong => None,
        }
    }
}

/// Whether a response of this status never has a body (RFC 9110 §6.4.1).
pub fn is_bodiless(status: &str) -> bool {
    status == "204" || status == "304"
}

pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The first line and the header lines; `None` where the connection ends before them.
    pub async fn head(&mut self) -> io::Result<Option<(String, Lines)>> {
        if self.buffer.is_empty() && self.more().await? == 0 {
            return Ok(None);
        }
        let start = String::from_utf8_lossy(&self.line().await?).into_owned();
        Ok(Some((start, self.lines().await?)))
    }

    /// Hands over the body as it arrives, then the trailers, if there are any.
    pub async fn body(&mut self, framing: Framing, mut take: impl FnMut(Part)) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.exactly(length, &mut take).await,
            Framing::UntilClose => loop {
                self.hand_over(u64::MAX, &mut take);
                if self.more().await? == 0 {
                    return Ok(());
                }
            },
            Framing::Chunked => loop {
                let line = self.line().await?;
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let length =
                    std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
                let length = length.ok_or_else(|| invalid("a chunk without a length"))?;
                if length == 0 {
                    let trailers = self.lines().await?;
                    if !trailers.is_empty() {
                        take(Part::Trailers(trailers));
                    }
                    return Ok(());
                }
                self.exactly(length, &mut take).await?;
                self.line().await?;
            },
        }
    }

    async fn exactly(&mut self, mut length: u64, take: &mut impl FnMut(Part)) -> io::Result<()> {
        loop {
            length -= self.hand_over(length, take);
            if length == 0 {
                return Ok(());
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Hands over what is buffered, `limit` bytes at most; how many they were.
    fn hand_over(&mut self, limit: u64, take: &mut impl FnMut(Part)) -> u64 {
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(self.buffer.len());
        if length > 0 {
            take(Part::Data(self.buffer.drain(..length).collect()));
        }
        length as u64
    }

    async fn lines(&mut self) -> io::Result<Lines> {
        let mut lines = Lines::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(lines);
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| invalid("a line without a colon"))?;
            let (name, value) = line.split_at(colon);
            let value = wire::without_blanks(value.get(1..).unwrap_or_default());
            lines.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
        }
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer.iter().skip(searched).position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.buffer.len();
            if searched > LARGEST_HEAD {
                return Err(invalid("a line without an end"));
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 << 10);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a message: its head at once, then piece by piece as Envoy reads them.
pub async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    start: &str,
    message: &Outgoing,
    mut pace: Pace,
) -> io::Result<()> {
    let paced = message.pieces.len() > 1;
    if paced {
        pace.begin().await;
    }
    let head = head(start, &message.lines);
    writer.write_all(&head).await?;
    let mut unread = head.len();
    let (last, pieces) = message.pieces.split_last().map_or((None, &[][..]), |(last, pieces)| (Some(last), pieces));
    for piece in pieces {
        let wire = chunk(piece, message.chunked);
        writer.write_all(&wire).await?;
        pace.read_up(unread + wire.len()).await;
        unread = 0;
    }
    let mut rest = last.map(|last| chunk(last, message.chunked)).unwrap_or_default();
    if message.chunked {
        rest.extend_from_slice(&self::head("0", &message.trailers));
    }
    writer.write_all(&rest).await?;
    writer.flush().await
}

pub fn head(start: &str, lines: &Lines) -> Vec<u8> {
    let mut head = format!("{start}\r\n").into_bytes();
    for (name, value) in lines {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

pub fn chunk(piece: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        return piece.to_vec();
    }
    let mut wire = format!("{:x}\r\n", piece.len()).into_bytes();
    wire.extend_from_slice(piece);
    wire.extend_from_slice(b"\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn read(wire: &[u8]) -> (Lines, io::Result<()>, Vec<u8>, Lines) {
        block_on(async {
            let mut reader = Reader::new(wire);
            let (start, lines) = reader.head().await.unwrap().unwrap();
            let framing = Framing::of_response("GET", start.split(' ').nth(1).unwrap(), &lines).unwrap();
            let (mut body, mut trailers) = (Vec::new(), Lines::new());
            let end = reader
                .body(framing, |part| match part {
                    Part::Data(data) => body.extend(data),
                    Part::Trailers(lines) => trailers = lines,
                })
                .await;
            (lines, end, body, trailers)
        })
    }

    #[test]
    fn lines_keep_their_order_their_duplicates_and_their_bytes() {
        let (lines, _, _, _) = read(b"HTTP/1.1 204 x\r\nB: 1\r\na: \xff\r\nb: 2\r\n\r\n");
        let expected = [("b", &b"1"[..]), ("a", b"\xff"), ("b", b"2")];
        assert!(lines.iter().map(|(name, value)| (name.as_str(), value.as_slice())).eq(expected));
    }

    #[test]
    fn chunks_and_trailers_are_read_to_their_end() {
        let (_, end, body, trailers) =
            read(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: v\r\n\r\n");
        assert!(end.is_ok());
        assert_eq!((body.as_slice(), trailers.len()), (&b"abc"[..], 1));
    }

    #[test]
    fn a_body_that_is_cut_off_is_an_error_and_keeps_what_came() {
        let (_, end, body, _) = read(b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nabc");
        assert!(end.is_err());
        assert_eq!(body, b"abc");
        assert!(read(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab").1.is_err());
    }
}
