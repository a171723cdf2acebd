//! What of a request's head reaches the upstream.
//!
//! 1. Where the filter reads the head, for whatever reason, the headers by which a client may tell a backend another method
//!    or path are taken out: a route, a rule of `routes` or a limit chose by those that the head says.
//! 2. Where some policy tells the upstream where a client stands, what clients send under that name is taken out of every
//!    request, whatever its policy and mode.
//! 3. `-` and `_` are one letter: to many backends both spellings are one header.

use portcullis_kit::{
    head::{RequestHead, is_spelt},
    verdict::{Edit, Verdict},
};

/// The limit that speaks, with what is left: `"per_client";r=3;t=12`, as in `RateLimit`.
pub const TOLD: &[u8] = b"x-portcullis-rate-limit";
const TOLD_OTHERWISE: &[u8] = b"x_portcullis_rate_limit";

/// Headers by which a client may tell the backend another method or path than the one that was counted.
pub const OVERRIDES: [&[u8]; 6] = [
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-original-uri",
];

/// Changes of a request that passes.
#[derive(Default)]
pub struct Upstream {
    stripped: Vec<Vec<u8>>,
    told: Vec<u8>,
}

impl Upstream {
    /// Takes out what the client sent under these names.
    pub fn strip(&mut self, names: &[&[u8]], head: &RequestHead) {
        for (found, _) in head.headers.iter() {
            if names.iter().any(|name| is_spelt(found, name)) && !self.stripped.iter().any(|known| known == found) {
                self.stripped.push(found.to_vec());
            }
        }
    }

    /// Takes out what the client sent as if it were told here; `head` is `None` where it can't be read.
    pub fn strip_told(&mut self, head: Option<&RequestHead>) {
        match head {
            Some(head) => self.strip(&[TOLD], head),
            None => self.stripped.extend([TOLD.to_vec(), TOLD_OTHERWISE.to_vec()]),
        }
    }

    pub fn tell(&mut self, standing: Vec<u8>) {
        self.told = standing;
    }

    /// The verdict with these changes, where the request passes.
    pub fn on<'a>(&'a self, verdict: Verdict<'a>) -> Verdict<'a> {
        let has_none = self.stripped.is_empty() && self.told.is_empty();
        if has_none || !matches!(verdict, Verdict::Pass) {
            return verdict;
        }
        let mut edits: Vec<Edit<'_>> = self.stripped.iter().map(|name| Edit::Remove(name)).collect();
        if !self.told.is_empty() {
            edits.push(Edit::Set(TOLD, &self.told));
        }
        Verdict::Edit(edits)
    }
}
