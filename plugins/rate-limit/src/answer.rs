//! What a client is told about where it stands.
//!
//! 1. Only of limits that count the caller by itself: what all callers share is nobody's business.
//! 2. `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-11: lists with the limit's name as
//!    string. `q` is the rate's number and `w` its time in seconds; `r` is how many requests pass right now, `t` the
//!    seconds until all of them do again, or, on a refusal, until the same request can pass.
//! 3. `Retry-After` (RFC 9110 §10.2.3) names the same instant as `t`. Seconds are rounded up.

use portcullis_kit::{head::RequestHead, refusal::Problem, verdict::Reply};

use crate::{
    config::{Announce, Limit, RateLimit},
    decide::{self, Ruling, Standing},
    rate::SECOND,
    service,
};

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Says that a quota is spent (draft 11, problem types).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The headers of an answer.
pub fn headers(announce: Announce, limit: &Limit, standing: &Standing) -> Lines {
    let (Some(rate), true) = (standing.measure.rate, limit.is_of_the_caller()) else { return Vec::new() };
    let mut lines = Lines::with_capacity(6);
    let mut line = |name: &str, value: Vec<u8>| lines.push((name.into(), value));
    let (quota, left, most) = (rate.requests.into(), standing.left.into(), standing.measure.burst.into());
    let (window, whole_in) = (rate.per / SECOND, standing.whole_in.map(seconds));
    if matches!(announce, Announce::Ietf | Announce::Both) {
        line("ratelimit-policy", item(&limit.name, (";q=", quota), Some((";w=", window))));
        line("ratelimit", self::standing(&limit.name, standing));
    }
    if matches!(announce, Announce::XRatelimit | Announce::Both) {
        line("x-ratelimit-limit", decimal(most));
        line("x-ratelimit-remaining", decimal(left));
        if let Some(seconds) = whole_in {
            line("x-ratelimit-reset", decimal(seconds));
        }
    }
    lines
}

/// Where a client stands, for the upstream: as in `RateLimit`.
pub fn standing(name: &str, standing: &Standing) -> Vec<u8> {
    item(name, (";r=", standing.left.into()), standing.whole_in.map(|whole_in| (";t=", seconds(whole_in))))
}

/// A string with its parameters (RFC 9651 §3.1.2). A limit's name holds nothing to be escaped.
fn item(name: &str, first: (&str, u64), second: Option<(&str, u64)>) -> Vec<u8> {
    let mut item = Vec::with_capacity(64);
    item.push(b'"');
    item.extend(name.as_bytes());
    item.push(b'"');
    for (key, value) in [Some(first), second].into_iter().flatten() {
        item.extend(key.as_bytes());
        write_decimal(value, &mut item);
    }
    item
}

fn decimal(number: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(20);
    write_decimal(number, &mut text);
    text
}

/// In a third of the work that `format!` takes, on each response.
fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// The answer to a request that is refused.
pub fn reply(policy: &RateLimit, ruling: &Ruling, head: Option<&RequestHead>, details: String) -> Reply {
    let limit = ruling.limit.and_then(|limit| policy.limits.get(limit));
    let mut lines = Lines::new();
    if let Some((limit, standing)) = limit.zip(ruling.standing.as_ref()) {
        lines = headers(policy.announce, limit, standing);
        if let Some(wait) = standing.whole_in {
            lines.push((b"retry-after".to_vec(), decimal(seconds(wait))));
        }
    }
    let members = limit.map(|limit| [r#""violated-policies":[""#, &limit.name, r#""]"#].concat()).unwrap_or_default();
    let problem = match ruling.reason {
        decide::HEAD_AMBIGUOUS => bad_request("The request can be read in more than one way"),
        decide::KEY_MISSING => bad_request("The request lacks what it is counted by"),
        decide::KEY_REPEATED => bad_request("The request repeats what it is counted by"),
        decide::STORE_CLOSED | decide::STORE_FOREIGN | service::SERVICE_FAILED => {
            return Reply::unavailable(details);
        }
        decide::STORE_FULL | decide::CONTENDED => {
            lines.push((b"retry-after".to_vec(), b"1".to_vec()));
            Problem {
                status: 429,
                title: "Too many clients at once",
                grpc_status: RESOURCE_EXHAUSTED,
                ..Problem::default()
            }
        }
        _ => Problem {
            status: 429,
            kind: QUOTA_EXCEEDED,
            title: "Too many requests",
            members: &members,
            grpc_status: RESOURCE_EXHAUSTED,
        },
    };
    policy.refusal.reply(&problem, head, lines, details)
}

const RESOURCE_EXHAUSTED: u32 = 8;
const INVALID_ARGUMENT: u32 = 3;

fn bad_request(title: &'static str) -> Problem<'static> {
    Problem { status: 400, title, grpc_status: INVALID_ARGUMENT, ..Problem::default() }
}

fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_written_as_everybody_writes_it(number: u64) {
            prop_assert_eq!(decimal(number), number.to_string().into_bytes());
        }
    }
}
