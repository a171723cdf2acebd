//! A way to sign, as data: where the signature stands, over which bytes it goes, and what makes a delivery fresh.

use portcullis_kit::{config::ConfigError, fields, words};

use crate::{
    encoding::Encoding,
    mac::Algorithm,
    moment::Form,
    source::Source,
    syntax::{List, Syntax},
    template::{Piece, Template},
};

fields! {
    /// A way to sign, as it is written.
    #[derive(Clone, Debug)]
    pub struct RawScheme {
        /// What stands in `signature`. Default: `hmac`.
        pub kind: Kind = default,
        /// Where the signature, or the token, stands.
        pub signature: Source,
        /// In front of it, as `sha256=`.
        pub prefix: String = default,
        /// Several signatures, or keyed parts, in one value.
        pub list: Option<RawList> = default,
        /// Default: `sha256`.
        pub algorithm: Algorithm = default,
        /// Default: `hex`. Of tokens: they are compared as they stand, and `basic` ones in their encoding.
        pub encoding: Encoding = default,
        /// The signed bytes. Default: `{body}`.
        pub signed: Option<Template> = default,
        /// What makes a delivery fresh.
        pub timestamp: Option<RawTimestamp> = default,
        /// The id of a delivery, where it has one that is signed.
        pub id: Option<Source> = default,
        /// How a key is written where a secret doesn't say. Default: `text`.
        pub key: KeyForm = default,
    }
}

fields! {
    /// A value that is a list.
    #[derive(Clone, Debug)]
    pub struct RawList {
        /// Between two elements: one character.
        pub separator: String,
        /// Between an element's name and its value: one character.
        pub assign: String,
        /// The name of a signature, as `v1`. Others are passed over.
        pub version: String,
    }
}

fields! {
    /// A delivery's time.
    #[derive(Clone, Debug)]
    pub struct RawTimestamp {
        /// Where it stands. It must be signed.
        pub from: Source,
        /// Default: `seconds`.
        pub form: Form = default,
    }
}

words! {
    /// What proves where a request comes from.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Kind {
        /// A signature.
        #[default]
        Hmac = "hmac",
        /// A token that both sides know.
        Token = "token",
        /// User and password (RFC 7617); the secret is `user:password`.
        Basic = "basic",
    }
}

words! {
    /// How a key is written.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum KeyForm {
        /// The text itself is the key.
        #[default]
        Text = "text",
        Hex = "hex",
        Base64 = "base64",
        /// `whsec_` and base64.
        Whsec = "whsec",
    }
}

/// A way to sign that can't be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub kind: Kind,
    pub signature: Source,
    pub syntax: Syntax,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub signed: Template,
    pub timestamp: Option<(Source, Form)>,
    pub id: Option<Source>,
    pub key: KeyForm,
}

impl Scheme {
    /// Whether the body must be known as a whole.
    pub fn reads_whole_body(&self) -> bool {
        let timestamp = self.timestamp.iter().map(|(source, _)| source);
        let sources = [&self.signature].into_iter().chain(timestamp).chain(&self.id);
        self.signed.reads_whole_body() || sources.into_iter().any(Source::is_in_body)
    }

    /// Whether the body has a say at all.
    pub fn reads_body(&self) -> bool {
        self.kind == Kind::Hmac && (self.reads_whole_body() || self.signed.0.contains(&Piece::Body))
    }

    /// How a client is asked for what it didn't bring, where HTTP knows a way.
    pub fn challenge(&self) -> Option<&'static [u8]> {
        match (self.kind, self.signature.header()) {
            (Kind::Basic, Some("authorization")) => Some(br#"Basic realm="edge", charset="UTF-8""#),
            (Kind::Token, Some("authorization")) => Some(b"Bearer"),
            _ => None,
        }
    }

    /// Every header that decides.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let timestamp = self.timestamp.iter().map(|(source, _)| source);
        let sources = [&self.signature].into_iter().chain(timestamp).chain(&self.id);
        sources.filter_map(Source::header).chain(self.signed.headers())
    }
}

impl TryFrom<RawScheme> for Scheme {
    type Error = ConfigError;

    fn try_from(raw: RawScheme) -> Result<Self, ConfigError> {
        let under = |name: &'static str| move |error: ConfigError| error.under(name);
        let part = match raw.timestamp.as_ref().map(|timestamp| &timestamp.from) {
            Some(Source::Part(name)) => Some(name.clone()),
            _ => None,
        };
        if matches!(raw.signature, Source::Part(_)) {
            return Err(ConfigError::new("is itself where parts stand; name a header").under("signature"));
        }
        let syntax = match raw.list {
            Some(list) => {
                if !raw.prefix.is_empty() {
                    return Err(
                        ConfigError::new("can't stand beside `list`; each element has its `version`").under("prefix")
                    );
                }
                Syntax::List(read_list(list, part).map_err(under("list"))?)
            }
            None if part.is_some() => {
                return Err(ConfigError::new("`part:` needs `list`, whose parts it means")
                    .under("from")
                    .under("timestamp"));
            }
            None => Syntax::Plain { prefix: raw.prefix },
        };
        let signed = raw.signed.unwrap_or(Template(vec![Piece::Body]));
        let scheme = Self {
            kind: raw.kind,
            signature: raw.signature,
            syntax,
            algorithm: raw.algorithm,
            encoding: raw.encoding,
            signed,
            timestamp: raw.timestamp.map(|timestamp| (timestamp.from, timestamp.form)),
            id: raw.id,
            key: raw.key,
        };
        scheme.check()?;
        Ok(scheme)
    }
}

impl Scheme {
    fn check(&self) -> Result<(), ConfigError> {
        if self.kind != Kind::Hmac {
            return match self.timestamp {
                Some(_) => Err(ConfigError::new("a token signs no time").under("timestamp")),
                None => Ok(()),
            };
        }
        let pieces = &self.signed.0;
        if let Some((from, _)) = &self.timestamp {
            let in_body = from.is_in_body() && (pieces.contains(&Piece::Body) || is_signed(from, pieces));
            if !pieces.contains(&Piece::Timestamp) && !in_body {
                return Err(
                    ConfigError::new("isn't among the signed bytes: add `{timestamp}` to `signed`").under("timestamp")
                );
            }
        }
        let needs = |piece: &Piece, given: bool| pieces.contains(piece) && !given;
        if needs(&Piece::Timestamp, self.timestamp.as_ref().is_some_and(|(from, _)| !from.is_in_body())) {
            return Err(ConfigError::new("`{timestamp}` needs a `timestamp` from the head").under("signed"));
        }
        if needs(&Piece::Id, self.id.as_ref().is_some_and(|id| !id.is_in_body())) {
            return Err(ConfigError::new("`{id}` needs an `id` from the head").under("signed"));
        }
        if self.id.as_ref().is_some_and(|id| !pieces.contains(&Piece::Id) && !is_signed(id, pieces)) {
            return Err(
                ConfigError::new("isn't among the signed bytes, and says nothing: add `{id}` to `signed`").under("id")
            );
        }
        if !pieces.iter().any(|piece| !matches!(piece, Piece::Literal(_))) {
            return Err(ConfigError::new("signs nothing of the request").under("signed"));
        }
        Ok(())
    }
}

fn is_signed(source: &Source, pieces: &[Piece]) -> bool {
    match source {
        Source::Json { pointer, .. } => pieces.contains(&Piece::Json(pointer.clone())),
        _ => false,
    }
}

fn read_list(list: RawList, timestamp: Option<String>) -> Result<List, ConfigError> {
    let one = |text: &str, name: &'static str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() || *byte == b' ' => Ok(*byte),
        _ => Err(ConfigError::new("is no single character").under(name)),
    };
    let separator = one(&list.separator, "separator")?;
    let assign = one(&list.assign, "assign")?;
    if separator == assign {
        return Err(ConfigError::new("is the same as `separator`").under("assign"));
    }
    Ok(List { separator, assign, version: list.version, timestamp })
}
