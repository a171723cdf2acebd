//! A connection of HTTP/2 on which a head that is said becomes another one.
//!
//! The library that speaks HTTP/2 here sends no head that HTTP/2 forbids. So it says a harmless one, and its
//! frame is exchanged on the way: every line is a literal that enters no table (RFC 7541 §6.2.2), so that
//! both sides' tables stay as they are.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::scenario::Bytes;

const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The most that a frame carries, unless the other side allows more.
const MOST: usize = 16384;

/// The lines of a head, for one that is about to be said; none where it stays as it is.
type Heads = Box<dyn FnMut() -> Vec<(String, Bytes)> + Send>;

pub struct Rewritten<S> {
    stream: S,
    /// Bytes that pass before the first frame.
    preface: usize,
    heads: Heads,
    said: Vec<u8>,
    to_write: Vec<u8>,
}

impl<S> Rewritten<S> {
    /// The client's end of a connection.
    pub fn client(stream: S, heads: impl FnMut() -> Vec<(String, Bytes)> + Send + 'static) -> Self {
        Self { preface: PREFACE, ..Self::server(stream, heads) }
    }

    pub fn server(stream: S, heads: impl FnMut() -> Vec<(String, Bytes)> + Send + 'static) -> Self {
        Self { stream, preface: 0, heads: Box::new(heads), said: Vec::new(), to_write: Vec::new() }
    }

    /// Moves what is whole from what was said to what is written.
    fn exchange(&mut self) {
        let preface = self.preface.min(self.said.len());
        self.preface -= preface;
        self.to_write.extend(self.said.drain(..preface));
        while self.preface == 0 {
            let &[a, b, c, kind, flags, s0, s1, s2, s3, ..] = self.said.as_slice() else { return };
            let length = FRAME_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.said.len() < length {
                return;
            }
            let frame: Vec<u8> = self.said.drain(..length).collect();
            let lines = if kind == HEADERS { (self.heads)() } else { Vec::new() };
            if lines.is_empty() {
                self.to_write.extend(frame);
            } else {
                self.head(&block(&lines), flags & END_STREAM, [s0, s1, s2, s3]);
            }
        }
    }

    fn head(&mut self, block: &[u8], flags: u8, stream: [u8; 4]) {
        let pieces = block.chunks(MOST);
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.enumerate() {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let end = if index == last { END_HEADERS } else { 0 };
            let [_, a, b, c] = u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes();
            let flags = if index == 0 { flags | end } else { end };
            self.to_write.extend([a, b, c, kind, flags]);
            self.to_write.extend(stream);
            self.to_write.extend(piece);
        }
    }
}

impl<S: AsyncWrite + Unpin> Rewritten<S> {
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.to_write.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.to_write))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.to_write.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewritten<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.drain(context))?;
        self.said.extend(bytes);
        self.exchange();
        // What is left goes with the next write or flush.
        match self.drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewritten<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

fn block(lines: &[(String, Bytes)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, &value.0);
    }
    block
}

/// A string without Huffman's code, its length before it (RFC 7541 §5.1, §5.2).
fn text(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 0x7F;
    let mut length = text.len();
    if length < PREFIX {
        block.push(length.to_le_bytes()[0]);
    } else {
        block.push(0x7F);
        length -= PREFIX;
        while length >= 0x80 {
            block.push((length % 0x80).to_le_bytes()[0] | 0x80);
            length /= 0x80;
        }
        block.push(length.to_le_bytes()[0]);
    }
    block.extend(text);
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn written(lines: &[(&str, &str)], said: &[&[u8]]) -> Vec<u8> {
        let lines: Vec<_> =
            lines.iter().map(|(name, value)| ((*name).to_owned(), Bytes(value.as_bytes().to_vec()))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut lines = lines;
            let mut connection = Rewritten::server(Vec::new(), move || std::mem::take(&mut lines));
            for said in said {
                connection.write_all(said).await.unwrap();
            }
            connection.flush().await.unwrap();
            connection.stream
        })
    }

    #[test]
    fn the_first_head_is_another_one_and_all_else_stays() {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let head = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
        let whole = [settings.as_slice(), head, settings, head].concat();
        let expected = [settings.as_slice(), b"\0\0\x05\x01\x05\0\0\0\x01\0\x01A\x01b", settings, head].concat();
        assert_eq!(written(&[("A", "b")], &[&whole]), expected);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(written(&[("A", "b")], &bytes), expected, "byte by byte");
        assert_eq!(written(&[], &[&whole]), whole);
    }

    #[test]
    fn a_long_head_goes_on_in_further_frames() {
        let value = "v".repeat(MOST);
        let wire = written(&[("a", &value)], &[b"\0\0\x01\x01\x05\0\0\0\x01\x88"]);
        assert_eq!(wire[..FRAME_HEADER], *b"\0\x40\0\x01\x01\0\0\0\x01", "ends the stream, not the head");
        assert_eq!(wire[FRAME_HEADER + MOST + 3..][..2], [CONTINUATION, END_HEADERS]);
    }
}
