//! Where a scheme finds a value: `header:x-signature`, `query:token`, `segment:2` of the path, `part:t` of the signature's own
//! header, or a member of a JSON body, `json:/signature/timestamp`.

use portcullis_kit::{
    config::{ConfigError, FromValue, Value},
    head::{RequestHead, is_name, lower},
};

use crate::json;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In lower case.
    Header(String),
    Query(String),
    /// A part of the path, counted from 1.
    Segment(usize),
    /// A keyed part of the signature's header.
    Part(String),
    Json {
        pointer: Vec<Vec<u8>>,
        /// Text isn't taken.
        number: bool,
    },
}

/// Why a value isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Missing,
    Repeated,
}

impl Source {
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Json { .. })
    }

    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            _ => None,
        }
    }

    /// The value in the request's head; nothing for a source elsewhere.
    ///
    /// # Errors
    /// The value is missing or empty, or stands twice.
    pub fn read<'a>(&self, head: &'a RequestHead) -> Result<&'a [u8], Absent> {
        let found = match self {
            Self::Header(name) => head.headers.single(name.as_bytes()).map_err(|_| Absent::Repeated)?,
            Self::Query(name) => {
                let query = query(&head.path);
                let value = |pair: &'a [u8]| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
                let mut values = query.split(|byte| *byte == b'&').filter_map(value);
                match (values.next(), values.next()) {
                    (first, None) => first,
                    _ => return Err(Absent::Repeated),
                }
            }
            Self::Segment(place) => {
                let path = head.path.split(|byte| *byte == b'?').next().unwrap_or_default();
                path.split(|byte| *byte == b'/').nth(*place)
            }
            Self::Part(_) | Self::Json { .. } => None,
        };
        found.filter(|value| !value.is_empty()).ok_or(Absent::Missing)
    }
}

/// What stands behind the question mark.
pub fn query(path: &[u8]) -> &[u8] {
    let mark = path.iter().position(|byte| *byte == b'?');
    mark.and_then(|mark| path.get(mark + 1..)).unwrap_or_default()
}

/// What a reader fills; no header has this name.
impl Default for Source {
    fn default() -> Self {
        Self::Header(String::new())
    }
}

impl FromValue for Source {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let text: String = value.typed()?;
        read(&text).ok_or_else(|| {
            ConfigError::new(format!(
                "`{text}` is none of `header:NAME`, `query:NAME`, `segment:NUMBER`, `part:NAME`, `json:/MEMBER`"
            ))
        })
    }
}

pub fn read(text: &str) -> Option<Source> {
    let (kind, name) = text.split_once(':')?;
    match kind {
        _ if name.is_empty() => None,
        "header" => is_name(name).then(|| Source::Header(lower(name))),
        "query" => Some(Source::Query(name.into())),
        "segment" => name.parse().ok().filter(|place| (1..=32).contains(place)).map(Source::Segment),
        "part" => Some(Source::Part(name.into())),
        "json" => Some(Source::Json { pointer: json::pointer(name)?, number: false }),
        "json_number" => Some(Source::Json { pointer: json::pointer(name)?, number: true }),
        _ => None,
    }
}

#[cfg(not(target_family = "wasm"))]
impl schemars::JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(header|query|part|segment):.+$|^json(_number)?:/.*$",
            "description": "`header:NAME`, `query:NAME`, `segment:NUMBER` of the path, `part:NAME` of the signature's header, `json:/MEMBER` of the body."
        })
    }
}
