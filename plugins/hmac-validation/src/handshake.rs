//! Handshakes: before a provider sends deliveries it asks the endpoint for an answer. With `handshake: answer` the edge
//! gives it, and the backend never hears of it.
//!
//! 1. A challenge in the body (Slack, Zoom) is answered behind a signature that holds, and isn't remembered.
//! 2. One in the query isn't signed: Meta's comes with a token of the operator's, Dropbox's with nothing.
//! 3. What is sent back is 1 to 256 letters, digits and `-_.~+/=`, as plain text or JSON that no browser takes for a page.
//! 4. Zoom's is signed with the key of its deliveries. What those sign has colons, so no answer is a delivery's signature.

use portcullis_kit::{Policy, config::ConfigError, head::RequestHead, reason::Reason, verdict::Reply, words};

use crate::{
    config::HmacValidation,
    decide::{AUTH_INVALID_TOKEN, HANDSHAKE_ANSWERED, HANDSHAKE_MALFORMED, NO_KEY},
    encoding::to_hex,
    form,
    json::{self, Member},
    keys::{Key, Lock},
    mac,
    source::{self, Absent, Source},
};

words! {
    /// Who answers a provider's handshake.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Handshakes {
        /// It is a request like any other.
        #[default]
        Ignore = "ignore",
        /// The edge does.
        Answer = "answer",
    }
}

/// A provider's handshake, as it stands beside its preset.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub challenge: &'static str,
    /// What must stand where for it to be one.
    pub mark: Option<(&'static str, &'static str)>,
    /// Where the operator's token stands.
    pub token: Option<&'static str>,
    pub answer: Answer,
}

/// What is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The challenge, as plain text.
    Echo,
    /// The challenge and its MAC, as `plainToken` and `encryptedToken` of a JSON object.
    Signed,
}

pub const SLACK: Preset = Preset {
    challenge: "json:/challenge",
    mark: Some(("json:/type", "url_verification")),
    token: None,
    answer: Answer::Echo,
};

pub const ZOOM: Preset = Preset {
    challenge: "json:/payload/plainToken",
    mark: Some(("json:/event", "endpoint.url_validation")),
    token: None,
    answer: Answer::Signed,
};

pub const META: Preset = Preset {
    challenge: "query:hub.challenge",
    mark: Some(("query:hub.mode", "subscribe")),
    token: Some("query:hub.verify_token"),
    answer: Answer::Echo,
};

pub const DROPBOX: Preset = Preset { challenge: "query:challenge", mark: None, token: None, answer: Answer::Echo };

/// A handshake that is answered.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub challenge: Source,
    pub mark: Option<(Source, &'static str)>,
    pub token: Option<Source>,
    pub answer: Answer,
}

impl Preset {
    /// # Errors
    /// None for those of this file, which a test holds.
    pub fn read(self) -> Result<Handshake, ConfigError> {
        let read = |text: &str| source::read(text).ok_or_else(|| ConfigError::new("is no source"));
        let mark = match self.mark {
            Some((at, mark)) => Some((read(at)?, mark)),
            None => None,
        };
        Ok(Handshake {
            challenge: read(self.challenge)?,
            mark,
            token: self.token.map(read).transpose()?,
            answer: self.answer,
        })
    }
}

/// Bytes of a body that can be one.
pub const LONGEST_BODY: usize = 4096;
const LONGEST_CHALLENGE: usize = 256;

impl Handshake {
    /// What to answer to a request by its head alone; `None` where it is none. `token` is the digest of the operator's.
    pub fn in_head(&self, head: &RequestHead, token: Option<&[u8]>) -> Option<Result<Reply, Reason>> {
        let is_missing = self.challenge.read(head) == Err(Absent::Missing);
        if self.challenge.is_in_body() || head.method != b"GET" || is_missing {
            return None;
        }
        if self.mark.as_ref().is_some_and(|(source, mark)| source.read(head) != Ok(mark.as_bytes())) {
            return None;
        }
        let value = |source: &Source| source.read(head).ok().and_then(form::decoded);
        if let Some(source) = &self.token {
            let Some(token) = token else { return Some(Err(NO_KEY)) };
            if !value(source).is_some_and(|given| mac::same(&mac::digest(&given), token)) {
                return Some(Err(AUTH_INVALID_TOKEN));
            }
        }
        Some(self.answer(value(&self.challenge), None))
    }

    /// What to answer to a delivery whose signature holds under this key; `None` where it is no handshake.
    pub fn in_body(&self, body: &[u8], key: &Key) -> Option<Result<Reply, Reason>> {
        let (Source::Json { pointer, .. }, Some((Source::Json { pointer: at, .. }, mark))) =
            (&self.challenge, &self.mark)
        else {
            return None;
        };
        let [found, challenge] = json::members(body, &[at, pointer]).ok()?.try_into().ok()?;
        let is_marked = found == Some(Member::Text(mark.as_bytes().to_vec()));
        let challenge = match challenge {
            Some(Member::Text(text)) => Some(text),
            _ => None,
        };
        is_marked.then(|| self.answer(challenge, Some(key)))
    }

    fn answer(&self, challenge: Option<Vec<u8>>, key: Option<&Key>) -> Result<Reply, Reason> {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(byte);
        let challenge = challenge
            .filter(|text| (1..=LONGEST_CHALLENGE).contains(&text.len()) && text.iter().all(fits))
            .ok_or(HANDSHAKE_MALFORMED)?;
        let (content_type, body): (&[u8], _) = match (self.answer, key.map(|key| &key.lock)) {
            (Answer::Echo, _) => (b"text/plain", challenge),
            (Answer::Signed, Some(Lock::Mac(schedule))) => {
                let mut mac = schedule.begin();
                mac.update(&challenge);
                let mac = to_hex(&mac.finish());
                let parts: [&[u8]; 5] =
                    [br#"{"plainToken":""#, &challenge, br#"","encryptedToken":""#, mac.as_bytes(), br#""}"#];
                (b"application/json", parts.concat())
            }
            (Answer::Signed, _) => return Err(NO_KEY),
        };
        let lines: [(&[u8], &[u8]); 3] =
            [(b"content-type", content_type), (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")];
        Ok(Reply {
            headers: lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body,
            ..Reply::empty(200, HANDSHAKE_ANSWERED.of(HmacValidation::FILTER))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mac::{Algorithm, Schedule};

    fn handshake(preset: Preset) -> Handshake {
        preset.read().unwrap()
    }

    fn get(path: &str) -> RequestHead {
        RequestHead { method: b"GET".to_vec(), path: path.into(), ..RequestHead::default() }
    }

    fn key() -> Key {
        Key { index: 0, from: 0, until: u64::MAX, lock: Lock::Mac(Schedule::new(Algorithm::Sha256, b"secret")) }
    }

    #[test]
    fn a_challenge_of_meta_needs_the_mode_and_the_token() {
        let (meta, token) = (handshake(META), mac::digest(b"a b"));
        let of = |path: &str| meta.in_head(&get(path), Some(&token)).map(|found| found.map(|reply| reply.body));
        assert_eq!(of("/?hub.mode=subscribe&hub.challenge=17&hub.verify_token=a%20b"), Some(Ok(b"17".to_vec())));
        assert_eq!(of("/?hub.mode=subscribe&hub.challenge=17&hub.verify_token=b"), Some(Err(AUTH_INVALID_TOKEN)));
        assert_eq!(of("/?hub.mode=subscribe&hub.challenge=17"), Some(Err(AUTH_INVALID_TOKEN)));
        assert_eq!(of("/?hub.mode=unsubscribe&hub.challenge=17&hub.verify_token=a+b"), None);
        assert_eq!(of("/?hub.mode=subscribe&hub.verify_token=a+b"), None);
        let without = meta.in_head(&get("/?hub.mode=subscribe&hub.challenge=17&hub.verify_token="), None);
        assert_eq!(without, Some(Err(NO_KEY)));
        let mut post = get("/?hub.mode=subscribe&hub.challenge=17&hub.verify_token=a+b");
        post.method = b"POST".to_vec();
        assert_eq!(meta.in_head(&post, Some(&token)), None);
    }

    #[test]
    fn a_challenge_that_stands_twice_or_holds_markup_is_no_challenge() {
        let dropbox = handshake(DROPBOX);
        let long = ["/?challenge=", &"a".repeat(257)].concat();
        for path in
            ["/?challenge=a&challenge=a", "/?challenge=%3Cb%3E", "/?challenge=a%0d%0ab", "/?challenge=%zz", &long]
        {
            assert_eq!(dropbox.in_head(&get(path), None), Some(Err(HANDSHAKE_MALFORMED)), "{path}");
        }
    }

    #[test]
    fn what_zoom_is_answered_is_never_the_signature_of_a_delivery() {
        let of = |token: &str| {
            let body = format!(r#"{{"event":"endpoint.url_validation","payload":{{"plainToken":"{token}"}}}}"#);
            handshake(ZOOM).in_body(body.as_bytes(), &key())
        };
        assert_eq!(of("v0:1790000000:{}"), Some(Err(HANDSHAKE_MALFORMED)));
        assert_eq!(of("v0:1790000000:a"), Some(Err(HANDSHAKE_MALFORMED)));
        assert!(of("qgg8vlvZRS6UYooatFL8Aw").unwrap().is_ok());
    }

    #[test]
    fn a_body_that_is_no_handshake_or_says_it_twice_is_a_delivery() {
        let slack = handshake(SLACK);
        for body in [
            "",
            "{}",
            r#"{"type":"event_callback","challenge":"a"}"#,
            r#"{"type":"url_verification","type":"b","challenge":"a"}"#,
        ] {
            assert_eq!(slack.in_body(body.as_bytes(), &key()), None, "{body}");
        }
        assert_eq!(slack.in_body(br#"{"type":"url_verification"}"#, &key()), Some(Err(HANDSHAKE_MALFORMED)));
    }

    proptest! {
        #[test]
        fn nothing_that_a_page_is_made_of_is_ever_sent_back(challenge in "[ -~]{0,24}", bytes: Vec<u8>) {
            let path = [b"/?challenge=", challenge.as_bytes(), &bytes[..]].concat();
            let head = RequestHead { method: b"GET".to_vec(), path, ..RequestHead::default() };
            if let Some(Ok(reply)) = handshake(DROPBOX).in_head(&head, None) {
                prop_assert!(reply.body.iter().all(|byte| !b"<>&\"'\\ ".contains(byte) && byte.is_ascii_graphic()));
                prop_assert!(reply.headers.contains(&(b"content-type".to_vec(), b"text/plain".to_vec())));
            }
        }
    }
}
