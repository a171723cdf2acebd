//! The second stage of a request: held while the service is asked, and decided by the answer.
//!
//! 1. Only an admitted request asks. A call that can't be made is a failure at once; the request isn't held for it.
//! 2. A refusal by the service gives everything back that was taken here, and keeps the spent keys out.
//! 3. An answer that nobody waits for any more (the client left, something else replied) is passed over; what was taken
//!    stays taken, as with every request that ends before its response.

use std::rc::Rc;

use portcullis_kit::{
    Filter, Named,
    config::ConfigError,
    head::RequestHead,
    host::{CallId, CounterId, StatefulHost},
    verdict::Verdict,
};

use super::{Limiter, Stream, request::Request};
use crate::{
    config::{Limit, RateLimit, Settings},
    debit::{Debtor, Seen, Taken},
    decide::{Asked, Ruling, Standing},
    service::{self, Judgement, LONGEST_BLOCK, OnError, Refused, SERVICE_FAILED, SERVICE_REFUSED, Service},
};

/// The service, and what it is seen to do.
pub struct Across {
    service: Service,
    admits: CounterId,
    refuses: CounterId,
    fails: CounterId,
    /// Requests that ended before the answer.
    left: CounterId,
}

/// A request that is held.
pub struct Waiting {
    call: CallId,
    named: Rc<Named<RateLimit>>,
    ruling: Ruling,
    head: Option<RequestHead>,
}

impl Waiting {
    pub fn call(&self) -> CallId {
        self.call
    }
}

impl Across {
    /// # Errors
    /// The service's configuration, or a limit that asks for one where there is none.
    pub fn configure(
        host: &mut impl StatefulHost,
        settings: &Settings,
        filter: &Filter<RateLimit>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(raw) = settings.service.clone() else {
            for named in filter.policies() {
                if let Some(place) = named.policy.limits.iter().position(|limit| limit.across_gateways) {
                    let why = "asks a service, and none is configured: name its cluster and domain in `service`, beside \
                               `policies`";
                    let error = ConfigError::new(why).under("across_gateways").at(place).under("limits");
                    return Err(error.under(&named.name).under("policies"));
                }
            }
            return Ok(None);
        };
        let service = Service::try_from(raw).map_err(|error| error.under("service"))?;
        let [admits, refuses, fails, left] = ["admits", "refuses", "fails", "left"]
            .map(|event| host.define_counter(&["portcullis.service.filter.rate_limit.event.", event].concat()));
        Ok(Some(Self { service, admits, refuses, fails, left }))
    }
}

impl Limiter {
    /// Holds an admitted request and asks the service about it.
    pub(super) fn ask<H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &mut Stream,
        named: Rc<Named<RateLimit>>,
        ruling: Ruling,
        head: Option<&RequestHead>,
    ) -> Verdict<'static> {
        // Refused at load.
        let Some(across) = &self.across else { return Verdict::Pass };
        let message = across.service.message(&named.name, &named.policy, &ruling.asks);
        match host.call(&across.service.call(&message)) {
            Some(call) => {
                stream.waiting = Some(Box::new(Waiting { call, named, ruling, head: head.cloned() }));
                Verdict::Hold
            }
            None => self.failed(host, stream, &named, ruling, head),
        }
    }

    /// The service answered; `None`: it didn't. Anything but `Verdict::Hold` ends the wait.
    pub fn on_answer<'a, H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &'a mut Stream,
        answer: Option<&[u8]>,
    ) -> Verdict<'a> {
        let verdict = self.answer(host, stream, answer);
        stream.upstream.on(verdict)
    }

    fn answer<H: StatefulHost>(
        &mut self,
        host: &mut H,
        stream: &mut Stream,
        answer: Option<&[u8]>,
    ) -> Verdict<'static> {
        let (Some(waiting), Some(across)) = (stream.waiting.take(), &self.across) else { return Verdict::Hold };
        let Waiting { named, ruling, head, .. } = *waiting;
        match service::judge(answer, ruling.asks.len()) {
            Judgement::Admits => {
                host.increment(across.admits);
                self.settle(host, &named, &ruling, Verdict::Pass)
            }
            Judgement::Refuses(refused) => {
                host.increment(across.refuses);
                self.refused(host, stream, &named, ruling, head.as_ref(), &refused)
            }
            Judgement::Failed => self.failed(host, stream, &named, ruling, head.as_ref()),
        }
    }

    /// The request ends before its answer, if it waits for one.
    pub(super) fn leave(&self, host: &mut impl StatefulHost, stream: &mut Stream) {
        if let (Some(_), Some(across)) = (stream.waiting.take(), &self.across) {
            host.increment(across.left);
        }
    }

    fn refused(
        &mut self,
        host: &mut impl StatefulHost,
        stream: &mut Stream,
        named: &Named<RateLimit>,
        ruling: Ruling,
        head: Option<&RequestHead>,
        refused: &Refused,
    ) -> Verdict<'static> {
        self.give_back(host, stream, |_| true);
        self.keep_out(host, named, &ruling.asks, refused);
        let limit = refused.asked.and_then(|asked| ruling.asks.get(asked)).map(|asked| asked.limit);
        let spoken = limit.and_then(|limit| named.policy.limits.get(limit));
        // As long as the key is kept out here.
        let whole_in =
            |limit: &Limit| refused.wait.map(|wait| wait.max(limit.block_for).min(LONGEST_BLOCK.max(limit.block_for)));
        let standing = spoken.map(|limit| Standing { measure: limit.measure, left: 0, whole_in: whole_in(limit) });
        let ruling = Ruling { reason: SERVICE_REFUSED, refuses: true, limit, standing, ..ruling };
        self.refuse(host, stream, named, &ruling, head)
    }

    /// Keys that the service knows to be spent don't ask again before they can succeed.
    fn keep_out(&self, host: &mut impl StatefulHost, named: &Named<RateLimit>, asks: &[Asked], refused: &Refused) {
        let Some(secret) = self.secret else { return };
        let debtor = Debtor { leases: &self.leases, secret: secret.check };
        let mut seen = Seen::default();
        for (asked, wait) in refused.spent.iter().filter_map(|(place, wait)| Some((asks.get(*place)?, wait))) {
            let block_for = named.policy.limits.get(asked.limit).map_or(0, |limit| limit.block_for);
            let wait = wait.unwrap_or_default().max(block_for);
            if let Some(claim) = asked.claim.filter(|_| wait > 0) {
                // Should it not succeed, the next request asks again.
                let _ = debtor.block(&mut Request::new(host, None), &claim, wait, &mut seen);
            }
        }
        self.counts.note(host, &seen);
    }

    fn failed(
        &mut self,
        host: &mut impl StatefulHost,
        stream: &mut Stream,
        named: &Named<RateLimit>,
        ruling: Ruling,
        head: Option<&RequestHead>,
    ) -> Verdict<'static> {
        let Some(across) = &self.across else { return Verdict::Pass };
        host.increment(across.fails);
        let asks = |taken: &Taken| ruling.asks.iter().any(|asked| asked.limit == taken.limit);
        match across.service.on_error {
            OnError::Local => {}
            OnError::Allow => self.give_back(host, stream, asks),
            OnError::Deny => {
                self.give_back(host, stream, |_| true);
                let ruling = Ruling { reason: SERVICE_FAILED, refuses: true, standing: None, ..ruling };
                return self.refuse(host, stream, named, &ruling, head);
            }
        }
        self.settle(host, named, &Ruling { reason: SERVICE_FAILED, ..ruling }, Verdict::Pass)
    }
}
