//! Which header map a filter reaches when, and what a call on it answers.
//!
//! 1. A map is reachable while its message is held by this filter: from its callback until the
//!    callback returns Continue or the stream is resumed. Afterwards it is gone.
//! 2. All lines of a map that is gone are an empty list, not an error; every other call is.
//! 3. While the last piece of a body is within reach, trailers come into being when they are first written, or
//!    their size is asked for, and stay within reach until the stream ends, although they went on.
//! 4. When the access log is written, the request's headers and the response's headers and trailers
//!    can be read; the request's trailers are never found.
//! 5. A map that is held when the stream ends, because the filter replied or the stream was cut off, stays
//!    within reach: it can be written for the log, and read and written in `on_done`.

use super::{
    exchange::{Exchange, Phase, Piece, Side},
    headers::Headers,
    pairs::{self, Pairs},
    status::Status,
};

/// The header maps of proxy-wasm by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Headers(Side),
    Trailers(Side),
    /// A map of a callout's answer, by its own number. It is read from the answer, never from a stream.
    Callout(u32),
}

impl Map {
    pub fn from_number(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Headers(Side::Request),
            1 => Self::Trailers(Side::Request),
            2 => Self::Headers(Side::Response),
            3 => Self::Trailers(Side::Response),
            4..=7 => Self::Callout(number),
            _ => return Err(Status::BadArgument),
        })
    }
}

impl Exchange {
    fn readable(&self, map: Map) -> Result<&Headers, Status> {
        let log = self.phase == Phase::Log;
        let (headers, open) = match map {
            Map::Headers(side) => {
                let half = self.half(side);
                let replaced = half.replaced.is_some() && !log;
                (if replaced { &half.replaced } else { &half.headers }, half.headers_open || log)
            }
            Map::Trailers(side) => {
                let half = self.half(side);
                (
                    &half.trailers,
                    (half.trailers_open || half.trailers_made) && !log
                        || log && side == Side::Response && !half.trailers_late,
                )
            }
            Map::Callout(_) if log => return Err(Status::NotFound),
            Map::Callout(_) => return Err(Status::BadArgument),
        };
        match headers {
            Some(headers) if open => Ok(headers),
            None if log && open => Err(Status::NotFound),
            _ if log && matches!(map, Map::Trailers(_)) => Err(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }

    fn writable(&mut self, map: Map) -> Result<&mut Headers, Status> {
        if let Map::Trailers(side) = map
            && !self.half(side).trailers_open
            && self.half(side).piece != Piece::None
            && self.end_of_stream
        {
            let late = self.phase == Phase::Log;
            let half = self.half_mut(side);
            half.trailers_late |= late && half.trailers.is_none();
            half.trailers_made = true;
            half.trailers.get_or_insert_with(|| Headers::trailers(side));
        }
        let made = matches!(map, Map::Trailers(side) if self.half(side).trailers_made);
        let (headers, open) = match map {
            Map::Headers(side) => {
                let half = self.half_mut(side);
                let headers = if half.replaced.is_some() { &mut half.replaced } else { &mut half.headers };
                (headers, half.headers_open)
            }
            Map::Trailers(side) => {
                let half = self.half_mut(side);
                (&mut half.trailers, half.trailers_open || made)
            }
            Map::Callout(_) => return Err(Status::BadArgument),
        };
        headers.as_mut().filter(|_| open).ok_or(Status::BadArgument)
    }

    pub fn value(&self, map: Map, name: &[u8]) -> Result<&[u8], Status> {
        self.readable(map)?.get(name).ok_or(Status::NotFound)
    }

    /// All lines, serialised; nothing at all where there are none.
    pub fn pairs(&self, map: Map) -> Vec<u8> {
        match self.readable(map) {
            Ok(headers) if !headers.lines().is_empty() => {
                pairs::serialise(headers.lines().iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
            }
            _ => Vec::new(),
        }
    }

    /// The bytes of a map's names and values.
    pub fn map_size(&mut self, map: Map) -> Result<usize, Status> {
        self.writable(map).map(|headers| headers.size())
    }

    pub fn set_pairs(&mut self, map: Map, lines: Pairs) -> Result<(), Status> {
        self.writable(map).map(|headers| headers.set_all(lines))
    }

    pub fn replace(&mut self, map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.writable(map).map(|headers| headers.replace(name, value))
    }

    pub fn add(&mut self, map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.writable(map).map(|headers| headers.add(name, value))
    }

    pub fn remove(&mut self, map: Map, name: &[u8]) -> Result<(), Status> {
        self.writable(map).map(|headers| headers.remove(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{exchange::Resume, headers::Inline};

    const REQUEST: Map = Map::Headers(Side::Request);
    const TRAILERS: Map = Map::Trailers(Side::Request);

    fn exchange() -> Exchange {
        let mut exchange = Exchange::new(0, false, 1);
        let mut headers = Headers::new(Inline::Request);
        headers.add(b"a", b"\xff");
        exchange.request.headers = Some(headers);
        exchange
    }

    #[test]
    fn a_map_is_gone_once_its_message_went_on() {
        let mut exchange = exchange();
        exchange.request.headers_open = true;
        assert_eq!(exchange.value(REQUEST, b"a"), Ok(b"\xff".as_slice()));
        exchange.resume(Resume::Request).unwrap();
        assert_eq!(exchange.value(REQUEST, b"a"), Err(Status::BadArgument));
        assert_eq!(exchange.replace(REQUEST, b"a", b"b"), Err(Status::BadArgument));
        assert_eq!(exchange.map_size(REQUEST), Err(Status::BadArgument));
        assert!(exchange.pairs(REQUEST).is_empty());
    }

    #[test]
    fn the_log_phase_reads_all_but_the_requests_trailers_and_writes_nothing() {
        let mut exchange = exchange();
        exchange.phase = Phase::Log;
        exchange.request.trailers = Some(Headers::default());
        assert_eq!(exchange.value(REQUEST, b"a"), Ok(b"\xff".as_slice()));
        assert_eq!(exchange.value(TRAILERS, b"a"), Err(Status::NotFound));
        assert_eq!(exchange.value(Map::Headers(Side::Response), b"a"), Err(Status::NotFound));
        assert_eq!(exchange.remove(REQUEST, b"a"), Err(Status::BadArgument));
    }

    #[test]
    fn trailers_come_into_being_in_the_last_body_callback() {
        let mut exchange = exchange();
        (exchange.phase, exchange.request.piece) = (Phase::Body(Side::Request), Piece::InHand);
        assert_eq!(exchange.add(TRAILERS, b"t", b"1"), Err(Status::BadArgument));
        exchange.end_of_stream = true;
        assert_eq!(exchange.add(TRAILERS, b"t", b"1"), Ok(()));
        assert_eq!(exchange.value(TRAILERS, b"t"), Ok(b"1".as_slice()));
    }
}
