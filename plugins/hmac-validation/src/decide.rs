//! Every decision of this filter, in two steps: [`begin`] with the head, before a byte of the body is held, and
//! [`Pending::finish`] behind the last one.
//!
//! 1. What decides stands once, isn't named by `Connection`, and is written exactly as the scheme has it.
//! 2. The time is among the signed bytes, and is neither too old nor ahead.
//! 3. Without a key that is good now nothing is believed.
//! 4. Each byte is hashed once, as it comes, under each key.
//! 5. Every signature is compared with the MAC of every key, in a time that says nothing about them.
//! 6. What stands in the body decides behind its last byte, and, where the body is signed, behind its signature.

use portcullis_kit::{head::RequestHead, reason::Reason};

use crate::{
    config::HmacValidation,
    handshake::LONGEST_BODY,
    json::{self, Member},
    keys::{Key, Lock},
    mac::{self, Mac, Schedule},
    moment::Form,
    scheme::Kind,
    source::{Absent, Source},
    template::{Facts, Part},
    token,
};

/// The delivery is genuine and fresh.
pub const VERIFIED: Reason = Reason("verified");
pub const SIGNATURE_MISSING: Reason = Reason("signature_missing");
/// The signature's header or parameter stands twice.
pub const SIGNATURE_REPEATED: Reason = Reason("signature_repeated");
/// Alphabet or length are those of no MAC of the scheme.
pub const SIGNATURE_MALFORMED: Reason = Reason("signature_malformed");
/// The prefix, or every version of a list, is another than the scheme's.
pub const SIGNATURE_VERSION_UNKNOWN: Reason = Reason("signature_version_unknown");
/// No key makes it.
pub const SIGNATURE_WRONG: Reason = Reason("signature_wrong");
pub const TIMESTAMP_MISSING: Reason = Reason("timestamp_missing");
pub const TIMESTAMP_REPEATED: Reason = Reason("timestamp_repeated");
pub const TIMESTAMP_MALFORMED: Reason = Reason("timestamp_malformed");
pub const TIMESTAMP_TOO_OLD: Reason = Reason("timestamp_too_old");
pub const TIMESTAMP_IN_FUTURE: Reason = Reason("timestamp_in_future");
pub const ID_MISSING: Reason = Reason("id_missing");
pub const ID_REPEATED: Reason = Reason("id_repeated");
pub const ID_MALFORMED: Reason = Reason("id_malformed");
/// A header that is signed is missing or stands twice, or a member of the body is missing.
pub const SIGNED_PART_MISSING: Reason = Reason("signed_part_missing");
/// `Connection` names a header that decides, so that a hop before or behind could take it away.
pub const NAMED_BY_CONNECTION: Reason = Reason("named_by_connection");
/// The token is missing, stands twice or is wrong.
pub const AUTH_INVALID_TOKEN: Reason = Reason("auth_invalid_token");
/// The body isn't what the scheme reads: JSON, a form, or of another hash than the URL says.
pub const BODY_MALFORMED: Reason = Reason("body_malformed");
/// The head can't be read.
pub const HEAD_UNREADABLE: Reason = Reason("head_unreadable");
/// Nobody's keys: the tenant that the request names isn't known. It is worked on and answered as a wrong signature is.
pub const TENANT_UNKNOWN: Reason = Reason("tenant_unknown");
/// No key is at hand that is good now.
pub const NO_KEY: Reason = Reason("no_key");
/// The body is longer than `max_held_bytes`.
pub const BODY_TOO_LARGE: Reason = Reason("body_too_large");
/// This worker holds `max_held_bytes_per_worker` already.
pub const MEMORY_SPENT: Reason = Reason("memory_spent");
/// The proxy told no byte of a body that it holds.
pub const BODY_NOT_TOLD: Reason = Reason("body_not_told");
/// The body stopped on its way.
pub const BODY_STALLED: Reason = Reason("body_stalled");
/// The proxy doesn't let the body be read.
pub const BODY_UNREADABLE: Reason = Reason("body_unreadable");

/// The provider asked for a sign of life, and got it.
pub const HANDSHAKE_ANSWERED: Reason = Reason("handshake_answered");
/// It asked in a way that can't be answered: no challenge, two, or one that isn't plain.
pub const HANDSHAKE_MALFORMED: Reason = Reason("handshake_malformed");

/// Early data (RFC 8470) may be a replay, and where replays are refused it must wait for the handshake.
pub const EARLY_DATA: Reason = Reason("early_data");
/// The backend took this delivery before.
pub const REPLAYED: Reason = Reason("replayed");
/// The same delivery is with the backend; whether it takes it isn't known yet.
pub const DELIVERY_IN_FLIGHT: Reason = Reason("delivery_in_flight");
/// The memory of deliveries has no room.
pub const REPLAY_MEMORY_FULL: Reason = Reason("replay_memory_full");
/// The memory of deliveries can't be read or written, or held a stranger's value.
pub const REPLAY_STORE_FAILED: Reason = Reason("replay_store_failed");

/// All of them.
pub const REASONS: &[Reason] = &[
    VERIFIED,
    SIGNATURE_MISSING,
    SIGNATURE_REPEATED,
    SIGNATURE_MALFORMED,
    SIGNATURE_VERSION_UNKNOWN,
    SIGNATURE_WRONG,
    TIMESTAMP_MISSING,
    TIMESTAMP_REPEATED,
    TIMESTAMP_MALFORMED,
    TIMESTAMP_TOO_OLD,
    TIMESTAMP_IN_FUTURE,
    ID_MISSING,
    ID_REPEATED,
    ID_MALFORMED,
    SIGNED_PART_MISSING,
    NAMED_BY_CONNECTION,
    AUTH_INVALID_TOKEN,
    BODY_MALFORMED,
    HEAD_UNREADABLE,
    TENANT_UNKNOWN,
    NO_KEY,
    BODY_TOO_LARGE,
    MEMORY_SPENT,
    BODY_NOT_TOLD,
    BODY_STALLED,
    BODY_UNREADABLE,
    HANDSHAKE_ANSWERED,
    HANDSHAKE_MALFORMED,
    EARLY_DATA,
    REPLAYED,
    DELIVERY_IN_FLIGHT,
    REPLAY_MEMORY_FULL,
    REPLAY_STORE_FAILED,
];

/// Bytes of an id; it is told to the upstream.
const LONGEST_ID: usize = 256;

/// What is known once the head is.
pub enum Begun {
    /// The body has a say.
    Pending(Pending),
    /// It hasn't.
    Verified(Verified),
}

/// A delivery whose body is on its way.
pub struct Pending {
    /// With the position of the key among the policy's secrets.
    macs: Vec<(usize, Mac)>,
    /// Decoded, each of the length of a MAC.
    signatures: Vec<Vec<u8>>,
    rest: Rest,
    /// Bytes of the body that came.
    pub received: usize,
    told: Told,
    /// The body, as long as it can be a handshake.
    short: Option<Vec<u8>>,
}

/// What is hashed behind the body that came so far.
enum Rest {
    /// The body is hashed as it comes; then these bytes.
    Streamed { suffix: Vec<u8> },
    /// The body is kept, and all is hashed at its end.
    Whole { parts: Vec<Part>, body: Vec<u8> },
}

/// What a delivery says of itself, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    timestamp: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

/// A delivery that is genuine and fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Position of the key among the policy's secrets.
    pub key: usize,
    /// As they are written, where the scheme has them; both were signed.
    pub timestamp: Option<Vec<u8>>,
    pub id: Option<Vec<u8>>,
    /// The MAC that was computed; none of a token.
    pub mac: Option<Vec<u8>>,
    /// Its time, in milliseconds since 1970.
    pub time: Option<u64>,
    /// The body, where it can be a handshake.
    pub short: Option<Vec<u8>>,
}

/// What to do with a request whose head is there; `now` in milliseconds since 1970.
///
/// # Errors
/// Why it isn't believed, or can't be.
pub fn begin(policy: &HmacValidation, keys: &[Key], head: Option<&RequestHead>, now: u64) -> Result<Begun, Reason> {
    let head = head.ok_or(HEAD_UNREADABLE)?;
    let scheme = &policy.scheme;
    if names_one_of(head, scheme.headers().chain(policy.tenant.iter().filter_map(Source::header))) {
        return Err(NAMED_BY_CONNECTION);
    }
    if policy.remember.is_some() && head.headers.all(b"early-data").any(|value| value == b"1") {
        return Err(EARLY_DATA);
    }
    let tenant = policy.tenant(head);
    if scheme.kind != Kind::Hmac {
        return token::decide(policy, keys, head, now, tenant).map(Begun::Verified);
    }
    let (mut signatures, mut told) = (Vec::new(), Told::default());
    if !scheme.signature.is_in_body() {
        let value = scheme.signature.read(head).map_err(|absent| match absent {
            Absent::Missing => SIGNATURE_MISSING,
            Absent::Repeated => SIGNATURE_REPEATED,
        })?;
        let found = scheme.syntax.read(value)?;
        told.timestamp = found.timestamp.map(<[u8]>::to_vec);
        signatures = policy.decoded(&found.signatures)?;
    }
    if let Some((source, form)) = scheme.timestamp.as_ref().filter(|(source, _)| !source.is_in_body()) {
        if !matches!(source, Source::Part(_)) {
            told.timestamp = Some(
                source
                    .read(head)
                    .map_err(|absent| match absent {
                        Absent::Missing => TIMESTAMP_MISSING,
                        Absent::Repeated => TIMESTAMP_REPEATED,
                    })?
                    .to_vec(),
            );
        }
        policy.check_time(told.timestamp.as_deref(), *form, now)?;
    }
    if let Some(source) = scheme.id.as_ref().filter(|source| !source.is_in_body()) {
        let id = source.read(head).map_err(|absent| match absent {
            Absent::Missing => ID_MISSING,
            Absent::Repeated => ID_REPEATED,
        })?;
        told.id = Some(check_id(id)?.to_vec());
    }
    let facts = Facts {
        public_url: &policy.public_url,
        timestamp: told.timestamp.as_deref().unwrap_or_default(),
        id: told.id.as_deref().unwrap_or_default(),
    };
    let parts = scheme.signed.parts(head, facts)?;
    let mut macs = Vec::new();
    for key in keys.iter().filter(|key| key.is_good(now) && policy.is_of(key, tenant)) {
        if let Lock::Mac(schedule) = &key.lock {
            macs.push((key.index, schedule.begin()));
        }
    }
    if tenant == Some(None) {
        // Work for nothing, so that the time says nothing either.
        macs.push((usize::MAX, Schedule::new(scheme.algorithm, b"").begin()));
    }
    if macs.is_empty() {
        return Err(NO_KEY);
    }
    let rest = match scheme.reads_whole_body() {
        true => Rest::Whole { parts, body: Vec::new() },
        false => {
            let (mut in_front, mut suffix) = (true, Vec::new());
            for part in parts {
                match part {
                    Part::Bytes(bytes) if in_front => macs.iter_mut().for_each(|(_, mac)| mac.update(&bytes)),
                    Part::Bytes(bytes) => suffix.extend(bytes),
                    _ => in_front = false,
                }
            }
            Rest::Streamed { suffix }
        }
    };
    let answers = policy.handshake.as_ref().is_some_and(|handshake| handshake.challenge.is_in_body());
    let short = answers.then(Vec::new);
    let pending = Pending { macs, signatures, rest, received: 0, told, short };
    match scheme.reads_body() {
        true => Ok(Begun::Pending(pending)),
        false => pending.finish(policy, now).map(Begun::Verified),
    }
}

impl Pending {
    /// Takes the next bytes of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.received += piece.len();
        self.short = self.short.take().filter(|_| self.received <= LONGEST_BODY).map(|mut short| {
            short.extend_from_slice(piece);
            short
        });
        match &mut self.rest {
            Rest::Streamed { .. } => self.macs.iter_mut().for_each(|(_, mac)| mac.update(piece)),
            Rest::Whole { body, .. } => body.extend_from_slice(piece),
        }
    }

    /// The body is over.
    ///
    /// # Errors
    /// Why it isn't believed.
    pub fn finish(mut self, policy: &HmacValidation, now: u64) -> Result<Verified, Reason> {
        let scheme = &policy.scheme;
        let body = match self.rest {
            Rest::Streamed { suffix } => {
                self.macs.iter_mut().for_each(|(_, mac)| mac.update(&suffix));
                Vec::new()
            }
            Rest::Whole { parts, body } => {
                if let Some(text) = member(&scheme.signature, &body)? {
                    let text = text.ok_or(SIGNATURE_MISSING)?;
                    let found = scheme.syntax.read(&text)?;
                    self.signatures = policy.decoded(&found.signatures)?;
                }
                for part in parts {
                    // The body itself may be long, and is hashed where it is.
                    match part {
                        Part::Body => self.macs.iter_mut().for_each(|(_, mac)| mac.update(&body)),
                        part => {
                            let bytes = part.bytes(&body)?;
                            self.macs.iter_mut().for_each(|(_, mac)| mac.update(&bytes));
                        }
                    }
                }
                body
            }
        };
        let is_strangers = self.macs.iter().any(|(key, _)| *key == usize::MAX);
        let (mut matched, mut made) = (None, None);
        for (key, mac) in self.macs {
            let mac = mac.finish();
            for signature in &self.signatures {
                if mac::same(&mac, signature) {
                    matched = Some(key);
                }
            }
            if matched == Some(key) {
                made = Some(mac);
            }
        }
        if is_strangers {
            return Err(TENANT_UNKNOWN);
        }
        let key = matched.ok_or(SIGNATURE_WRONG)?;
        let mut told = self.told;
        if let Some((source, form)) = &scheme.timestamp
            && let Some(text) = member(source, &body)?
        {
            told.timestamp = Some(text.ok_or(TIMESTAMP_MISSING)?);
            policy.check_time(told.timestamp.as_deref(), *form, now)?;
        }
        if let Some(source) = &scheme.id
            && let Some(text) = member(source, &body)?
        {
            let id = text.ok_or(ID_MISSING)?;
            told.id = Some(check_id(&id)?.to_vec());
        }
        let form = scheme.timestamp.as_ref().map(|(_, form)| *form);
        let time = form.zip(told.timestamp.as_deref()).and_then(|(form, text)| form.read(text));
        Ok(Verified { key, timestamp: told.timestamp, id: told.id, mac: made, time, short: self.short })
    }
}

impl HmacValidation {
    /// Whose keys count: `None` for all of them, `Some(None)` for nobody's.
    fn tenant(&self, head: &RequestHead) -> Option<Option<&str>> {
        let source = self.tenant.as_ref()?;
        let name = source.read(head).ok();
        let known = self.secrets.iter().find(|secret| name == Some(secret.tenant.as_bytes()));
        Some(known.map(|secret| secret.tenant.as_str()))
    }

    pub(crate) fn is_of(&self, key: &Key, tenant: Option<Option<&str>>) -> bool {
        let of = self.secrets.get(key.index).map(|secret| secret.tenant.as_str());
        tenant.is_none_or(|tenant| tenant.is_some() && tenant == of)
    }

    /// Those of the signatures that can be one; one at least.
    fn decoded(&self, signatures: &[&[u8]]) -> Result<Vec<Vec<u8>>, Reason> {
        let (encoding, size) = (self.scheme.encoding, self.scheme.algorithm.size());
        let decoded = |text: &&[u8]| encoding.decode(text).filter(|mac| mac.len() == size);
        let decoded: Vec<Vec<u8>> = signatures.iter().filter_map(decoded).collect();
        if decoded.is_empty() { Err(SIGNATURE_MALFORMED) } else { Ok(decoded) }
    }

    fn check_time(&self, text: Option<&[u8]>, form: Form, now: u64) -> Result<(), Reason> {
        let time = form.read(text.ok_or(TIMESTAMP_MISSING)?).ok_or(TIMESTAMP_MALFORMED)?;
        let beyond = |distance: u64, most: Option<u64>| most.is_some_and(|most| distance > most);
        if beyond(now.saturating_sub(time), self.past) {
            Err(TIMESTAMP_TOO_OLD)
        } else if beyond(time.saturating_sub(now), self.future) {
            Err(TIMESTAMP_IN_FUTURE)
        } else {
            Ok(())
        }
    }
}

/// The text of a source in the body: `None` for a source elsewhere, `Some(None)` where the member isn't there.
fn member(source: &Source, body: &[u8]) -> Result<Option<Option<Vec<u8>>>, Reason> {
    let Source::Json { pointer, number } = source else { return Ok(None) };
    let found = json::members(body, &[pointer]).map_err(|_| BODY_MALFORMED)?;
    Ok(Some(match found.into_iter().next().flatten() {
        Some(Member::Number(text)) => Some(text),
        Some(Member::Text(text)) if !number => Some(text),
        _ => None,
    }))
}

/// Visible ASCII without the dot that parts it from what is signed behind it.
fn check_id(id: &[u8]) -> Result<&[u8], Reason> {
    let fits = |byte: &u8| byte.is_ascii_graphic() && *byte != b'.';
    if (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(fits) { Ok(id) } else { Err(ID_MALFORMED) }
}

fn names_one_of<'a>(head: &RequestHead, mut deciding: impl Iterator<Item = &'a str>) -> bool {
    let named: Vec<&[u8]> = head
        .headers
        .all(b"connection")
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    !named.is_empty() && deciding.any(|name| named.iter().any(|known| known.eq_ignore_ascii_case(name.as_bytes())))
}

/// The status of a refusal, and whether the operator's own answer may stand in its place.
pub fn status(reason: Reason) -> (u16, bool) {
    match reason {
        BODY_TOO_LARGE => (413, false),
        BODY_STALLED => (408, false),
        EARLY_DATA => (425, false),
        NO_KEY | MEMORY_SPENT | BODY_NOT_TOLD | BODY_UNREADABLE => (503, false),
        // The sender tries again later.
        DELIVERY_IN_FLIGHT | REPLAY_MEMORY_FULL | REPLAY_STORE_FAILED => (503, false),
        _ => (401, true),
    }
}
