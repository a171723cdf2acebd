//! By what a limit counts: parts of a request, each in one canonical form.
//!
//! 1. A part that a client can spell in several ways is brought to one form, or the request is refused.
//! 2. A part that occurs twice is never read as its first value: the request is refused, or all values are the key.
//! 3. Parts are written with their kind and length, so no two lists of parts give the same key.

mod raw;
mod values;

use std::net::IpAddr;

use portcullis_kit::{
    config::ConfigError,
    head::RequestHead,
    host::RouteProperty,
    policies::path::{self, Template},
};

pub use self::raw::header_name;
use self::values::{cookies, parameters};
use crate::{address::network, pool::Partition};

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client that the proxy trusts, cut to so many bits.
    RemoteAddress {
        v4: u8,
        v6: u8,
    },
    Header(String),
    Cookie(String),
    QueryParameter(String),
    /// The segments that the template leaves open; another path has no such key.
    PathTemplate(Template),
    Path,
    Method,
    Host,
    RouteName,
    VirtualHostName,
    DynamicMetadata {
        namespace: String,
        path: Vec<String>,
    },
}

/// Where a request's parts come from. Each answer may cost a call out of the sandbox.
pub trait Facts {
    /// `None` where nobody could read it.
    fn head(&self) -> Option<&RequestHead>;
    /// The client that the proxy trusts, where it is known.
    fn client_address(&mut self) -> Option<IpAddr>;
    fn route(&mut self, property: RouteProperty) -> Vec<u8>;
    fn dynamic_metadata(&mut self, namespace: &str, path: &[String]) -> Vec<u8>;
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    Missing,
    Repeated,
    /// The path or host can be read in more than one way.
    Ambiguous,
}

impl Part {
    /// Whether it stands in the request's head.
    pub fn reads_head(&self) -> bool {
        !matches!(
            self,
            Self::RemoteAddress { .. } | Self::RouteName | Self::VirtualHostName | Self::DynamicMetadata { .. }
        )
    }

    /// Who can make new values of it.
    pub fn partition(&self) -> Partition {
        match self {
            Self::RouteName | Self::VirtualHostName => Partition::Reserved,
            Self::DynamicMetadata { .. } => Partition::Metadata,
            Self::RemoteAddress { .. } => Partition::Addresses,
            _ => Partition::Invented,
        }
    }

    /// Whether it tells one caller from another.
    pub fn is_of_the_caller(&self) -> bool {
        matches!(self, Self::RemoteAddress { .. } | Self::Header(_) | Self::Cookie(_) | Self::DynamicMetadata { .. })
    }

    fn letter(&self) -> u8 {
        match self {
            Self::RemoteAddress { .. } => b'a',
            Self::Header(_) => b'h',
            Self::Cookie(_) => b'c',
            Self::QueryParameter(_) => b'q',
            Self::PathTemplate(_) => b't',
            Self::Path => b'p',
            Self::Method => b'm',
            Self::Host => b'o',
            Self::RouteName => b'r',
            Self::VirtualHostName => b'v',
            Self::DynamicMetadata { .. } => b'd',
        }
    }

    /// Writes the part's values behind `key`. `all`: more than one value is a value, too.
    pub fn write(&self, facts: &mut impl Facts, all: bool, key: &mut Vec<u8>) -> Result<(), NoKey> {
        if let Self::RemoteAddress { v4, v6 } = self {
            let address = facts.client_address().ok_or(NoKey::Missing)?;
            self.write_values(&[network(address, *v4, *v6)], key);
            return Ok(());
        }
        let values = self.values(facts)?;
        match values.as_slice() {
            [] if !matches!(self, Self::PathTemplate(_) | Self::Path) => return Err(NoKey::Missing),
            // To many backends an empty value is none.
            [only] if only.is_empty() => return Err(NoKey::Missing),
            [] | [_] => {}
            _ if all || matches!(self, Self::PathTemplate(_) | Self::Path) => {}
            _ => return Err(NoKey::Repeated),
        }
        self.write_values(&values, key);
        Ok(())
    }

    /// Writes what a request with this value would write.
    ///
    /// # Errors
    /// The text is no value of this part.
    pub fn write_listed(&self, text: &str, key: &mut Vec<u8>) -> Result<(), ConfigError> {
        let wrong = |why: &str| ConfigError::new(format!("`{text}` {why}"));
        let values = match self {
            Self::RemoteAddress { v4, v6 } => {
                let address: IpAddr = text.parse().map_err(|_| wrong("is no address"))?;
                vec![network(address.to_canonical(), *v4, *v6).as_ref().to_vec()]
            }
            Self::Host => vec![path::host(text.as_bytes()).map_err(|_| wrong("is no host name"))?],
            Self::Path => path::segments(text.as_bytes()).map_err(|_| wrong("is no plain path"))?,
            Self::PathTemplate(template) => {
                let segments = path::segments(text.as_bytes()).map_err(|_| wrong("is no plain path"))?;
                template.open_segments(&segments).ok_or_else(|| wrong("doesn't match the template"))?
            }
            _ if text.is_empty() => return Err(wrong("is empty")),
            _ => vec![text.as_bytes().to_vec()],
        };
        self.write_values(&values, key);
        Ok(())
    }

    /// Writes bytes that no other part writes.
    pub fn write_identity(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::RemoteAddress { v4, v6 } => out.extend([*v4, *v6]),
            Self::Header(name) | Self::Cookie(name) | Self::QueryParameter(name) => out.extend(name.as_bytes()),
            Self::PathTemplate(template) => template.write(out),
            Self::Path | Self::Method | Self::Host | Self::RouteName | Self::VirtualHostName => {}
            Self::DynamicMetadata { namespace, path } => {
                for text in std::iter::once(namespace).chain(path) {
                    out.extend(length(text.len()));
                    out.extend(text.as_bytes());
                }
            }
        }
        let written = length(out.len() - start);
        out.extend(written);
        out.push(self.letter());
    }

    fn write_head(&self, values: usize, key: &mut Vec<u8>) {
        key.push(self.letter());
        key.extend(length(values));
    }

    fn write_values(&self, values: &[impl AsRef<[u8]>], key: &mut Vec<u8>) {
        self.write_head(values.len(), key);
        for value in values.iter().map(AsRef::as_ref) {
            key.extend(length(value.len()));
            key.extend(value);
        }
    }

    fn values(&self, facts: &mut impl Facts) -> Result<Vec<Vec<u8>>, NoKey> {
        let one = |value: Vec<u8>| if value.is_empty() { Vec::new() } else { vec![value] };
        Ok(match self {
            Self::RouteName => one(facts.route(RouteProperty::RouteName)),
            Self::VirtualHostName => one(facts.route(RouteProperty::VirtualHostName)),
            Self::DynamicMetadata { namespace, path } => one(facts.dynamic_metadata(namespace, path)),
            _ => {
                let head = facts.head().ok_or(NoKey::Ambiguous)?;
                match self {
                    Self::Header(name) => head.headers.all_spelt(name.as_bytes()).map(<[u8]>::to_vec).collect(),
                    Self::Cookie(name) => cookies(head, name.as_bytes()),
                    Self::QueryParameter(name) => parameters(&head.path, name.as_bytes()),
                    Self::Method => one(head.method.clone()),
                    Self::Host => vec![path::host(&head.authority).map_err(|_| NoKey::Ambiguous)?],
                    Self::Path => path::segments(&head.path).map_err(|_| NoKey::Ambiguous)?,
                    Self::PathTemplate(template) => {
                        let segments = path::segments(&head.path).map_err(|_| NoKey::Ambiguous)?;
                        template.open_segments(&segments).ok_or(NoKey::Missing)?
                    }
                    _ => Vec::new(),
                }
            }
        })
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_an_identity_of_its_own() {
        let identity = |json: &str| {
            let value = portcullis_kit::config::read(json.as_bytes()).unwrap();
            let mut bytes = Vec::new();
            value.typed::<Vec<Part>>().unwrap().iter().for_each(|part| part.write_identity(&mut bytes));
            bytes
        };
        let keys = [
            r#"["remote_address"]"#,
            r#"[{"remote_address": {"v4_prefix_mask_len": 24}}]"#,
            r#"[{"header": "a"}]"#,
            r#"[{"header": "a"}, {"header": "b"}]"#,
            r#"[{"header": "ab"}]"#,
            r#"[{"cookie": "a"}]"#,
            r#"[{"path_template": "/a/:id"}]"#,
            r#"[{"path_template": "/a/:id/*"}]"#,
            r#"[{"path_template": "/:a/id"}]"#,
            r#"[{"dynamic_metadata": {"filter": "a", "path": ["b", "c"]}}]"#,
            r#"[{"dynamic_metadata": {"filter": "a", "path": ["bc"]}}]"#,
            r#"["path", "method"]"#,
            r#"["method", "path"]"#,
        ];
        for (index, one) in keys.iter().enumerate() {
            for (other_index, other) in keys.iter().enumerate() {
                assert_eq!(identity(one) == identity(other), index == other_index, "{one} {other}");
            }
        }
    }
}
