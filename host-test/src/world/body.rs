//! The bytes that a filter reads and writes by buffer number.
//!
//! 1. A body that isn't in hand reads as empty; a callout's body and, outside of `on_configure`, the
//!    plugin's configuration are not found.
//! 2. A write at 0 drops as many bytes from the front as it names and prepends; a write at or behind
//!    the end appends; a write that starts inside is refused.

use super::{
    World,
    exchange::{Exchange, Phase, Piece, Side},
    status::Status,
};

/// The request's and the response's body by their numbers; `None` for the other buffers.
fn side(number: u32) -> Option<Side> {
    match number {
        0 => Some(Side::Request),
        1 => Some(Side::Response),
        _ => None,
    }
}

impl World {
    /// A buffer for reading. `configuration` is there while `on_configure` runs, the VM's always.
    pub fn buffer(
        &self,
        exchange: Option<&Exchange>,
        number: u32,
        configuration: Option<&[u8]>,
        vm_configuration: &[u8],
    ) -> Result<Vec<u8>, Status> {
        match number {
            0 | 1 => {
                let half = exchange.zip(side(number)).map(|(exchange, side)| exchange.half(side));
                Ok(half.and_then(|half| half.body.clone()).unwrap_or_default())
            }
            2 | 3 | 5 | 8 => Ok(Vec::new()),
            6 => Ok(vm_configuration.to_vec()),
            7 => configuration.map(<[u8]>::to_vec).ok_or(Status::NotFound),
            4 => Err(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }
}

/// Whether a buffer is one of those in which a configuration arrives.
pub fn is_configuration(number: u32) -> bool {
    matches!(number, 6 | 7)
}

/// Which body a write goes to; only a body can be written, and what isn't in hand isn't found.
pub fn writable(number: u32, configuring: bool) -> Result<Side, Status> {
    let missing = number == 4 || number == 7 && !configuring;
    side(number).ok_or(if missing { Status::NotFound } else { Status::BadArgument })
}

/// The part of a buffer that a read asks for.
pub fn part(buffer: &[u8], start: u32, most: u32) -> &[u8] {
    let rest = buffer.get(start as usize..).unwrap_or_default();
    rest.get(..most as usize).unwrap_or(rest)
}

impl Exchange {
    /// The body whose callback runs. Once one has run, Envoy keeps a pointer to what is gone; the error is
    /// fatal to the proxy.
    pub fn body_in_hand(&self) -> Result<Option<Vec<u8>>, &'static str> {
        match self.phase {
            Phase::Body(side) => Ok(self.half(side).body.clone()),
            _ if self.received + self.sent > 0 => {
                Err("reading buffer 8 after a body's callback ends Envoy 1.40 (SIGSEGV): read it within")
            }
            _ => Ok(None),
        }
    }

    /// Whether a buffer is a body that was freed. The error is fatal to the proxy.
    pub fn check_buffer(&self, number: u32) -> Result<(), &'static str> {
        match side(number) {
            Some(side) if self.half(side).body.is_none() && self.half(side).piece == Piece::Gone => Err(
                "reading or writing a body behind its last callback, which dropped it or held its sender back, ends \
                 Envoy 1.40 (SIGSEGV): do it within, or buffer the body",
            ),
            _ => Ok(()),
        }
    }

    pub fn set_buffer(&mut self, number: u32, start: u32, length: u32, data: &[u8]) -> Result<(), Status> {
        let side = writable(number, false)?;
        write(self.half_mut(side).body.as_mut().ok_or(Status::BadArgument)?, start, length, data)
    }
}

/// Writes into a buffer that is in hand.
pub fn write(body: &mut Vec<u8>, start: u32, length: u32, data: &[u8]) -> Result<(), Status> {
    if start == 0 {
        let dropped = body.len().min(length as usize);
        body.splice(..dropped, data.iter().copied());
    } else if start as usize >= body.len() {
        body.extend_from_slice(data);
    } else {
        return Err(Status::BadArgument);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: u32, length: u32, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut exchange = Exchange::new(0, false, 1);
        exchange.response.body = Some(b"hello".to_vec());
        exchange.set_buffer(1, start, length, data)?;
        Ok(exchange.response.body.unwrap())
    }

    #[test]
    fn a_write_replaces_a_prefix_or_appends_and_never_inserts() {
        assert_eq!(after(0, u32::MAX, b"x").unwrap(), b"x");
        assert_eq!(after(0, 0, b"x").unwrap(), b"xhello");
        assert_eq!(after(0, 2, b"x").unwrap(), b"xllo");
        assert_eq!(after(5, 0, b"x").unwrap(), b"hellox");
        assert_eq!(after(2, 1, b"x"), Err(Status::BadArgument));
    }

    #[test]
    fn a_body_that_is_not_in_hand_reads_as_empty_and_cannot_be_written() {
        let world = World::default();
        let mut exchange = Exchange::new(0, false, 1);
        assert_eq!(world.buffer(Some(&exchange), 0, None, &[]), Ok(Vec::new()));
        assert_eq!(world.buffer(None, 7, None, &[]), Err(Status::NotFound));
        assert_eq!(world.buffer(None, 9, None, &[]), Err(Status::BadArgument));
        assert_eq!(exchange.set_buffer(0, 0, 0, b"x"), Err(Status::BadArgument));
        assert_eq!(exchange.set_buffer(7, 0, 0, b"x"), Err(Status::NotFound));
    }

    #[test]
    fn the_buffer_of_foreign_functions_is_fatal_behind_a_body() {
        let mut exchange = Exchange::new(0, false, 1);
        assert_eq!(exchange.body_in_hand(), Ok(None));
        (exchange.phase, exchange.received, exchange.request.body) =
            (Phase::Body(Side::Request), 1, Some(b"x".to_vec()));
        assert_eq!(exchange.body_in_hand(), Ok(Some(b"x".to_vec())));
        exchange.phase = Phase::Headers(Side::Response);
        assert!(exchange.body_in_hand().is_err());
    }

    #[test]
    fn a_read_past_the_end_is_empty() {
        assert_eq!(part(b"hello", 1, 2), b"el");
        assert_eq!(part(b"hello", 1, u32::MAX), b"ello");
        assert_eq!(part(b"hello", 9, 1), b"");
    }
}
