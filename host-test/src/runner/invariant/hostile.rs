//! Messages that a proxy lets through and a filter may not expect, made of a scenario's own steps.
//!
//! What Envoy's codec refuses before any filter isn't made: line breaks and NUL in values, odd
//! framing, methods that are no token.

use super::{
    message::{LISTS, Lines, Message},
    random::Random,
};
use crate::{
    outcome::Cut,
    scenario::{Body, Bytes, HeaderLines, Response, Step},
};

/// Names that filters read.
const NAMES: [&str; 16] = [
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    "cookie",
    "etag",
    "forwarded",
    "if-none-match",
    "location",
    "origin",
    "set-cookie",
    "traceparent",
    "user-agent",
    "x-forwarded-for",
    "x-request-id",
    "x",
];

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get", "!#$%&'*+-.^_`|~"];
const PATHS: [&str; 14] = [
    "/",
    "*",
    "//",
    "/..",
    "/../../x",
    "/%",
    "/%zz",
    "/%ff%fe",
    "/%00",
    "/;a=b",
    "/\\",
    "/?",
    "/a?b=%80&b&=&&",
    "/a#b",
];
const AUTHORITIES: [&str; 7] =
    ["a", "EDGE.EXAMPLE.", "edge.example:0", "edge.example:99999", "[::1]:80", "1.2.3.4", "*"];
const STATUSES: [u16; 12] = [200, 201, 204, 206, 299, 301, 304, 400, 404, 500, 599, 999];
const COUNTS: [usize; 4] = [1, 16, 1000, 3000];

/// One hostile message of a step.
pub fn message(step: &Step, random: &mut Random) -> Message {
    // A message that is found can be pasted, and shows no fault; those of the whole scenario are in force.
    let (meanwhile, faults) = (Vec::new(), Vec::new());
    let mut step = Step { every_split: false, times: 1, expect: Default::default(), meanwhile, faults, ..step.clone() };
    if random.below(2) == 0 && step.reply.is_none() {
        step.response.get_or_insert_with(Response::default);
    }
    for _ in 0..=random.below(4) {
        let change = CHANGES.get(random.below(CHANGES.len())).copied().unwrap_or(lines);
        change(&mut step, random);
    }
    let cut = match random.below(4) {
        0 => Cut::After(1 + random.below(64)),
        1 if bodies(&step) <= 1024 => Cut::EveryByte,
        _ => Cut::AsWritten,
    };
    Message { step, cut }
}

fn bodies(step: &Step) -> usize {
    let of = |body: Option<&Body>| body.map_or(0, |body| body.pieces().iter().map(Vec::len).sum());
    of(step.request().body.as_ref()) + of(step.response.as_ref().and_then(|response| response.body.as_ref()))
}

/// Lines weigh most: they are what filters read.
const CHANGES: [fn(&mut Step, &mut Random); 8] = [lines, lines, lines, values, head, body, trailers, answer];

/// A value that is valid on the wire.
fn value(random: &mut Random) -> Bytes {
    let byte = |random: &mut Random| u8::try_from(0x80 + random.below(0x80)).unwrap_or(0xff);
    let length = 1 + random.below(12);
    Bytes(match random.below(7) {
        0 => Vec::new(),
        1 | 2 => (0..length).map(|_| byte(random)).collect(),
        3 => [b"a".as_slice(), &[byte(random)], b"z"].concat(),
        4 => vec![b'a'; 1 << 16],
        5 => b",;=\"\\, ,,=".to_vec(),
        _ => b"-9223372036854775809".to_vec(),
    })
}

fn list<'a>(step: &'a mut Step, random: &mut Random, among: &[usize]) -> Option<&'a mut Lines> {
    LISTS.get(random.one_of(among)).and_then(|list| list(step))
}

/// New lines, often many of one name.
fn lines(step: &mut Step, random: &mut Random) {
    let (name, count) = (random.one_of(&NAMES), random.one_of(&COUNTS));
    let numbered = random.below(2) == 0;
    let values: Vec<Bytes> = (0..3).map(|_| value(random)).collect();
    let Some(lines) = list(step, random, &[0, 2]) else { return };
    for index in 0..count {
        let name = if numbered { format!("{name}-{index}") } else { name.to_owned() };
        // Huge values only a few times: Envoy has a limit for a head.
        let value = values.get(index % 3).filter(|value| count <= 16 || value.0.len() < 64).cloned();
        lines.push((name, value.unwrap_or_default()));
    }
}

/// Another value in a line of the scenario's own, or the line once more.
fn values(step: &mut Step, random: &mut Random) {
    let (value, again) = (value(random), random.below(2) == 0);
    let place = random.below(64);
    let Some(lines) = list(step, random, &[0, 2]) else { return };
    let place = place % lines.len().max(1);
    if let Some((name, old)) = lines.get_mut(place).filter(|(name, _)| name != "content-length") {
        let name = name.clone();
        if again {
            lines.insert(place, (name, value));
        } else {
            *old = value;
        }
    }
}

fn head(step: &mut Step, random: &mut Random) {
    match random.below(4) {
        0 => step.request_mut().method = random.one_of(&METHODS).to_owned(),
        1 => step.request_mut().authority = random.one_of(&AUTHORITIES).to_owned(),
        2 => step.request_mut().path = format!("/{}", "a/".repeat(1 << random.below(14))),
        _ => step.request_mut().path = random.one_of(&PATHS).to_owned(),
    }
}

fn body(step: &mut Step, random: &mut Random) {
    let chunks = |random: &mut Random| {
        let pieces = (0..random.below(5)).map(|_| value(random)).collect();
        Body::Chunks(pieces)
    };
    let body = match random.below(5) {
        0 => None,
        1 => Some(Body::Whole(Bytes::default())),
        2 => Some(Body::Whole(Bytes(vec![b'x'; (1 << 20) + 1]))),
        3 => Some(Body::Whole(value(random))),
        _ => Some(chunks(random)),
    };
    match &mut step.response {
        Some(response) if random.below(2) == 0 => response.body = body,
        _ => step.request_mut().body = body,
    }
}

fn trailers(step: &mut Step, random: &mut Random) {
    let (name, value) = (random.one_of(&NAMES), value(random));
    let many = random.one_of(&COUNTS).min(64);
    if let Some(lines) = list(step, random, &[1, 3]) {
        lines.extend((0..many).map(|_| (name.to_owned(), value.clone())));
    }
}

fn answer(step: &mut Step, random: &mut Random) {
    let status = random.one_of(&STATUSES);
    let headers = HeaderLines((0..random.below(3)).map(|_| (random.one_of(&NAMES).into(), value(random))).collect());
    if let Some(reply) = &mut step.reply {
        reply.headers = headers;
    } else {
        let response = step.response.get_or_insert_with(Response::default);
        (response.status, response.headers) = (status, headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_messages_and_another_makes_others() {
        let step: Step = serde_saphyr::from_str("{request: {headers: {a: b}}, response: {}}").unwrap();
        let made = |seed| {
            let mut random = Random::new(seed);
            (0..20).map(|_| format!("{:?}", message(&step, &mut random))).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn values_hold_nothing_that_a_codec_refuses() {
        let mut random = Random::new(7);
        let values: Vec<Bytes> = (0..500).map(|_| value(&mut random)).collect();
        assert!(values.iter().all(|value| value.0.iter().all(|byte| *byte >= b' ' && *byte != 0x7f)));
        assert!(values.iter().any(|value| value.0.iter().any(|byte| *byte >= 0x80)));
        assert!(values.iter().any(|value| value.0.is_empty()));
    }
}
