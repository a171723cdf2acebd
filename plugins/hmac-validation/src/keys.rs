//! The keys of a policy, from the proxy's environment. They can't be printed.
//!
//! 1. They are read when a configuration is; a variable that changes alone changes nothing before the next one.
//! 2. A variable that isn't there is a key that isn't at hand: the policy loads, and where no key is left a request is
//!    answered 503, since some senders give a webhook up for good on a 4xx.
//! 3. A variable that is empty, or isn't written as it should be, refuses the configuration.

use portcullis_kit::{config::ConfigError, host::Secrets, secret::Secret};

use crate::{
    config::{HmacValidation, SecretPlace},
    encoding::{self, Encoding},
    mac::{self, Schedule},
    scheme::{KeyForm, Kind},
};

/// One key, ready for use.
pub struct Key {
    /// Position among the policy's secrets.
    pub index: usize,
    pub from: u64,
    pub until: u64,
    pub lock: Lock,
}

/// What a key is compared with.
pub enum Lock {
    Mac(Schedule),
    /// The digest of a token.
    Token(Vec<u8>),
}

impl Key {
    /// Whether it is good at a time, in milliseconds since 1970.
    pub fn is_good(&self, now: u64) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// The keys that are at hand, and the variables that aren't there.
///
/// # Errors
/// A secret that is empty or isn't written as it should be.
pub fn read<'p>(host: &mut impl Secrets, policy: &'p HmacValidation) -> Result<(Vec<Key>, Vec<&'p str>), ConfigError> {
    let (mut keys, mut missing) = (Vec::new(), Vec::new());
    for (index, place) in policy.secrets.iter().enumerate() {
        match host.secret(&place.env) {
            None => missing.push(place.env.as_str()),
            Some(secret) => {
                let key = key(&secret, index, place, policy).map_err(|error| error.at(index).under("secrets"))?;
                keys.push(key);
            }
        }
    }
    Ok((keys, missing))
}

/// The digest of the token that a handshake brings; its variable joins those that are missing.
///
/// # Errors
/// A token that is empty, or with a blank at its end.
pub fn verify_token<'p>(
    host: &mut impl Secrets,
    policy: &'p HmacValidation,
    missing: &mut Vec<&'p str>,
) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(env) = &policy.verify_token else { return Ok(None) };
    let Some(token) = host.secret(env) else {
        missing.push(env);
        return Ok(None);
    };
    if token.reveal().last().is_none_or(u8::is_ascii_whitespace) {
        let why = format!("the environment variable {env} is empty, or ends with a blank or a line break");
        return Err(ConfigError::new(why).under("verify_token"));
    }
    Ok(Some(mac::digest(token.reveal())))
}

fn key(secret: &Secret, index: usize, place: &SecretPlace, policy: &HmacValidation) -> Result<Key, ConfigError> {
    let wrong = |why: &str| ConfigError::new(format!("the environment variable {} {why}", place.env));
    let text = secret.reveal();
    let bytes = match place.form {
        KeyForm::Text => Some(text.to_vec()),
        KeyForm::Hex => encoding::hex(text),
        KeyForm::Base64 => base64(text),
        KeyForm::Whsec => base64(text.strip_prefix(b"whsec_").unwrap_or(text)),
    };
    // A file's line break at the end of a secret is the usual mistake, and no signature would ever fit.
    if place.form == KeyForm::Text && text.last().is_some_and(u8::is_ascii_whitespace) {
        return Err(wrong("ends with a blank or a line break; take it away"));
    }
    let bytes = Secret::new(bytes.ok_or_else(|| wrong("isn't written as its `encoding` says"))?);
    if bytes.is_empty() {
        return Err(wrong("is empty"));
    }
    let lock = match policy.scheme.kind {
        Kind::Hmac => Lock::Mac(Schedule::new(policy.scheme.algorithm, bytes.reveal())),
        Kind::Token | Kind::Basic => Lock::Token(mac::digest(bytes.reveal())),
    };
    Ok(Key { index, from: place.from, until: place.until, lock })
}

/// In either alphabet, with or without its padding: people copy keys from many places.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<u8> = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text)
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        })
        .collect();
    Encoding::Base64Url.decode(&plain)
}
