//! The second stage: a service that counts for all gateways, asked over gRPC (`envoy.service.ratelimit.v3`) once every
//! limit here admits.
//!
//! 1. One call for a request, with a descriptor for each of its limits that hold across gateways ([`descriptor`],
//!    [`message`]). What is refused here never asks.
//! 2. The service's `OK` admits, its `OVER_LIMIT` refuses. Then nothing counts here: what was taken is given back.
//!    The keys that are over their limit stay out without another call until the service's window ends, at most a day.
//! 3. A call that fails, comes too late or brings anything else is a failure, and [`OnError`] says what follows.
//! 4. What is in shadow asks nothing: it would spend what enforcing limits count.

pub mod descriptor;
pub mod message;
mod raw;

use portcullis_kit::{host::GrpcCall, reason::Reason};

pub use self::raw::{OnError, RawService};
use self::{
    descriptor::Descriptor,
    message::{Code, Response},
};
use crate::{config::RateLimit, decide::Asked, rate::SECOND};

/// The service says that a limit is spent: refused.
pub const SERVICE_REFUSED: Reason = Reason("service_refused");
/// The service failed, came too late or answered nonsense: `on_error` decided.
pub const SERVICE_FAILED: Reason = Reason("service_failed");

/// How long a service's answer keeps a key out at most: nanoseconds.
pub const LONGEST_BLOCK: u64 = 86_400 * SECOND;

const NAME: &str = "envoy.service.ratelimit.v3.RateLimitService";
const METHOD: &str = "ShouldRateLimit";

/// Where and how the service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    cluster: String,
    domain: String,
    /// Milliseconds.
    timeout: u32,
    pub on_error: OnError,
}

impl Service {
    /// The message that asks for all of these at once.
    pub fn message(&self, policy: &str, rules: &RateLimit, asks: &[Asked]) -> Vec<u8> {
        let descriptors: Vec<Descriptor> = asks
            .iter()
            .filter_map(|asked| Some((asked, rules.limits.get(asked.limit)?)))
            .map(|(asked, limit)| Descriptor::new(policy, &limit.name, &limit.key, &asked.key, asked.cost))
            .collect();
        message::request(&self.domain, &descriptors)
    }

    pub fn call<'a>(&'a self, message: &'a [u8]) -> GrpcCall<'a> {
        GrpcCall { cluster: &self.cluster, service: NAME, method: METHOD, message, timeout: self.timeout }
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Admits,
    Refuses(Refused),
    Failed,
}

/// What the service says of a refusal. Times in nanoseconds from now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Which of those asked for speaks: the one that refuses longest. `None` where the service doesn't tell.
    pub asked: Option<usize>,
    /// Until it can be admitted; `None` where the service doesn't tell.
    pub wait: Option<u64>,
    /// Which of those asked for are spent, and for how long.
    pub spent: Vec<(usize, Option<u64>)>,
}

/// Reads the answer to a call that asked for so many; `None` is a call that failed.
pub fn judge(answer: Option<&[u8]>, asked: usize) -> Judgement {
    let Some(response) = answer.and_then(Response::read) else { return Judgement::Failed };
    match response.code {
        Code::Ok => Judgement::Admits,
        Code::OverLimit => Judgement::Refuses(Refused::new(&response, asked)),
        Code::Other => Judgement::Failed,
    }
}

impl Refused {
    fn new(response: &Response, asked: usize) -> Self {
        let statuses = &response.statuses;
        // One status for each descriptor, or nobody knows whose it is. Of a single one, the answer itself is told.
        let mut spent: Vec<(usize, Option<u64>)> = Vec::new();
        if statuses.len() == asked {
            let over = statuses.iter().enumerate().filter(|(_, status)| status.code == Code::OverLimit);
            // With something left, a cheaper request may pass.
            spent.extend(over.map(|(place, status)| (place, status.reset_in.filter(|_| status.left == 0))));
        } else if asked == 1 {
            spent.push((0, None));
        }
        let resets = statuses.iter().filter(|status| status.code == Code::OverLimit).map(|status| status.reset_in);
        let speaks = spent.iter().max_by_key(|(_, wait)| *wait).map(|(place, _)| *place);
        Self { asked: speaks, wait: resets.flatten().max(), spent }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        message::tests::{bytes, number},
        *,
    };

    fn status(code: u64, left: u64, seconds: Option<u64>) -> Vec<u8> {
        let reset = seconds.map(|seconds| bytes(4, &number(1, seconds))).unwrap_or_default();
        bytes(2, &[number(1, code), number(3, left), reset].concat())
    }

    fn over(statuses: &[Vec<u8>]) -> Vec<u8> {
        [number(1, 2), statuses.concat()].concat()
    }

    #[test]
    fn an_answer_that_is_none_or_nonsense_is_a_failure() {
        for answer in [None, Some(&b""[..]), Some(b"rubbish"), Some(&number(1, 7)), Some(&number(1, 0))] {
            assert_eq!(judge(answer, 1), Judgement::Failed, "{answer:?}");
        }
        assert_eq!(judge(Some(&number(1, 1)), 1), Judgement::Admits);
    }

    #[test]
    fn the_limit_that_refuses_longest_speaks_and_every_spent_one_is_known() {
        let answer = over(&[status(1, 5, Some(9)), status(2, 0, Some(3)), status(2, 0, Some(60))]);
        let spent = vec![(1, Some(3 * SECOND)), (2, Some(60 * SECOND))];
        let refused = Refused { asked: Some(2), wait: Some(60 * SECOND), spent };
        assert_eq!(judge(Some(&answer), 3), Judgement::Refuses(refused));
    }

    #[test]
    fn a_limit_with_something_left_refuses_and_isnt_blocked() {
        let refused = Refused { asked: Some(0), wait: Some(3 * SECOND), spent: vec![(0, None)] };
        assert_eq!(judge(Some(&over(&[status(2, 2, Some(3))])), 1), Judgement::Refuses(refused));
    }

    #[test]
    fn a_service_that_tells_no_statuses_refuses_and_blames_only_a_single_limit() {
        let single = Refused { asked: Some(0), wait: None, spent: vec![(0, None)] };
        assert_eq!(judge(Some(&over(&[])), 1), Judgement::Refuses(single));
        assert_eq!(judge(Some(&over(&[])), 2), Judgement::Refuses(Refused::default()));
    }
}
