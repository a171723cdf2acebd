//! In which pieces a message comes, and which of them ends it.
//!
//! Over HTTP/1 the end of a body comes on its own, behind the last piece; over HTTP/2 with it. Where
//! trailers follow, no piece ends the message. A text of no bytes is no body over HTTP/1: its head ends
//! with `content-length: 0`; an empty list of chunks is one.

use super::Body;
use crate::outcome::Cut;

pub struct Schedule {
    /// Whether the head is all there is.
    pub head_only: bool,
    /// Pieces of the body, each with whether it ends the message.
    pub pieces: Vec<(Vec<u8>, bool)>,
}

impl Schedule {
    /// `more`: the sender hasn't said all.
    pub fn of(body: Option<&Body>, has_trailers: bool, http2: bool, more: bool, cut: Cut) -> Self {
        let is_body = body.is_some_and(|body| http2 || matches!(body, Body::Chunks(_)) || !body.pieces().is_empty());
        let pieces = body.map(|body| cut.pieces(body.pieces())).unwrap_or_default();
        let ends = !has_trailers && !more;
        let own_end = is_body && ends && (!http2 || pieces.is_empty());
        let last = pieces.len().saturating_sub(1);
        let ended = pieces.into_iter().enumerate().map(|(index, piece)| (piece, ends && http2 && index == last));
        Self { head_only: !is_body && ends, pieces: ended.chain(own_end.then_some((Vec::new(), true))).collect() }
    }

    /// What follows a head that was sent before: there is always an end of its own, if it ends.
    pub fn rest(body: Option<&Body>, has_trailers: bool, http2: bool, more: bool, cut: Cut) -> Self {
        let mut schedule = Self::of(body, has_trailers, http2, more, cut);
        if std::mem::take(&mut schedule.head_only) {
            schedule.pieces.push((Vec::new(), true));
        }
        schedule
    }
}
