//! Which policy is in force for a request. In this order, the first that speaks decides alone:
//!
//! 1. the route's metadata under the filter's namespace,
//! 2. the virtual host's metadata under it,
//! 3. `routes`, in their order, for gateways where metadata can't be set,
//! 4. `default_policy`,
//! 5. nobody: the filter does nothing, or refuses where `require_policy` is set.
//!
//! Metadata names a `policy` and may change single fields of it, those that the configuration lists
//! as `overridable`. Metadata that can't be followed never opens: an unknown policy gives way to
//! `default_policy` where there is one and `require_policy` isn't set; everything else is refused. So
//! is a request that can be read in more than one way where `routes` match on its head.

mod cache;
mod entry;
pub mod path;
mod plan;
mod raw;
mod routes;

use std::rc::Rc;

use self::{cache::Cache, entry::Entry, plan::Plan};
pub use self::{
    raw::{RawPolicies, Switch},
    routes::{HeadMatches, RawMatch, RawRule},
};
use crate::{
    config::{ConfigError, FromValue, Value, protobuf},
    fields,
    head::RequestHead,
    host::{Host, RouteProperty},
    mode::Mode,
    reason::{self, Reason},
};

/// What a filter's policies are to the kit.
pub trait Policy: Sized + 'static {
    /// The filter's name in snake case, `security_headers`. Its metadata stands under
    /// `portcullis.security_headers`.
    const FILTER: &'static str;
    /// The codes of its decisions.
    const REASONS: &'static [Reason];
    /// The fields that a configuration may list as `overridable`.
    const OVERRIDABLE: &'static [&'static str];
    /// What stands beside the policies and is the same for all of them: [`NoSettings`], mostly.
    type Settings: FromValue + Default;
    /// The names of its fields.
    const SETTINGS: &'static [&'static str] = &[];

    /// Reads one policy.
    ///
    /// # Errors
    /// What is wrong with it, with the path inside of it.
    fn from_value(value: &Value) -> Result<Self, ConfigError>;

    fn mode(&self) -> Mode;
}

fields! {
    /// For a filter with policies alone.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct NoSettings {}
}

/// A policy with its name, and what metadata changed in it.
#[derive(Debug)]
pub struct Named<P> {
    pub name: Rc<str>,
    /// Position among the policies of the configuration.
    pub index: usize,
    pub policy: P,
    /// The metadata that changed fields of it; empty where nothing is changed.
    changed_by: Vec<u8>,
}

/// Whom a request falls to.
#[derive(Debug)]
pub enum Choice<P> {
    /// This policy; with the reason why, where it isn't the one that was asked for.
    Policy(Rc<Named<P>>, Option<Reason>),
    /// No policy; the filter does nothing.
    Nobody,
    /// Nothing may pass.
    Refused(Reason),
}

impl<P> Clone for Choice<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Policy(named, note) => Self::Policy(Rc::clone(named), *note),
            Self::Nobody => Self::Nobody,
            Self::Refused(reason) => Self::Refused(*reason),
        }
    }
}

impl<P> Choice<P> {
    /// Whether both mean the same policy with the same changes, or both the same lack of one.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Policy(a, _), Self::Policy(b, _)) => a.index == b.index && a.changed_by == b.changed_by,
            (Self::Nobody, Self::Nobody) => true,
            (Self::Refused(a), Self::Refused(b)) => a == b,
            _ => false,
        }
    }
}

/// All policies of a configuration, valid, and the way to choose among them.
#[derive(Debug)]
pub struct Policies<P> {
    named: Vec<Rc<Named<P>>>,
    plan: Plan,
    namespace: String,
    cache: Cache<P>,
}

impl<P: Policy> Policies<P> {
    /// # Errors
    /// The first thing wrong in the configuration, with its path.
    pub fn from_value(configuration: Value) -> Result<(Self, P::Settings), ConfigError> {
        let (plan, settings) = Plan::read(configuration, P::SETTINGS, P::OVERRIDABLE)?;
        let mut named = Vec::new();
        for (name, value) in &plan.written {
            let policy = P::from_value(value).map_err(|error| error.under(name).under("policies"))?;
            let (name, index) = (name.as_str().into(), named.len());
            named.push(Rc::new(Named { name, index, policy, changed_by: Vec::new() }));
        }
        let settings = settings.typed()?;
        let namespace = format!("portcullis.{}", P::FILTER);
        Ok((Self { named, plan, namespace, cache: Cache::default() }, settings))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Named<P>> {
        self.named.iter().map(AsRef::as_ref)
    }

    /// Whether metadata may change the mode of a policy.
    pub fn mode_is_overridable(&self) -> bool {
        self.plan.overridable.iter().any(|field| field == "mode")
    }

    /// Whether `routes` match on the request's head, so that it must be read.
    pub fn reads_head(&self) -> bool {
        self.plan.rules.read_head()
    }

    /// Whether decisions leave a record for the access log.
    pub fn leave_records(&self) -> bool {
        self.plan.record == Switch::On
    }

    /// Whether nothing may reach the upstream before a policy is chosen.
    pub fn is_required(&self) -> bool {
        self.plan.require
    }

    /// What `routes` make of a request's head; to be kept until the choice is confirmed.
    pub fn match_head(&self, head: &RequestHead) -> HeadMatches {
        self.plan.rules.match_head(head)
    }

    /// Chooses. The second value is a line for the proxy's log where metadata can't be followed.
    pub fn choose(&mut self, host: &mut impl Host, heads: &HeadMatches) -> (Choice<P>, Option<String>) {
        if self.plan.per_route == Switch::On {
            for property in [RouteProperty::RouteMetadata, RouteProperty::VirtualHostMetadata] {
                let metadata = host.route(property);
                match protobuf::namespace(&metadata, &self.namespace) {
                    Ok(None) => {}
                    Ok(Some(entry)) => return self.follow(host, heads, entry),
                    Err(protobuf::Malformed) => {
                        let error = ConfigError::new(
                            "is spelt otherwise in the route or virtual host, stands under typed_filter_metadata, or \
                             can't be read; spell it so, under filter_metadata",
                        );
                        return (Choice::Refused(reason::OVERRIDE_INVALID), Some(self.line(&error)));
                    }
                }
            }
        }
        (self.without_metadata(host, heads), None)
    }

    fn without_metadata(&self, host: &mut impl Host, heads: &HeadMatches) -> Choice<P> {
        match self.plan.rules.choose(host, heads) {
            Ok(Some(index)) => self.at(index, None),
            Ok(None) => self.or_default(None),
            // The client wrote it so; a default would let it choose its policy.
            Err(ambiguous) => Choice::Refused(ambiguous),
        }
    }

    fn at(&self, index: usize, note: Option<Reason>) -> Choice<P> {
        match self.named.get(index) {
            Some(named) => Choice::Policy(Rc::clone(named), note),
            None => Choice::Refused(reason::POLICY_UNKNOWN),
        }
    }

    /// `default_policy`, where nobody chose (`wrong` is `None`) or what chose can't be followed.
    fn or_default(&self, wrong: Option<Reason>) -> Choice<P> {
        match (wrong, self.plan.default) {
            (Some(reason), _) if self.plan.require => Choice::Refused(reason),
            (note, Some(index)) => self.at(index, note),
            (Some(reason), None) => Choice::Refused(reason),
            (None, None) if self.plan.require => Choice::Refused(reason::POLICY_REQUIRED),
            (None, None) => Choice::Nobody,
        }
    }

    fn follow(&mut self, host: &mut impl Host, heads: &HeadMatches, bytes: &[u8]) -> (Choice<P>, Option<String>) {
        if let Some(choice) = self.cache.get(bytes) {
            return (choice, None);
        }
        let entry = match Entry::read(bytes, &self.plan.overridable, P::OVERRIDABLE) {
            Ok(entry) => entry,
            Err(error) => return self.remember(bytes, Choice::Refused(reason::OVERRIDE_INVALID), Some(error)),
        };
        let base = match &entry.policy {
            Some(name) => match self.named.iter().find(|named| *named.name == **name) {
                Some(named) => Choice::Policy(Rc::clone(named), None),
                None => {
                    let error = raw::no_policy(name, &self.plan.written).under("policy");
                    let choice = self.or_default(Some(reason::POLICY_UNKNOWN));
                    return self.remember(bytes, choice, Some(error));
                }
            },
            // Depends on more than these bytes, so it isn't remembered.
            None => {
                let base = self.without_metadata(host, heads);
                let (choice, error) = self.change(base, entry, bytes);
                return (choice, error.map(|error| self.line(&error)));
            }
        };
        let (choice, error) = self.change(base, entry, bytes);
        self.remember(bytes, choice, error)
    }

    /// The policy of `base` with the entry's fields in place of its own.
    fn change(&self, base: Choice<P>, entry: Entry, bytes: &[u8]) -> (Choice<P>, Option<ConfigError>) {
        let Choice::Policy(named, note) = &base else { return (base, None) };
        if entry.fields.is_empty() {
            return (base, None);
        }
        match entry.applied_to(&self.plan.written, named.index).and_then(|value| P::from_value(&value)) {
            Ok(policy) => {
                let (name, index) = (Rc::clone(&named.name), named.index);
                let changed = Named { name, index, policy, changed_by: bytes.to_vec() };
                (Choice::Policy(Rc::new(changed), *note), None)
            }
            Err(error) => (Choice::Refused(reason::OVERRIDE_INVALID), Some(error)),
        }
    }

    fn remember(&mut self, bytes: &[u8], choice: Choice<P>, error: Option<ConfigError>) -> (Choice<P>, Option<String>) {
        if bytes.len() <= entry::LARGEST {
            self.cache.put(bytes, choice.clone());
        }
        (choice, error.map(|error| self.line(&error)))
    }

    fn line(&self, error: &ConfigError) -> String {
        format!("metadata {}: {error}", self.namespace)
    }
}

#[cfg(test)]
mod tests;
