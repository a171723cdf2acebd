//! A configured filter: the part that is the same for every policy, and for every shell.
//!
//! 1. [`Filter::configure`] reads the configuration and defines every counter.
//! 2. [`Filter::on_request`] chooses the policy where the request's head or `require_policy` asks for
//!    it; otherwise nothing is read before it is needed.
//! 3. [`Filter::policy`] gives the policy in force, choosing it if nobody did. What was chosen in the
//!    request is confirmed once: a route that changed in between is counted, and refused under
//!    `require_policy`.
//! 4. [`Filter::settle`] counts and records the decision, and makes nothing of it in shadow.

use std::rc::Rc;

use crate::{
    config::{self, ConfigError},
    head::RequestHead,
    host::{CounterId, Host, Level},
    log_budget::LogBudget,
    mode::Mode,
    policies::{Choice, HeadMatches, Named, Policies, Policy},
    reason::{self, NO_POLICY, OF_ANY_FILTER, Reason},
    seen::{NO_NAME, SeenDecisions},
    verdict::{Reply, Verdict},
};

#[derive(Debug)]
pub struct Filter<P> {
    policies: Policies<P>,
    /// By index of the policy.
    seen: Vec<SeenDecisions>,
    seen_without_policy: SeenDecisions,
    log_budget: LogBudget,
    lines_dropped: CounterId,
    /// The name of the record, where one is left.
    record_name: Option<String>,
}

/// What one stream keeps between its callbacks.
#[derive(Debug)]
pub struct Exchange<P> {
    chosen: Option<Choice<P>>,
    heads: HeadMatches,
    /// The choice was made in the request, and the response hasn't confirmed it.
    unconfirmed: bool,
}

impl<P> Default for Exchange<P> {
    fn default() -> Self {
        Self { chosen: None, heads: HeadMatches::default(), unconfirmed: false }
    }
}

impl<P: Policy> Filter<P> {
    /// # Errors
    /// The first thing wrong in the configuration.
    pub fn configure(host: &mut impl Host, bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::configure_with(host, bytes).map(|(filter, _)| filter)
    }

    /// The same, with the settings that stand beside the policies.
    ///
    /// # Errors
    /// The first thing wrong in the configuration.
    pub fn configure_with(host: &mut impl Host, bytes: &[u8]) -> Result<(Self, P::Settings), ConfigError> {
        let (policies, settings) = config::read(bytes).and_then(Policies::<P>::from_value)?;
        let mut seen = Vec::new();
        for named in policies.iter() {
            let own = named.policy.mode();
            let both = [Mode::Enforce, Mode::Shadow];
            let modes = if policies.mode_is_overridable() { &both[..] } else { &[own][..] };
            seen.push(SeenDecisions::define(host, P::FILTER, &named.name, modes, P::REASONS));
        }
        let seen_without_policy = SeenDecisions::define(host, P::FILTER, NO_NAME, &[Mode::Enforce], &OF_ANY_FILTER);
        let lines_dropped = host.define_counter(&format!("portcullis.log_lines_dropped.filter.{}", P::FILTER));
        let record_name = policies.leave_records().then(|| format!("portcullis_{}", P::FILTER));
        let log_budget = LogBudget::default();
        Ok((Self { policies, seen, seen_without_policy, log_budget, lines_dropped, record_name }, settings))
    }

    /// What the record for the access log is called, where decisions leave one.
    pub fn record_name(&self) -> Option<&str> {
        self.record_name.as_deref()
    }

    pub fn policies(&self) -> impl Iterator<Item = &Named<P>> {
        self.policies.iter()
    }

    /// Whether [`Self::on_request`] wants the request's head; reading it is the dearest of all calls.
    pub fn reads_request_head(&self) -> bool {
        self.policies.reads_head()
    }

    /// The request's head is there; `None` where it isn't wanted, or can't be read. A reply refuses the
    /// request.
    pub fn on_request(
        &mut self,
        host: &mut impl Host,
        exchange: &mut Exchange<P>,
        head: Option<&RequestHead>,
    ) -> Option<Reply> {
        match head {
            None if self.policies.reads_head() => {
                exchange.chosen = Some(Choice::Refused(reason::REQUEST_AMBIGUOUS));
                return Some(self.refuse(host, reason::REQUEST_AMBIGUOUS));
            }
            None if !self.policies.is_required() => return None,
            _ => {}
        }
        exchange.heads = head.map(|head| self.policies.match_head(head)).unwrap_or_default();
        exchange.unconfirmed = true;
        match self.choose(host, exchange) {
            Choice::Refused(reason) => Some(self.refuse(host, reason)),
            Choice::Policy(..) | Choice::Nobody => None,
        }
    }

    /// The policy in force, `None` where the filter does nothing. An error refuses the exchange.
    pub fn policy(&mut self, host: &mut impl Host, exchange: &mut Exchange<P>) -> Result<Option<Rc<Named<P>>>, Reply> {
        let choice = match exchange.chosen.clone() {
            // The refusal itself, on its way to the client.
            Some(Choice::Refused(_)) => return Ok(None),
            Some(first) if exchange.unconfirmed => self.confirm(host, exchange, first),
            Some(choice) => choice,
            None => self.choose(host, exchange),
        };
        match choice {
            Choice::Policy(named, note) => {
                if let Some(note) = note {
                    self.seen_without_policy.count(host, Mode::Enforce, note);
                }
                Ok((named.policy.mode() != Mode::Off).then_some(named))
            }
            Choice::Nobody => {
                self.see(host, &self.seen_without_policy, Mode::Enforce, NO_POLICY, "");
                Ok(None)
            }
            Choice::Refused(reason) => Err(self.refuse(host, reason)),
        }
    }

    /// Counts and records what a policy decided; in shadow, nothing more comes of it.
    pub fn settle<'a>(
        &self,
        host: &mut impl Host,
        named: &Named<P>,
        reason: Reason,
        verdict: Verdict<'a>,
    ) -> Verdict<'a> {
        self.settle_with(host, named, reason, verdict, "")
    }

    /// The same, with more `name=value` fields for the record: each with a blank in front.
    pub fn settle_with<'a>(
        &self,
        host: &mut impl Host,
        named: &Named<P>,
        reason: Reason,
        verdict: Verdict<'a>,
        fields: &str,
    ) -> Verdict<'a> {
        let mode = named.policy.mode();
        if let Some(seen) = self.seen.get(named.index) {
            self.see(host, seen, mode, reason, fields);
        }
        match mode {
            Mode::Enforce => verdict,
            Mode::Shadow | Mode::Off => Verdict::Pass,
        }
    }

    fn choose(&mut self, host: &mut impl Host, exchange: &mut Exchange<P>) -> Choice<P> {
        let (choice, line) = self.policies.choose(host, &exchange.heads);
        if let Some(line) = line {
            self.warn(host, &line);
        }
        exchange.chosen = Some(choice.clone());
        choice
    }

    fn confirm(&mut self, host: &mut impl Host, exchange: &mut Exchange<P>, first: Choice<P>) -> Choice<P> {
        exchange.unconfirmed = false;
        let (now, _) = self.policies.choose(host, &exchange.heads);
        let confirmed = match first {
            first if first.same(&now) => first,
            _ if self.policies.is_required() => Choice::Refused(reason::ROUTE_CHANGED),
            Choice::Policy(named, _) => Choice::Policy(named, Some(reason::ROUTE_CHANGED)),
            nobody => {
                self.seen_without_policy.count(host, Mode::Enforce, reason::ROUTE_CHANGED);
                nobody
            }
        };
        exchange.chosen = Some(confirmed.clone());
        confirmed
    }

    fn refuse(&self, host: &mut impl Host, reason: Reason) -> Reply {
        self.see(host, &self.seen_without_policy, Mode::Enforce, reason, "");
        Reply::unavailable(reason.of(P::FILTER))
    }

    /// Counts a decision and leaves its record.
    fn see(&self, host: &mut impl Host, seen: &SeenDecisions, mode: Mode, reason: Reason, fields: &str) {
        let counted = seen.count(host, mode, reason);
        match (counted, &self.record_name) {
            (Some(seen), Some(name)) if fields.is_empty() => host.leave_record(name, &seen.record),
            (Some(seen), Some(name)) => host.leave_record(name, &[&seen.record, fields].concat()),
            _ => {}
        }
    }

    fn warn(&mut self, host: &mut impl Host, line: &str) {
        let now = host.now();
        if self.log_budget.admit(now) {
            host.log(Level::Warn, line);
        } else {
            host.increment(self.lines_dropped);
        }
    }
}
