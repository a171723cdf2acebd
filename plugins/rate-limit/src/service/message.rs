//! `RateLimitRequest` written and `RateLimitResponse` read, as far as this filter needs them.
//!
//! 1. A request has a domain, descriptors with entries, and how much it counts. Where descriptors count different
//!    amounts each says its own; a service that doesn't know that field counts the largest for all.
//! 2. Of a response its codes, what is left and when a window ends are read. Fields that aren't known are passed over.
//! 3. Bytes that are no message are no response.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>, `envoy/service/ratelimit/v3/rls.proto`,
//! `envoy/extensions/common/ratelimit/v3/ratelimit.proto`, `google/protobuf/duration.proto`.

use super::descriptor::Descriptor;
use crate::rate::SECOND;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

pub fn request(domain: &str, descriptors: &[Descriptor]) -> Vec<u8> {
    let most = descriptors.iter().map(|descriptor| descriptor.hits).max().unwrap_or(1);
    let is_same = descriptors.iter().all(|descriptor| descriptor.hits == most);
    let mut out = Vec::new();
    put_bytes(&mut out, 1, domain.as_bytes());
    for descriptor in descriptors {
        let mut message = Vec::new();
        for (key, value) in &descriptor.entries {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, value.as_bytes());
            put_bytes(&mut message, 1, &entry);
        }
        if !is_same {
            let mut hits = Vec::new();
            put_number(&mut hits, 1, descriptor.hits.into());
            put_bytes(&mut message, 3, &hits);
        }
        put_bytes(&mut out, 2, &message);
    }
    // Without it a request counts one.
    if most != 1 {
        put_number(&mut out, 3, most.into());
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put_number(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3 | VARINT);
    put_varint(out, number);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What a service answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub code: Code,
    /// In the order of the descriptors.
    pub statuses: Vec<Status>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    Ok,
    OverLimit,
    /// Unknown, or one that this filter doesn't know.
    #[default]
    Other,
}

/// Where one descriptor stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub left: u64,
    /// Nanoseconds until its window ends; `None` where that isn't told.
    pub reset_in: Option<u64>,
}

impl Response {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut response = Self::default();
        for field in fields(bytes) {
            match field? {
                (1, Payload::Number(code)) => response.code = Code::of(code),
                (2, Payload::Bytes(status)) => response.statuses.push(Status::read(status)?),
                (1 | 2, _) => return None,
                _ => {}
            }
        }
        Some(response)
    }
}

impl Status {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut status = Self::default();
        for field in fields(bytes) {
            match field? {
                (1, Payload::Number(code)) => status.code = Code::of(code),
                (3, Payload::Number(left)) => status.left = left,
                (4, Payload::Bytes(duration)) => status.reset_in = self::duration(duration)?,
                (1 | 3 | 4, _) => return None,
                _ => {}
            }
        }
        Some(status)
    }
}

impl Code {
    fn of(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::OverLimit,
            _ => Self::Other,
        }
    }
}

/// Nanoseconds; `Some(None)` for none at all, or one that lies behind.
fn duration(bytes: &[u8]) -> Option<Option<u64>> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for field in fields(bytes) {
        match field? {
            (1, Payload::Number(number)) => seconds = number,
            (2, Payload::Number(number)) => nanoseconds = number,
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    // Both are signed; what is negative has its highest bit set.
    let is_behind = i64::try_from(seconds).is_err() || i64::try_from(nanoseconds).is_err();
    let total = seconds.saturating_mul(SECOND).saturating_add(nanoseconds);
    Some((!is_behind && total > 0).then_some(total))
}

enum Payload<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message in order; `None` for the first that isn't one, and no more behind it.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u64, Payload<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let read = field(bytes);
        bytes = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(field, _)| field))
    })
}

fn field(bytes: &[u8]) -> Option<((u64, Payload<'_>), &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (payload, rest) = match (tag & 7) as u8 {
        VARINT => varint(rest).map(|(number, rest)| (Payload::Number(number), rest))?,
        FIXED64 => (Payload::Other, rest.get(8..)?),
        FIXED32 => (Payload::Other, rest.get(4..)?),
        BYTES => {
            let (length, rest) = varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Payload::Bytes(bytes), rest)
        }
        _ => return None,
    };
    // Field 0 is none.
    (tag >> 3 > 0).then_some(((tag >> 3, payload), rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn number(field: u8, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, field, number);
        out
    }

    pub(in super::super) fn bytes(field: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, field, bytes);
        out
    }

    fn descriptor(entries: &[(&str, &str)], hits: u32) -> Descriptor {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Descriptor { entries: entries.collect(), hits }
    }

    #[test]
    fn a_request_is_written_byte_by_byte_as_the_protocol_says() {
        let written = request("edge", &[descriptor(&[("a", "b"), ("c", "de")], 1)]);
        assert_eq!(written, b"\x0a\x04edge\x12\x11\x0a\x06\x0a\x01a\x12\x01b\x0a\x07\x0a\x01c\x12\x02de");
        let written = request("e", &[descriptor(&[("a", "b")], 300)]);
        assert_eq!(written, b"\x0a\x01e\x12\x08\x0a\x06\x0a\x01a\x12\x01b\x18\xac\x02");
        let written = request("e", &[descriptor(&[], 1), descriptor(&[], 2)]);
        assert_eq!(written, b"\x0a\x01e\x12\x04\x1a\x02\x08\x01\x12\x04\x1a\x02\x08\x02\x18\x02");
    }

    #[test]
    fn a_response_is_read_with_what_isnt_known_passed_over() {
        let status =
            [number(1, 2), bytes(2, b"\x08\x64\x10\x02"), number(3, 7), bytes(4, b"\x08\x3c\x10\x01"), number(9, 1)];
        let unknown = [bytes(3, b"header"), vec![9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0], vec![10 << 3 | 5, 0, 0, 0, 0]];
        let answer = [number(1, 2), bytes(2, &status.concat()), bytes(2, b""), unknown.concat()].concat();
        let spent = Status { code: Code::OverLimit, left: 7, reset_in: Some(60 * SECOND + 1) };
        let statuses = vec![spent, Status::default()];
        assert_eq!(Response::read(&answer), Some(Response { code: Code::OverLimit, statuses }));
    }

    #[test]
    fn what_is_no_message_is_no_response() {
        let cut = &bytes(2, b"\x08\x01")[..3];
        for wrong in
            [b"rubbish".as_slice(), b"\x08", b"\x00\x01", b"\x0b\x0c", b"\x0a\x01a", b"\x12\x05ab", b"\x10\x01", cut]
        {
            assert_eq!(Response::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_window_that_ended_already_tells_no_time() {
        for seconds in [0, u64::MAX, 1 << 63] {
            assert_eq!(duration(&number(1, seconds)), Some(None));
        }
        assert_eq!(duration(&number(1, i64::MAX as u64)), Some(Some(u64::MAX)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(bytes: Vec<u8>) {
            let _ = Response::read(&bytes);
        }

        #[test]
        fn whatever_a_service_says_is_read(
            code in 0u64..4, statuses in prop::collection::vec((0u64..4, any::<u32>(), 0u64..1 << 40, 0u64..SECOND), 0..5),
        ) {
            let mut answer = number(1, code);
            let mut expected = Vec::new();
            for (code, left, seconds, nanoseconds) in statuses {
                let reset = [number(1, seconds), number(2, nanoseconds)].concat();
                answer.extend(bytes(2, &[number(1, code), number(3, left.into()), bytes(4, &reset)].concat()));
                let reset_in = Some(seconds.saturating_mul(SECOND).saturating_add(nanoseconds)).filter(|wait| *wait > 0);
                expected.push(Status { code: Code::of(code), left: left.into(), reset_in });
            }
            prop_assert_eq!(Response::read(&answer), Some(Response { code: Code::of(code), statuses: expected }));
        }

        #[test]
        fn a_requests_fields_are_those_it_was_made_of(
            domain in ".{0,200}", entries in prop::collection::vec(("[a-z]{1,5}", ".{0,300}"), 0..6), hits in 1u32..,
        ) {
            let entries: Vec<(String, String)> = entries;
            let written = request(&domain, &[Descriptor { entries: entries.clone(), hits }]);
            let fields: Vec<_> = fields(&written).map(Option::unwrap).collect();
            let [(1, Payload::Bytes(first)), (2, Payload::Bytes(message)), rest @ ..] = fields.as_slice() else {
                return Err(TestCaseError::fail("no domain and descriptor"));
            };
            prop_assert_eq!(*first, domain.as_bytes());
            let is_counted = matches!(rest, [(3, Payload::Number(number))] if *number == u64::from(hits));
            prop_assert!(is_counted || hits == 1 && rest.is_empty());
            let read = super::fields(message).map(Option::unwrap).map(|field| match field {
                (1, Payload::Bytes(entry)) => super::fields(entry).map(Option::unwrap).map(|part| match part {
                    (_, Payload::Bytes(text)) => String::from_utf8(text.to_vec()).unwrap(),
                    _ => String::new(),
                }).collect::<Vec<_>>(),
                _ => Vec::new(),
            });
            prop_assert!(read.eq(entries.into_iter().map(|(key, value)| vec![key, value])));
        }
    }
}
