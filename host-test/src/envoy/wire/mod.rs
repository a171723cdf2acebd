//! The two ends of a step on the network: what is sent, byte for byte, and what is received.
//!
//! HTTP/1 is written by hand, because a library would merge duplicates, reorder lines, drop
//! trailers that no `trailer` line announces, and decide itself where a body is cut.

pub mod http1;
pub mod http2;
mod outgoing;
mod pace;
mod rewrite;

pub use self::{outgoing::Outgoing, pace::Pace, rewrite::Rewritten};

/// Header lines in order, names in lower case, duplicates kept.
pub type Lines = Vec<(String, Vec<u8>)>;

/// What arrives of a message, as it arrives.
pub enum Part {
    Data(Vec<u8>),
    Trailers(Lines),
}
