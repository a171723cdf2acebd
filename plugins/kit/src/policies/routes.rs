//! `routes`: choosing a policy by what the filter itself sees, for gateways where metadata can't be
//! set (Istio's WasmPlugin, Envoy Gateway). The first rule of which every condition holds decides.

use super::path::{self, Template};
use crate::{
    config::ConfigError,
    fields,
    head::RequestHead,
    host::{Host, RouteProperty},
    reason::{self, Reason},
};

fields! {
    /// One entry of `routes`.
    #[derive(Clone, Debug)]
    pub struct RawRule {
        pub r#match: RawMatch,
        pub policy: String,
    }
}

fields! {
    /// All conditions that are given must hold; one at least is given.
    #[derive(Clone, Debug, Default)]
    pub struct RawMatch {
        /// The name of Envoy's route.
        pub route_name: Option<String> = default,
        /// The name of Envoy's virtual host.
        pub virtual_host_name: Option<String> = default,
        /// The request's host without port, in any case; `*.example.com` for every name below it.
        pub host: Option<String> = default,
        /// The request's method in capital letters. `GET` isn't `HEAD`.
        pub method: Option<String> = default,
        /// `/api/novel/:id`: each `:name` is one segment; `/files/*` is all below it.
        pub path_template: Option<String> = default,
    }
}

#[derive(Debug, Default)]
struct Rule {
    route_name: Option<String>,
    virtual_host_name: Option<String>,
    host: Option<String>,
    method: Option<String>,
    path: Option<Template>,
    /// Index of the policy.
    policy: usize,
}

#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

/// Which rules a request's head satisfies, by position. Empty where no head was read.
#[derive(Clone, Debug, Default)]
pub struct HeadMatches {
    matches: Vec<bool>,
    /// The path or host can be read in more than one way, and a rule asks for it.
    ambiguous: bool,
}

impl Rule {
    fn reads_head(&self) -> bool {
        self.host.is_some() || self.method.is_some() || self.path.is_some()
    }
}

impl Rules {
    pub(super) fn new(
        raw: &mut [RawRule],
        index_of: &dyn Fn(&str) -> Result<usize, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let mut rules = Vec::new();
        for raw in raw {
            rules.push(rule(raw, index_of).map_err(|error| error.at(rules.len()))?);
        }
        Ok(Self(rules))
    }

    pub(super) fn read_head(&self) -> bool {
        self.0.iter().any(Rule::reads_head)
    }

    pub(super) fn match_head(&self, head: &RequestHead) -> HeadMatches {
        let segments = path::segments(&head.path);
        let host = path::host(&head.authority);
        let matches = self.0.iter().map(|rule| {
            rule.host.as_ref().is_none_or(|wanted| host.as_ref().is_ok_and(|host| path::host_matches(wanted, host)))
                && rule.method.as_ref().is_none_or(|wanted| wanted.as_bytes() == head.method)
                && rule.path.as_ref().is_none_or(|wanted| segments.as_ref().is_ok_and(|found| wanted.matches(found)))
        });
        let ambiguous = segments.is_err() && self.0.iter().any(|rule| rule.path.is_some())
            || host.is_err() && self.0.iter().any(|rule| rule.host.is_some());
        HeadMatches { matches: matches.collect(), ambiguous }
    }

    /// The policy of the first rule that holds.
    ///
    /// # Errors
    /// The request's head is ambiguous where rules ask for it: none of them may be taken, nor passed by.
    pub(super) fn choose(&self, host: &mut impl Host, heads: &HeadMatches) -> Result<Option<usize>, Reason> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if heads.ambiguous {
            return Err(reason::REQUEST_AMBIGUOUS);
        }
        let mut route_name = Lazy(RouteProperty::RouteName, None);
        let mut virtual_host_name = Lazy(RouteProperty::VirtualHostName, None);
        for (index, rule) in self.0.iter().enumerate() {
            let head_holds = !rule.reads_head() || heads.matches.get(index).copied().unwrap_or(false);
            if head_holds
                && rule.route_name.as_ref().is_none_or(|wanted| route_name.is(host, wanted))
                && rule.virtual_host_name.as_ref().is_none_or(|wanted| virtual_host_name.is(host, wanted))
            {
                return Ok(Some(rule.policy));
            }
        }
        Ok(None)
    }
}

/// A property that is asked for once, and only where a rule needs it.
struct Lazy(RouteProperty, Option<Vec<u8>>);

impl Lazy {
    fn is(&mut self, host: &mut impl Host, wanted: &str) -> bool {
        *self.1.get_or_insert_with(|| host.route(self.0)) == wanted.as_bytes()
    }
}

fn rule(raw: &mut RawRule, index_of: &dyn Fn(&str) -> Result<usize, ConfigError>) -> Result<Rule, ConfigError> {
    let policy = index_of(&raw.policy).map_err(|error| error.under("policy"))?;
    let mut rule = Rule { policy, ..Rule::default() };
    rule.read(&mut raw.r#match).map_err(|error| error.under("match"))?;
    Ok(rule)
}

impl Rule {
    fn read(&mut self, raw: &mut RawMatch) -> Result<(), ConfigError> {
        if let Some(text) = &raw.path_template {
            self.path = Some(Template::new(text).map_err(|error| error.under("path_template"))?);
        }
        if let Some(text) = &raw.host {
            self.host = Some(path::wanted_host(text).map_err(|error| error.under("host"))?);
        }
        let texts =
            [("route_name", &raw.route_name), ("virtual_host_name", &raw.virtual_host_name), ("method", &raw.method)];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.as_ref().is_some_and(String::is_empty)) {
            return Err(ConfigError::new("is empty; leave it out to match any").under(field));
        }
        let is_method = |text: &String| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !raw.method.as_ref().is_none_or(is_method) {
            return Err(ConfigError::new("is no method: capital letters, as in `GET`").under("method"));
        }
        (self.route_name, self.virtual_host_name) = (raw.route_name.take(), raw.virtual_host_name.take());
        self.method = raw.method.take();
        if !self.reads_head() && self.route_name.is_none() && self.virtual_host_name.is_none() {
            return Err(ConfigError::new("no condition, so it would match everything; use `default_policy`"));
        }
        Ok(())
    }
}
