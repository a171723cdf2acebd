//! By what a limit counts: parts of a request, each in one canonical form.
//!
//! 1. A part that a client can spell in several ways is brought to one form, or the request is refused.
//! 2. A part that occurs twice is never read as its first value: the request is refused, or all values are the key.
//! 3. Parts are written with their kind and length, so no two lists of parts give the same key.

use std::net::IpAddr;

use portcullis_kit::{
    config::{ConfigError, FromValue, Value},
    fields,
    head::{RequestHead, lower},
    host::RouteProperty,
    policies::path::{self, Template},
};

use crate::pool::Partition;

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
    /// `ip:port`; empty where it isn't known.
    fn client_address(&mut self) -> Vec<u8>;
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
            Self::RouteName | Self::VirtualHostName | Self::DynamicMetadata { .. } => Partition::Reserved,
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
            let address = address(&facts.client_address()).ok_or(NoKey::Missing)?;
            let network = network(address, *v4, *v6);
            self.write_head(1, key);
            key.extend(length(network.as_ref().len()));
            key.extend(network.as_ref());
            return Ok(());
        }
        let values = self.values(facts)?;
        match values.as_slice() {
            [] if !matches!(self, Self::PathTemplate(_) | Self::Path) => return Err(NoKey::Missing),
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

    fn write_head(&self, values: usize, key: &mut Vec<u8>) {
        key.push(self.letter());
        key.extend(length(values));
    }

    fn write_values(&self, values: &[Vec<u8>], key: &mut Vec<u8>) {
        self.write_head(values.len(), key);
        for value in values {
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
                    Self::Header(name) => head.headers.all(name.as_bytes()).map(<[u8]>::to_vec).collect(),
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

/// The address of `ip:port` and `[ip]:port`. An IPv4 address inside of IPv6 is that address.
pub fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let (ip, _) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip).parse().ok()?;
    Some(ip.to_canonical())
}

/// The bytes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl AsRef<[u8]> for Network {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}

/// The network of an address: its bytes with the rest of the bits cleared.
pub fn network(address: IpAddr, v4: u8, v6: u8) -> Network {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            Network::V4((bits & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            Network::V6((u128::from(address) & mask).to_be_bytes())
        }
    }
}

/// `10.0.0.0/8`, `::1`: an address with the number of its bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// # Errors
    /// No address, too many bits, or bits beyond the prefix.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let wrong = |why: &str| ConfigError::new(format!("`{text}` {why}"));
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("is no address, with or without `/bits`"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| wrong("has no number of bits that fits"))?,
            None => most,
        };
        if network(address, bits, bits) != network(address, 32, 128) {
            return Err(wrong("has bits set beyond its prefix"));
        }
        Ok(Self { address, bits })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && network(address, self.bits, self.bits) == network(self.address, self.bits, self.bits)
    }
}

/// The values of a cookie in all `cookie` lines (RFC 6265 §5.4).
fn cookies(head: &RequestHead, name: &[u8]) -> Vec<Vec<u8>> {
    let pairs = head.headers.all(b"cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let named = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at_checked(equals)?;
        (found.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii().to_vec())
    });
    named.collect()
}

/// The values of a query parameter, decoded as forms are.
fn parameters(path: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let Some(start) = path.iter().position(|byte| *byte == b'?') else { return Vec::new() };
    let query = path.get(start + 1..).unwrap_or_default().split(|byte| *byte == b'#').next().unwrap_or_default();
    let pairs = query.split(|byte| *byte == b'&').map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(equals).unwrap_or((pair, b""));
        (decoded(name), decoded(value.get(1..).unwrap_or_default()))
    });
    pairs.filter(|(found, _)| found == name).map(|(_, value)| value).collect()
}

/// `%41` and `+` decoded; what isn't an encoding stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                (hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default(), after)
            }
            (b'+', _) => (b' ', after),
            (byte, _) => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
    out
}

fields! {
    /// The fields of which a part has one.
    #[derive(Debug, Default)]
    struct RawFields {
        /// The client that the proxy trusts (`use_remote_address`, `xff_num_trusted_hops`), cut to a network.
        remote_address: Option<RawMask> = default,
        /// A request header's name.
        header: Option<String> = default,
        /// A cookie's name; case counts.
        cookie: Option<String> = default,
        /// A query parameter's name; case counts.
        query_parameter: Option<String> = default,
        /// `/api/novel/:id`: the segments with a colon are the key.
        path_template: Option<String> = default,
        /// A value that an earlier filter left, such as a claim of a token that it verified.
        dynamic_metadata: Option<RawMetadata> = default,
    }
}

fields! {
    /// As in Envoy's `masked_remote_address`.
    #[derive(Debug)]
    struct RawMask {
        /// Bits of an IPv4 address, 0 to 32. Default: 32.
        v4_prefix_mask_len: u8 = default(ALL_OF_V4),
        /// Bits of an IPv6 address, 0 to 128. Default: 64, what one household has.
        v6_prefix_mask_len: u8 = default(NET_OF_V6),
    }
}

const ALL_OF_V4: u8 = 32;
const NET_OF_V6: u8 = 64;

fields! {
    #[derive(Debug)]
    struct RawMetadata {
        /// The namespace, such as `envoy.filters.http.jwt_authn`.
        filter: String,
        /// The keys down to the value, such as `[payload, sub]`.
        path: Vec<String>,
    }
}

/// A part is a name alone, or an object with one field.
impl FromValue for Part {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value {
            Value::Text(name) => Self::named(name),
            value => Self::of_fields(value.typed()?),
        }
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, ConfigError> {
        Ok(match name {
            "remote_address" => Self::RemoteAddress { v4: ALL_OF_V4, v6: NET_OF_V6 },
            "path" => Self::Path,
            "method" => Self::Method,
            "host" => Self::Host,
            "route_name" => Self::RouteName,
            "virtual_host_name" => Self::VirtualHostName,
            other => {
                return Err(ConfigError::new(format!(
                    "`{other}` is no part of a key; write remote_address, path, method, host, route_name, \
                     virtual_host_name, or an object such as {{header: x-api-key}}"
                )));
            }
        })
    }

    fn of_fields(fields: RawFields) -> Result<Self, ConfigError> {
        let RawFields { remote_address, header, cookie, query_parameter, path_template, dynamic_metadata } = fields;
        let texts = [("header", header), ("cookie", cookie), ("query_parameter", query_parameter)];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text?)));
        let mut part = None;
        let mut count = 0;
        for (field, name) in texts {
            if name.is_empty() {
                return Err(ConfigError::new("is empty").under(field));
            }
            count += 1;
            part = Some(match field {
                "header" => Self::Header(lower(&name)),
                "cookie" => Self::Cookie(name),
                _ => Self::QueryParameter(name),
            });
        }
        if let Some(mask) = remote_address {
            if mask.v4_prefix_mask_len > 32 || mask.v6_prefix_mask_len > 128 {
                return Err(ConfigError::new("has more bits than an address").under("remote_address"));
            }
            count += 1;
            part = Some(Self::RemoteAddress { v4: mask.v4_prefix_mask_len, v6: mask.v6_prefix_mask_len });
        }
        if let Some(template) = path_template {
            count += 1;
            part = Some(Self::PathTemplate(Template::new(&template).map_err(|error| error.under("path_template"))?));
        }
        if let Some(RawMetadata { filter, path }) = dynamic_metadata {
            if filter.is_empty() {
                return Err(ConfigError::new("is empty").under("dynamic_metadata.filter"));
            }
            if path.is_empty() {
                return Err(
                    ConfigError::new("is empty; name the keys down to the value").under("dynamic_metadata.path")
                );
            }
            count += 1;
            part = Some(Self::DynamicMetadata { namespace: filter, path });
        }
        part.filter(|_| count == 1).ok_or_else(|| {
            ConfigError::new("is one part: give the object exactly one field, and write several as a list")
        })
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
}

#[cfg(not(target_family = "wasm"))]
impl schemars::JsonSchema for Part {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Part".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = ["remote_address", "path", "method", "host", "route_name", "virtual_host_name"];
        let fields = generator.subschema_for::<RawFields>();
        schemars::json_schema!({ "anyOf": [{ "enum": names }, fields] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_proxy_writes_them() {
        for (text, expected) in [
            ("10.1.2.3:80", Some("10.1.2.3")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[::ffff:10.1.2.3]:1", Some("10.1.2.3")),
            ("10.1.2.3", None),
            ("", None),
            ("/run/socket", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let network = |text: &str, bits| network(text.parse().unwrap(), 32, bits);
        assert_eq!(network("2001:db8::1", 64), network("2001:db8::ffff:ffff:ffff:ffff", 64));
        assert_ne!(network("2001:db8::1", 64), network("2001:db8:0:1::1", 64));
        assert_eq!(network("::1", 0), network("ffff::", 0));
        assert_ne!(network("::1", 128), network("::2", 128));
    }

    #[test]
    fn a_cidr_holds_its_addresses_and_no_others() {
        let holds = |cidr: &str, ip: &str| Cidr::new(cidr).unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("0.0.0.0/0", "::1") && holds("::/0", "::1"));
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "host", "", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(Cidr::new(wrong).is_err(), "{wrong}");
        }
    }

    fn head(path: &str, headers: &[(&str, &str)]) -> RequestHead {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        RequestHead { path: path.into(), headers: headers.collect(), ..RequestHead::default() }
    }

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

    #[test]
    fn every_cookie_and_every_parameter_of_a_name_is_seen() {
        let head = head("/p?a=1&b=2&%61=3&a+b=4&a", &[("cookie", "sid=1; x=2;sid =3"), ("cookie", " sid=4")]);
        assert_eq!(cookies(&head, b"sid"), [b"1", b"3", b"4"]);
        assert_eq!(parameters(&head.path, b"a"), [b"1".to_vec(), b"3".to_vec(), b"".to_vec()]);
        assert_eq!(parameters(&head.path, b"a b"), [b"4"]);
        assert!(parameters(b"/p", b"a").is_empty());
    }
}
