//! What the router does anew with what the upstream answered: it tries again, or follows a redirect.
//!
//! 1. A further attempt is between router and upstream; no filter hears of it.
//! 2. A redirect is followed where the response has an absolute `location`, and the request came to its end.
//!    The stream ends, its request already the redirected one and its response the redirect; a new stream
//!    begins for every filter, with what the filters made of head and body and without trailers.
//! 3. A request whose body is longer than the buffer limit is neither tried again nor redirected.
//! 4. 303 makes a `GET` without a body of any request but `HEAD`.

use super::{Open, Proxy};
use crate::{
    envoy::versions,
    outcome::Cut,
    scenario::{Redirects, Response, Retries, RetryOn, Step},
    world::{
        Headers, Side, codec,
        stream::{Halt, Run, Stream},
        wire,
    },
};

impl Proxy {
    /// Answers one attempt; whether the stream is still to be answered.
    pub(super) fn attempt(&mut self, name: &str, step: &Step, cut: Cut) -> bool {
        let (retries, redirects) = {
            let world = self.world.borrow();
            (world.given.retries.clone(), world.given.redirects.clone())
        };
        let Some(open) = self.open.get_mut(name) else { return false };
        // On a stream that stays open it answers whatever it waits for.
        if let Some(misled) = open.misled().filter(|_| name.is_empty()) {
            // The connection itself ends over HTTP/1 only.
            let mut world = self.world.borrow_mut();
            world.connected = misled == Misled::Refuses && !world.pieces_wait;
            drop(world);
            if misled == Misled::Refuses {
                if let Some(retries) = retries.filter(Retries::tries_resets_again) {
                    // It refuses each attempt alike, and says nothing of any.
                    open.stream.spend(retries.times);
                }
                self.run(name, |run| {
                    run.stream.connected = true;
                    run.upstream_refuses()
                });
            }
            return false;
        }
        let response = step.answer(open.answers).clone();
        open.answers += 1;
        if response.raw.is_some() {
            // Behind it the connection ends.
            self.world.borrow_mut().connected = false;
        }
        if let Some(retries) = retries.filter(|_| !open.is_too_long())
            && retries.tries_again(&response, open.stream.asks_for_head())
        {
            if open.stream.attempt <= retries.times {
                open.earlier.extend(open.stream.upstream.clone());
                open.stream.connected = self.world.borrow().connected;
                open.stream.next_attempt();
                return true;
            }
            open.stream.give_up();
        }
        let target = redirects.and_then(|redirects| open.redirected(&response, &redirects));
        if target.is_some() && open.is_too_long() {
            let mut world = self.world.borrow_mut();
            if versions::keeps_long_bodies(world.envoy) {
                drop(world);
                self.respond(name, &response, cut);
                return false;
            }
            world.fatal.push(LONG_REDIRECT.into());
        }
        match target {
            Some(target) => {
                self.redirect(name, &response, target);
                true
            }
            None => {
                self.respond(name, &response, cut);
                false
            }
        }
    }

    fn redirect(&mut self, name: &str, response: &Response, (headers, body): (Headers, Vec<u8>)) {
        let world = self.world.borrow();
        let http2 = world.given.protocol == crate::scenario::Protocol::Http2;
        let began = world.clock;
        drop(world);
        let Some(open) = self.open.get_mut(name) else { return };
        let Some(thread) = self.threads.get(open.thread) else { return };
        let chain = thread.chain_of(open.generation).to_vec();
        open.earlier.extend(open.stream.upstream.clone());
        open.stream.connected = true;
        let mut stream = Stream::new(chain.len(), began, http2, open.connection, open.stream.behind().clone());
        stream.head_request = open.stream.head_request;
        let (redirected, redirect) = (headers.clone(), wire::response(response, http2, stream.head_request));
        self.run(name, |run: &mut Run<'_>| {
            run.redirect(redirected, redirect);
            Err(Halt::Cut)
        });
        self.world.borrow_mut().connected = true;
        let Some(open) = self.open.get_mut(name) else { return };
        stream.follow(&open.stream);
        (open.stream, open.redirects) = (stream, open.redirects + 1);
        let ends = body.is_empty();
        self.run(name, |run| {
            run.enter(&chain);
            run.head(Side::Request, headers, ends)
        });
        if !ends {
            self.run(name, |run| run.body(Side::Request, body, true));
        }
    }
}

const LONG_REDIRECT: &str = "a request with a body longer than the buffer limit is redirected, for whose body Envoy before 1.38 waits \
                             for ever; this host doesn't play that: play it for 1.38 and later";

/// What an upstream does with a request that isn't as long as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misled {
    /// HTTP/1: there is more to come, it thinks.
    Waits,
    /// HTTP/2: it resets the stream.
    Refuses,
}

impl Open {
    /// Whether the router has let go of the request's body, which it keeps for another attempt up to the limit.
    fn is_too_long(&self) -> bool {
        let limit = self.stream.behind().buffer_limit;
        self.stream.upstream.as_ref().is_some_and(|upstream| upstream.body.len() > limit)
    }

    fn misled(&self) -> Option<Misled> {
        if self.stream.is_refused_by_upstream() {
            return Some(Misled::Refuses);
        }
        let upstream = self.stream.upstream.as_ref().filter(|upstream| upstream.complete)?;
        (!wire::is_whole(upstream, self.stream.is_http2())).then_some(Misled::Waits)
    }

    /// The request that a redirect makes of this one; `None` where it isn't followed.
    fn redirected(&self, response: &Response, policy: &Redirects) -> Option<(Headers, Vec<u8>)> {
        let upstream = self.stream.upstream.as_ref().filter(|upstream| upstream.complete)?;
        let again = policy.new_routes_only && self.redirects > 0;
        if again || self.redirects >= policy.most || !policy.codes.contains(&response.status) || response.raw.is_some()
        {
            return None;
        }
        let location = response.headers.0.iter().find(|(name, _)| name == "location");
        let location = std::str::from_utf8(&location?.1.0).ok()?;
        let (scheme, rest) = location.split_once("://")?;
        let rest = rest.split('#').next()?;
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let mut headers = self.stream.request_headers()?.clone();
        let text = |name: &[u8]| String::from_utf8_lossy(headers.get(name).unwrap_or_default()).into_owned();
        let own_scheme = text(b":scheme");
        if host.is_empty() || scheme != "http" && scheme != "https" || scheme != own_scheme && !policy.cross_scheme {
            return None;
        }
        let original = format!("{own_scheme}://{}{}", text(b":authority"), text(b":path"));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut body = upstream.body.clone();
        if response.status == 303 && !matches!(&*text(b":method"), "GET" | "HEAD") {
            headers.set(b":method", b"GET");
            headers.remove(b"content-length");
            body.clear();
        }
        headers.set(b":authority", host.as_bytes());
        headers.set(b":path", path.as_bytes());
        headers.set(b":scheme", scheme.as_bytes());
        headers.set(b"x-envoy-original-url", original.as_bytes());
        Some((headers, body))
    }
}

/// With this line an upstream says that another attempt would only make it worse.
const RATELIMITED: &str = "x-envoy-ratelimited";

impl Retries {
    /// Whether an upstream that resets the stream is tried again.
    fn tries_resets_again(&self) -> bool {
        self.on.iter().any(|on| matches!(on, RetryOn::ServerError | RetryOn::GatewayError | RetryOn::Reset))
    }

    /// Whether an answer is one to try again for.
    fn tries_again(&self, response: &Response, head_request: bool) -> bool {
        let ratelimited = match &response.raw {
            None => response.headers.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(RATELIMITED)),
            Some(raw) => match codec::response(raw, head_request) {
                Ok(codec::Response::Message(message)) => message.head.get(RATELIMITED.as_bytes()).is_some(),
                _ => false,
            },
        };
        if ratelimited {
            return false;
        }
        let status = match &response.raw {
            None => Some(u64::from(response.status)),
            Some(raw) => match codec::response(raw, head_request) {
                Ok(codec::Response::Message(message)) => crate::world::head::status(&message.head),
                _ => None,
            },
        };
        self.on.iter().any(|on| match (on, status) {
            (RetryOn::ServerError | RetryOn::GatewayError | RetryOn::Reset, None) => true,
            (RetryOn::ServerError, Some(status)) => status >= 500,
            (RetryOn::GatewayError, Some(status)) => (502..=504).contains(&status),
            (RetryOn::Retriable4xx, Some(status)) => status == 409,
            (RetryOn::RetriableStatusCodes, Some(status)) => self.codes.iter().any(|code| u64::from(*code) == status),
            _ => false,
        })
    }
}
