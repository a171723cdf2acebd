//! The bytes that are signed, as a template: `{timestamp}.{body}`.

use portcullis_kit::{
    config::{ConfigError, FromValue, Value},
    head::{RequestHead, is_name, lower},
    reason::Reason,
};

use crate::{
    decide::{BODY_MALFORMED, HEAD_UNREADABLE, SIGNED_PART_MISSING},
    encoding::to_hex,
    form,
    json::{self, Member},
    mac,
    source::query,
};

/// One piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(Vec<u8>),
    Method,
    /// Of the configured `public_url`.
    Scheme,
    /// Of the configured `public_url`, with its port.
    Host,
    Path,
    Query,
    /// The configured `public_url`, then path and query as the client sent them.
    Url,
    /// The same, with the escapes decoded that HubSpot lists.
    UrlUnescaped,
    Header(String),
    Timestamp,
    Id,
    Body,
    /// The parameters of a form, decoded, sorted and joined; of any other body, its hash is compared with `bodySHA256`.
    Form,
    Json(Vec<Vec<u8>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A piece once the request's head is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Vec<u8>),
    Body,
    /// Whether the body is a form; else, what the query says of its hash.
    Form(Result<(), Option<Vec<u8>>>),
    Json(Vec<Vec<u8>>),
}

/// What a template reads of a request, beside its head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Without a slash at its end; empty where none is configured.
    pub public_url: &'a str,
    pub timestamp: &'a [u8],
    pub id: &'a [u8],
}

impl Template {
    /// Whether the body must be known as a whole, and not piece by piece.
    pub fn reads_whole_body(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Form | Piece::Json(_)))
    }

    pub fn needs_public_url(&self) -> bool {
        let needs = |piece: &Piece| matches!(piece, Piece::Scheme | Piece::Host | Piece::Url | Piece::UrlUnescaped);
        self.0.iter().any(needs)
    }

    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// # Errors
    /// A header that is signed is missing or repeated, or the head has no path.
    pub fn parts(&self, head: &RequestHead, facts: Facts<'_>) -> Result<Vec<Part>, Reason> {
        self.0.iter().map(|piece| piece.part(head, facts)).collect()
    }
}

impl Piece {
    fn part(&self, head: &RequestHead, facts: Facts<'_>) -> Result<Part, Reason> {
        let (scheme, host) = facts.public_url.split_once("://").unwrap_or_default();
        let bytes = match self {
            Self::Literal(text) => text.clone(),
            Self::Method => head.method.clone(),
            Self::Scheme => scheme.into(),
            Self::Host => host.split('/').next().unwrap_or_default().into(),
            Self::Path => head.path.split(|byte| *byte == b'?').next().unwrap_or_default().to_vec(),
            Self::Query => query(&head.path).to_vec(),
            Self::Url => url(head, facts)?,
            Self::UrlUnescaped => unescaped(&url(head, facts)?),
            Self::Header(name) => match head.headers.single(name.as_bytes()) {
                Ok(Some(value)) => value.to_vec(),
                _ => return Err(SIGNED_PART_MISSING),
            },
            Self::Timestamp => facts.timestamp.to_vec(),
            Self::Id => facts.id.to_vec(),
            Self::Body => return Ok(Part::Body),
            Self::Json(pointer) => return Ok(Part::Json(pointer.clone())),
            Self::Form => {
                let kind = head.headers.single(b"content-type").map_err(|_| SIGNED_PART_MISSING)?.unwrap_or_default();
                let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                let of = |pair: &[u8]| pair.strip_prefix(b"bodySHA256=").map(<[u8]>::to_vec);
                return Ok(Part::Form(match kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
                    true => Ok(()),
                    false => Err(query(&head.path).split(|byte| *byte == b'&').find_map(of)),
                }));
            }
        };
        Ok(Part::Bytes(bytes))
    }
}

impl Part {
    /// What is signed of it, once the whole body is known.
    ///
    /// # Errors
    /// The body isn't what the scheme says.
    pub fn bytes(self, body: &[u8]) -> Result<Vec<u8>, Reason> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Body => Ok(body.to_vec()),
            Self::Form(Ok(())) => form::sorted(body).ok_or(BODY_MALFORMED),
            Self::Form(Err(None)) if body.is_empty() => Ok(Vec::new()),
            Self::Form(Err(hash)) => match hash {
                Some(hash) if mac::same(&hash, to_hex(&mac::digest(body)).as_bytes()) => Ok(Vec::new()),
                _ => Err(BODY_MALFORMED),
            },
            Self::Json(pointer) => {
                let found = json::members(body, &[&pointer]).map_err(|_| BODY_MALFORMED)?;
                let text = found.first().and_then(Option::as_ref).and_then(Member::text);
                text.map(<[u8]>::to_vec).ok_or(SIGNED_PART_MISSING)
            }
        }
    }
}

/// A path that a sender can have signed: nothing parts the URL from the body behind it, so what no URL has (RFC 3986 §3.3, and
/// brackets, with which JSON begins) would let the beginning of a signed body pass for the end of the URL. And where the
/// client sends a whole URL, its own host must not count.
fn url(head: &RequestHead, facts: Facts<'_>) -> Result<Vec<u8>, Reason> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(byte);
    if !head.path.starts_with(b"/") || !head.path.iter().all(fits) {
        return Err(HEAD_UNREADABLE);
    }
    Ok([facts.public_url.as_bytes(), &head.path].concat())
}

/// HubSpot's list: only these escapes are decoded before a URL is signed.
fn unescaped(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some((byte, after)) = rest.split_first() {
        let decoded = match (byte, after) {
            (b'%', [high, low, ..]) => match (high, low.to_ascii_uppercase()) {
                (b'2', b'1') => Some(b'!'),
                (b'2', b'4') => Some(b'$'),
                (b'2', b'7') => Some(b'\''),
                (b'2', b'8') => Some(b'('),
                (b'2', b'9') => Some(b')'),
                (b'2', b'A') => Some(b'*'),
                (b'2', b'C') => Some(b','),
                (b'2', b'F') => Some(b'/'),
                (b'3', b'A') => Some(b':'),
                (b'3', b'B') => Some(b';'),
                (b'3', b'F') => Some(b'?'),
                (b'4', b'0') => Some(b'@'),
                _ => None,
            },
            _ => None,
        };
        out.push(decoded.unwrap_or(*byte));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

impl FromValue for Template {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        read(&value.typed::<String>()?)
    }
}

/// # Errors
/// A name in braces that isn't known.
pub fn read(text: &str) -> Result<Template, ConfigError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (literal, named) = rest.split_at(start);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        let (name, after) = named.split_once('}').ok_or_else(|| ConfigError::new("has a `{` without its `}`"))?;
        pieces.push(piece(name.strip_prefix('{').unwrap_or_default())?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.into()));
    }
    let bodies = pieces.iter().filter(|piece| matches!(piece, Piece::Body | Piece::Form)).count();
    if bodies > 1 {
        return Err(ConfigError::new("holds the body twice"));
    }
    Ok(Template(pieces))
}

fn piece(name: &str) -> Result<Piece, ConfigError> {
    let piece = match name {
        "method" => Piece::Method,
        "scheme" => Piece::Scheme,
        "host" => Piece::Host,
        "path" => Piece::Path,
        "query" => Piece::Query,
        "url" => Piece::Url,
        "url_unescaped" => Piece::UrlUnescaped,
        "timestamp" => Piece::Timestamp,
        "id" => Piece::Id,
        "body" => Piece::Body,
        "form" => Piece::Form,
        _ => match name.split_once(':') {
            Some(("header", name)) if is_name(name) => Piece::Header(lower(name)),
            Some(("json", at)) if let Some(pointer) = json::pointer(at) => Piece::Json(pointer),
            _ => {
                return Err(ConfigError::new(format!(
                    "`{{{name}}}` is none of {{method}}, {{scheme}}, {{host}}, {{path}}, {{query}}, {{url}}, \
                     {{url_unescaped}}, {{timestamp}}, {{id}}, {{body}}, {{form}}, {{header:NAME}}, {{json:/MEMBER}}"
                )));
            }
        },
    };
    Ok(piece)
}

#[cfg(not(target_family = "wasm"))]
impl schemars::JsonSchema for Template {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "The signed bytes, `{timestamp}.{body}`." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_into_its_pieces() {
        let Template(pieces) = read("v0:{timestamp}:{header:X-A}{json:/a/b}").unwrap();
        let json = Piece::Json(vec![b"a".to_vec(), b"b".to_vec()]);
        let literal = |text: &str| Piece::Literal(text.into());
        assert_eq!(pieces, [literal("v0:"), Piece::Timestamp, literal(":"), Piece::Header("x-a".into()), json]);
        for (text, error) in [
            ("{boddy}", "is none of"),
            ("{body", "without its"),
            ("{body}{form}", "twice"),
            ("{{body}}", "is none of"),
            ("{header:a b}", "is none of"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(error), "{text}");
        }
    }

    #[test]
    fn only_the_listed_escapes_are_decoded() {
        assert_eq!(unescaped(b"/a%20b%3Ac%3ad%2F%25%"), b"/a%20b:c:d/%25%");
    }
}
