//! How a request is known that the proxy redirected inside: it comes a second time, as another stream.
//!
//! 1. Whoever counts it leaves a mark that outlives the redirect. Its name is random, so that neither another filter of this
//!    kind in the chain nor another VM takes it for its own.
//! 2. Envoy says in `x-envoy-original-url` where a redirected request was before; without that header nobody looks for the mark.
//!    A client that sends the header itself gains nothing: it can't leave a mark.

use portcullis_kit::{head::RequestHead, host::StatefulHost};

/// Prepares a mark; `None` where the proxy has no random bytes, and then each redirect counts again.
pub fn mark(host: &mut impl StatefulHost) -> Option<String> {
    let mut random = [0; 8];
    host.random(&mut random).ok()?;
    let letters = random.into_iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half));
    let mut name = String::from("portcullis_rate_limit_counted_");
    name.extend(letters);
    host.keep_record(&name);
    Some(name)
}

pub fn was_counted(host: &mut impl StatefulHost, mark: &str, head: Option<&RequestHead>) -> bool {
    let may_be = head.is_none_or(|head| head.headers.all(b"x-envoy-original-url").next().is_some());
    may_be && host.earlier_record(mark).is_some()
}
