//! A policy as it is written, and as it is once it can't be wrong. Keys aren't in it: they come from the proxy's
//! environment, when the configuration was read ([`keys`](crate::keys)).

use portcullis_kit::{
    Policy,
    config::{ConfigError, Value, meant},
    fields,
    mode::Mode,
    reason::Reason,
    refusal::{RawRefusal, Refusal},
    words,
};

use crate::{
    decide,
    handshake::{self, Handshake, Handshakes},
    mac, moment, presets,
    scheme::{KeyForm, Kind, RawScheme, Scheme},
    source::Source,
    span::Span,
};

fields! {
    /// What stands beside the policies.
    #[derive(Clone, Debug)]
    pub struct Settings {
        /// Bytes of bodies that one worker holds at most; a request beyond that is answered 503. Default: 64 MiB.
        pub max_held_bytes_per_worker: u32 = default(64 << 20),
        /// How many deliveries all workers together remember, at 28 bytes each. Default: 16384.
        pub remembered_deliveries: u32 = default(16384),
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_held_bytes_per_worker: 64 << 20, remembered_deliveries: 16384 }
    }
}

fields! {
    /// A policy of signed deliveries, as it is written.
    #[derive(Clone, Debug)]
    pub struct RawHmacValidation {
        /// `enforce` acts, `shadow` counts and records what it would do, `off` does nothing.
        pub mode: Mode = default,
        /// Whose scheme it is: `github`, `stripe`, … This or `scheme`.
        pub provider: Option<String> = default,
        /// A scheme of your own.
        pub scheme: Option<RawScheme> = default,
        /// 1 to 8 keys, of each tenant where there are any; each is good by itself.
        pub secrets: Vec<RawSecret> = default,
        /// Where a request says whose keys count.
        pub tenant: Option<Source> = default,
        /// Scheme and host under which the sender knows this edge, as `https://hooks.example.com`.
        pub public_url: Option<String> = default,
        /// How old, or how far ahead, a delivery's time may be. Default: the provider's.
        pub tolerance: Option<RawTolerance> = default,
        /// What becomes of a delivery that the backend took before. Default: `refuse` where its time, or `remember`, says for
        /// how long.
        pub replays: Option<Replays> = default,
        /// How long a delivery without a time is remembered. Default: not at all.
        pub remember: Option<Span> = default,
        /// `answer`: the edge answers the provider's handshake, in the backend's place. Default: `ignore`.
        pub handshake: Handshakes = default,
        /// The environment variable that holds the token which a handshake of `meta` or `whatsapp` must bring.
        pub verify_token: Option<String> = default,
        /// Bytes of a body that is held; a longer one is answered 413. Default: the provider's largest, 1 MiB for a scheme of your own.
        pub max_held_bytes: Option<u32> = default,
        /// How long a held request may go without a byte. Default: `10s`.
        pub hold_timeout: Option<Span> = default,
        /// What a sender that isn't believed is told. Default: 401.
        pub refusal: RawRefusal = default,
    }
}

words! {
    /// What becomes of a delivery that comes again.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Replays {
        Refuse = "refuse",
        Admit = "admit",
    }
}

fields! {
    /// Where a key comes from.
    #[derive(Clone, Debug)]
    pub struct RawSecret {
        /// 1 to 64 letters, digits, `-`, `_` and `.`: stands in records, and is told to the upstream.
        pub id: String,
        /// Whose it is, where the policy asks for a `tenant`.
        pub tenant: Option<String> = default,
        /// The environment variable that holds it.
        pub env: String,
        /// How it is written. Default: as the scheme has it, mostly `text`.
        pub encoding: Option<KeyForm> = default,
        /// Not good before this time, `2026-11-21T00:00:00Z`.
        pub not_before: Option<String> = default,
        /// Not good from this time on.
        pub not_after: Option<String> = default,
    }
}

fields! {
    /// Seconds.
    #[derive(Clone, Debug)]
    pub struct RawTolerance {
        /// How old a delivery may be. Default: the provider's.
        pub past: Option<u32> = default,
        /// How far ahead of this clock its time may be. Default: the provider's.
        pub future: Option<u32> = default,
    }
}

/// A policy of signed deliveries.
#[derive(Clone, Debug)]
pub struct HmacValidation {
    pub mode: Mode,
    /// `custom` for a scheme of the operator's own.
    pub provider: &'static str,
    pub scheme: Scheme,
    pub tenant: Option<Source>,
    pub secrets: Vec<SecretPlace>,
    /// Without a slash at its end; empty where none is given.
    pub public_url: String,
    /// Milliseconds; `None` for any.
    pub past: Option<u64>,
    pub future: Option<u64>,
    /// How long a delivery is remembered; `None` for not at all.
    pub remember: Option<Remember>,
    pub handshake: Option<Handshake>,
    /// The variable of the token that a handshake must bring.
    pub verify_token: Option<String>,
    pub max_held_bytes: usize,
    /// Milliseconds.
    pub hold_timeout: u64,
    pub refusal: Refusal,
}

/// How long a delivery is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// Until its own time is too old: milliseconds behind it.
    Behind(u64),
    /// Milliseconds from now on.
    For(u64),
}

/// Where a key is, and when it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlace {
    pub id: String,
    /// Empty for all.
    pub tenant: String,
    pub env: String,
    pub form: KeyForm,
    /// Milliseconds since 1970.
    pub from: u64,
    pub until: u64,
}

/// Of one tenant: a body is hashed under each.
const MOST_SECRETS: usize = 8;
/// Of all tenants.
const MOST_OF_ALL: usize = 1024;

impl Policy for HmacValidation {
    type Settings = Settings;
    const SETTINGS: &'static [&'static str] = &["max_held_bytes_per_worker", "remembered_deliveries"];

    const FILTER: &'static str = "hmac_validation";
    const REASONS: &'static [Reason] = decide::REASONS;
    const OVERRIDABLE: &'static [&'static str] = &["mode", "refusal"];

    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.typed::<RawHmacValidation>()?.try_into()
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}

impl TryFrom<RawHmacValidation> for HmacValidation {
    type Error = ConfigError;

    fn try_from(raw: RawHmacValidation) -> Result<Self, ConfigError> {
        // For routes where nobody signs anything, a policy that says so and no more.
        let is_empty = raw.mode == Mode::Off && raw.scheme.is_none() && raw.secrets.is_empty();
        let provider = raw.provider.or_else(|| is_empty.then(|| "github".to_owned()));
        let (provider, scheme, (past, future), largest, handshake) = match (provider, raw.scheme) {
            (Some(name), None) => {
                let preset = presets::of(&name).ok_or_else(|| no_preset(&name).under("provider"))?;
                (preset.name, preset.scheme()?, (preset.past, preset.future), preset.largest, preset.handshake)
            }
            (None, Some(scheme)) => {
                let scheme = Scheme::try_from(scheme).map_err(|error| error.under("scheme"))?;
                let tolerance = scheme.timestamp.is_some().then_some(300);
                ("custom", scheme, (tolerance, tolerance), 1 << 20, None)
            }
            _ => return Err(ConfigError::new("needs a `provider` or a `scheme`, and not both")),
        };
        if raw.tolerance.is_some() && scheme.timestamp.is_none() {
            return Err(ConfigError::new("has no effect: the scheme has no time").under("tolerance"));
        }
        let given = raw.tolerance.unwrap_or(RawTolerance { past: None, future: None });
        let millis =
            |given: Option<u32>, preset: Option<u32>| given.or(preset).map(|seconds| u64::from(seconds) * 1000);
        let past = millis(given.past, past);
        let future = millis(given.future, future);
        let remember = remembered(raw.replays, raw.remember, &scheme, past)?;
        let handshake = read_handshake(handshake, raw.handshake, raw.verify_token.as_deref())?;
        let public_url = read_public_url(raw.public_url, &scheme).map_err(|error| error.under("public_url"))?;
        let max_held_bytes = raw.max_held_bytes.unwrap_or(largest);
        if max_held_bytes > mac::LONGEST {
            return Err(ConfigError::new("is more than 268435456 (256 MiB), the most that can be hashed")
                .under("max_held_bytes"));
        }
        if raw.secrets.is_empty() && !is_empty || raw.secrets.len() > MOST_OF_ALL {
            return Err(ConfigError::new("holds one to 1024 secrets").under("secrets"));
        }
        if raw.tenant.as_ref().is_some_and(|source| source.is_in_body() || matches!(source, Source::Part(_))) {
            return Err(
                ConfigError::new("stands in the head: `header:NAME`, `query:NAME` or `segment:NUMBER`").under("tenant")
            );
        }
        let has_tenants = raw.tenant.is_some();
        let mut secrets: Vec<SecretPlace> = Vec::new();
        for (index, secret) in raw.secrets.into_iter().enumerate() {
            let read = read_secret(secret, &scheme, &secrets, has_tenants)
                .map_err(|error| error.at(index).under("secrets"))?;
            secrets.push(read);
        }
        Ok(Self {
            mode: raw.mode,
            provider,
            tenant: raw.tenant,
            secrets,
            public_url,
            past,
            future,
            remember,
            handshake,
            verify_token: raw.verify_token,
            max_held_bytes: max_held_bytes as usize,
            hold_timeout: raw.hold_timeout.map_or(10_000, |Span(millis)| millis),
            refusal: Refusal::try_from(raw.refusal).map_err(|error| error.under("refusal"))?,
            scheme,
        })
    }
}

fn remembered(
    replays: Option<Replays>,
    remember: Option<Span>,
    scheme: &Scheme,
    past: Option<u64>,
) -> Result<Option<Remember>, ConfigError> {
    if scheme.kind != Kind::Hmac && (replays == Some(Replays::Refuse) || remember.is_some()) {
        return Err(ConfigError::new("has no effect: a token is the same in each request").under("replays"));
    }
    let known = match remember {
        Some(Span(millis)) => Some(Remember::For(millis)),
        None => past.filter(|_| scheme.timestamp.is_some()).map(Remember::Behind),
    };
    match (replays, known) {
        (Some(Replays::Admit), _) if remember.is_some() => {
            Err(ConfigError::new("has no effect with `replays: admit`; remove one of the two").under("remember"))
        }
        (Some(Replays::Admit), _) => Ok(None),
        (Some(Replays::Refuse), None) => {
            Err(ConfigError::new("needs `remember`, since the scheme has no time that grows too old").under("replays"))
        }
        (_, known) => Ok(known),
    }
}

fn read_handshake(
    preset: Option<handshake::Preset>,
    switch: Handshakes,
    verify_token: Option<&str>,
) -> Result<Option<Handshake>, ConfigError> {
    let preset = match (preset, switch) {
        (Some(preset), Handshakes::Answer) => Some(preset),
        (None, Handshakes::Answer) => {
            return Err(ConfigError::new("has no effect: no handshake of this provider is known").under("handshake"));
        }
        (_, Handshakes::Ignore) => None,
    };
    let wrong = |why: &'static str| Err(ConfigError::new(why).under("verify_token"));
    match (preset.is_some_and(|preset| preset.token.is_some()), verify_token) {
        (true, None) => wrong("is missing: the provider's handshake brings it"),
        (true, Some(env)) if !is_variable(env) => wrong("is no name of an environment variable"),
        (false, Some(_)) => wrong("has no effect: no handshake is answered that brings it"),
        _ => preset.map(handshake::Preset::read).transpose(),
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.bytes().any(|byte| matches!(byte, b'=' | 0))
}

fn no_preset(name: &str) -> ConfigError {
    let known: Vec<&str> = presets::ALL.iter().map(|preset| preset.name).collect();
    let hint = meant(name, known.iter().copied());
    ConfigError::new(format!(
        "`{name}` is no provider that is known{hint}; write its `scheme` (known: {})",
        known.join(", ")
    ))
}

fn read_secret(
    raw: RawSecret,
    scheme: &Scheme,
    before: &[SecretPlace],
    has_tenants: bool,
) -> Result<SecretPlace, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(1..=64).contains(&raw.id.len()) || !raw.id.bytes().all(plain) {
        return Err(ConfigError::new("is not 1 to 64 letters, digits, `-`, `_` and `.`").under("id"));
    }
    if before.iter().any(|known| known.id == raw.id) {
        return Err(ConfigError::new("stands twice").under("id"));
    }
    if !is_variable(&raw.env) {
        return Err(ConfigError::new("is no name of an environment variable").under("env"));
    }
    let tenant = raw.tenant.unwrap_or_default();
    if tenant.is_empty() == has_tenants {
        let why =
            if has_tenants { "is missing: the policy asks for a `tenant`" } else { "needs a `tenant` of the policy" };
        return Err(ConfigError::new(why).under("tenant"));
    }
    if before.iter().filter(|known| known.tenant == tenant).count() >= MOST_SECRETS {
        return Err(ConfigError::new("is the ninth of those that count together; at most eight do"));
    }
    let time = |text: Option<String>, name: &'static str| match text {
        None => Ok(None),
        Some(text) => moment::iso(text.as_bytes())
            .map(Some)
            .ok_or_else(|| ConfigError::new(format!("`{text}` is no time; write `2026-11-21T00:00:00Z`")).under(name)),
    };
    let (from, until) = (time(raw.not_before, "not_before")?, time(raw.not_after, "not_after")?);
    let (from, until) = (from.unwrap_or(0), until.unwrap_or(u64::MAX));
    if from >= until {
        return Err(ConfigError::new("is not behind `not_before`").under("not_after"));
    }
    if scheme.kind != Kind::Hmac && raw.encoding.is_some_and(|form| form != KeyForm::Text) {
        return Err(ConfigError::new("a token is compared as it stands").under("encoding"));
    }
    Ok(SecretPlace { id: raw.id, tenant, env: raw.env, form: raw.encoding.unwrap_or(scheme.key), from, until })
}

fn read_public_url(url: Option<String>, scheme: &Scheme) -> Result<String, ConfigError> {
    let Some(url) = url else {
        return match scheme.signed.needs_public_url() {
            true => Err(ConfigError::new(
                "is missing: the scheme signs the URL, and what a client says of it isn't believed",
            )),
            false => Ok(String::new()),
        };
    };
    if !scheme.signed.needs_public_url() {
        return Err(ConfigError::new("has no effect: the scheme doesn't sign the URL"));
    }
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fits = |host: &str| {
        !host.is_empty()
            && !host.starts_with('/')
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte))
    };
    if !host.is_some_and(fits) {
        return Err(ConfigError::new(format!(
            "`{url}` is no `https://` or `http://` with a host, without query and user"
        )));
    }
    Ok(url.trim_end_matches('/').into())
}
