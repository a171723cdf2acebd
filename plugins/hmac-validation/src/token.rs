//! Shared tokens, bearer tokens, user and password: compared with every key by its digest, since values of unlike length would
//! tell theirs by the time that they take.

use portcullis_kit::{head::RequestHead, reason::Reason};

use crate::{
    config::HmacValidation,
    decide::{AUTH_INVALID_TOKEN, NO_KEY, TENANT_UNKNOWN, Verified},
    encoding::Encoding,
    keys::{Key, Lock},
    mac,
    scheme::Kind,
    syntax::Syntax,
};

/// What to do with a request whose head is there.
///
/// # Errors
/// Why it isn't believed, or can't be.
pub fn decide(
    policy: &HmacValidation,
    keys: &[Key],
    head: &RequestHead,
    now: u64,
    tenant: Option<Option<&str>>,
) -> Result<Verified, Reason> {
    let scheme = &policy.scheme;
    let value = scheme.signature.read(head).map_err(|_| AUTH_INVALID_TOKEN)?;
    let prefix = match &scheme.syntax {
        Syntax::Plain { prefix } => prefix.as_bytes(),
        Syntax::List(_) => return Err(AUTH_INVALID_TOKEN),
    };
    // RFC 9110 §11.1: the scheme's name is case-insensitive.
    let (name, token) = value.split_at_checked(prefix.len()).ok_or(AUTH_INVALID_TOKEN)?;
    if !name.eq_ignore_ascii_case(prefix) {
        return Err(AUTH_INVALID_TOKEN);
    }
    let token = match scheme.kind {
        Kind::Basic => Encoding::Base64.decode(token).ok_or(AUTH_INVALID_TOKEN)?,
        Kind::Token | Kind::Hmac => token.to_vec(),
    };
    let digest = mac::digest(&token);
    let (mut matched, mut any) = (None, false);
    for key in keys.iter().filter(|key| key.is_good(now) && policy.is_of(key, tenant)) {
        any = true;
        if let Lock::Token(known) = &key.lock
            && mac::same(known, &digest)
        {
            matched = Some(key.index);
        }
    }
    match matched {
        Some(key) => Ok(Verified { key, timestamp: None, id: None, mac: None, time: None, short: None }),
        None if tenant == Some(None) => Err(TENANT_UNKNOWN),
        None if any => Err(AUTH_INVALID_TOKEN),
        None => Err(NO_KEY),
    }
}
