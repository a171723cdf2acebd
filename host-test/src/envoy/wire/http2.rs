//! HTTP/2 with prior knowledge: bodies that travel frame by frame, and their reading.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body, Bytes, Frame, Incoming},
    header::{HeaderName, HeaderValue},
};

use super::{Lines, Outgoing, Part};

/// A body of given frames, each of which becomes a frame on the wire; the last one ends the stream.
pub struct Frames(vec::IntoIter<Frame<Bytes>>);

impl Frames {
    pub fn new(message: &Outgoing) -> anyhow::Result<Self> {
        let mut frames: Vec<_> = message.pieces.iter().map(|piece| Frame::data(Bytes::from(piece.clone()))).collect();
        if !message.trailers.is_empty() {
            frames.push(Frame::trailers(map(&message.trailers)?));
        } else if frames.is_empty() && message.has_body {
            frames.push(Frame::data(Bytes::new()));
        }
        Ok(Self(frames.into_iter()))
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// Hands over a body as it arrives, then the trailers, if there are any.
pub async fn read(mut body: Incoming, mut take: impl FnMut(Part)) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => take(Part::Data(data.to_vec())),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    take(Part::Trailers(lines(&trailers)));
                }
            }
        }
    }
    Ok(())
}

/// Header lines; duplicates stand together, at the place of the first.
pub fn lines(map: &HeaderMap) -> Lines {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

pub fn map(lines: &Lines) -> anyhow::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value)?);
    }
    Ok(map)
}
