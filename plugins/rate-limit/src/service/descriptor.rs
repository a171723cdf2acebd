//! What the service is asked about a limit: `policy`, `limit`, and an entry for each part of the key.
//!
//! 1. Entries are called as Envoy's own rate-limit actions call them where there is one (`remote_address`,
//!    `masked_remote_address`), else as the part is written: `method`, `header.x-api-key`. The dot keeps what a header is
//!    called from standing for `policy`.
//! 2. The same key gives the same text on every gateway, and no two keys the same, but for an empty value and a missing
//!    one: both are `-`, since the protocol has no empty values.

use portcullis_kit::config::ConfigError;

use crate::{address::v6_text, config::Counted, key::Part};

/// One limit with the key of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub entries: Vec<(String, String)>,
    /// How much it counts.
    pub hits: u32,
}

/// In an entry whose part is missing or empty.
const NOTHING: &str = "-";
/// In the bytes of a key: a part that is missing.
const MISSING: u8 = b'0';

impl Descriptor {
    /// `key`: as the parts wrote it.
    pub fn new(policy: &str, limit: &str, parts: &[Part], key: &[u8], hits: u32) -> Self {
        let mut entries = vec![("policy".to_owned(), policy.to_owned()), ("limit".to_owned(), limit.to_owned())];
        let mut key = Key(key);
        for part in parts {
            let values = key.values().unwrap_or_default();
            let text = value(part, &values);
            entries.push((name(part), if text.is_empty() { NOTHING.to_owned() } else { text }));
        }
        Self { entries, hits }
    }
}

/// Whether a limit can be asked for.
///
/// # Errors
/// Two parts of its key have one name, or it gives back what a service doesn't.
pub fn check(key: &[Part], counted: &Counted) -> Result<(), ConfigError> {
    if *counted != Counted::All {
        let why = "can't be given back by response; leave out `count_status` and `refund_status`";
        return Err(ConfigError::new(why).under("across_gateways"));
    }
    for (place, part) in key.iter().enumerate() {
        if key.iter().take(place).any(|earlier| name(earlier) == name(part)) {
            let why = format!("has a second part that a service would know as `{}`", name(part));
            return Err(ConfigError::new(why).at(place).under("key"));
        }
    }
    Ok(())
}

fn name(part: &Part) -> String {
    let (kind, name) = match part {
        // The defaults: what Envoy calls the address, IPv6 by its network.
        Part::RemoteAddress { v4: 32, v6: 64 | 128 } => ("remote_address", ""),
        Part::RemoteAddress { .. } => ("masked_remote_address", ""),
        Part::Header(name) => ("header.", name.as_str()),
        Part::Cookie(name) => ("cookie.", name.as_str()),
        Part::QueryParameter(name) => ("query_parameter.", name.as_str()),
        Part::PathTemplate(_) => ("path_template", ""),
        Part::Path => ("path", ""),
        Part::Method => ("method", ""),
        Part::Host => ("host", ""),
        Part::RouteName => ("route_name", ""),
        Part::VirtualHostName => ("virtual_host_name", ""),
        Part::DynamicMetadata { namespace, path } => {
            let mut name = ["metadata.", namespace].concat();
            for step in path {
                name.push('.');
                name.push_str(step);
            }
            return name;
        }
    };
    [kind, name].concat()
}

fn value(part: &Part, values: &[&[u8]]) -> String {
    match (part, values) {
        (Part::RemoteAddress { v4, v6 }, [address]) => self::address(address, *v4, *v6),
        (Part::Path, _) => ["/", &joined(values, '/')].concat(),
        (Part::PathTemplate(_), _) => joined(values, '/'),
        _ => joined(values, ','),
    }
}

fn address(bytes: &[u8], v4: u8, v6: u8) -> String {
    let with = |address: String, bits: u8, all: u8| {
        if bits < all { [&address, "/", &u64::from(bits).to_string()].concat() } else { address }
    };
    if let Ok([a, b, c, d]) = <[u8; 4]>::try_from(bytes) {
        let [a, b, c, d] = [a, b, c, d].map(|byte| u64::from(byte).to_string());
        return with([&a, ".", &b, ".", &c, ".", &d].concat(), v4, 32);
    }
    <[u8; 16]>::try_from(bytes).map_or_else(|_| String::new(), |bytes| with(v6_text(&bytes), v6, 128))
}

/// Text of any bytes: what isn't visible ASCII, `%` and the separator stand as `%41`.
fn joined(values: &[&[u8]], separator: char) -> String {
    let mut text = String::new();
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            text.push(separator);
        }
        for byte in *value {
            let letter = char::from(*byte);
            if letter.is_ascii_graphic() && letter != '%' && letter != separator {
                text.push(letter);
            } else {
                let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase();
                text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    text
}

/// Reads what [`Part::write`] wrote.
struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// The values of the next part; `None` where it is missing.
    fn values(&mut self) -> Option<Vec<&'a [u8]>> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        if *kind == MISSING {
            return None;
        }
        let count = self.number()?;
        (0..count).map(|_| self.value()).collect()
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr};

    use portcullis_kit::{head::RequestHead, host::RouteProperty, policies::path::Template};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        address,
        key::{Facts, NoKey},
    };

    struct Request(RequestHead, &'static str);

    impl Facts for Request {
        fn head(&self) -> Option<&RequestHead> {
            Some(&self.0)
        }

        fn client_address(&mut self) -> Option<IpAddr> {
            address::address(self.1.as_bytes())
        }

        fn route(&mut self, _: RouteProperty) -> Vec<u8> {
            b"api".to_vec()
        }

        fn dynamic_metadata(&mut self, _: &str, _: &[String]) -> Vec<u8> {
            b"alice".to_vec()
        }
    }

    fn request(path: &str, headers: &[(&str, &[u8])], address: &'static str) -> Request {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        Request(
            RequestHead {
                method: b"GET".to_vec(),
                authority: b"Edge.example:443".to_vec(),
                path: path.into(),
                headers: headers.collect(),
            },
            address,
        )
    }

    /// The entries behind `policy` and `limit`.
    fn entries(parts: &[Part], mut request: Request) -> Vec<(String, String)> {
        let mut key = Vec::new();
        for part in parts {
            match part.write(&mut request, true, &mut key) {
                Err(NoKey::Missing) => key.push(MISSING),
                written => written.unwrap(),
            }
        }
        let descriptor = Descriptor::new("p", "l", parts, &key, 1);
        assert_eq!(descriptor.entries[..2], [("policy".into(), "p".into()), ("limit".into(), "l".into())]);
        descriptor.entries[2..].to_vec()
    }

    #[test]
    fn each_part_has_a_name_and_a_text() {
        let request = || {
            request("/a/%C3%A9%20x?t=1", &[("x-key", b"a\xffb"), ("x-twice", b"1,"), ("x-twice", b"2")], "10.1.2.3:9")
        };
        let metadata = Part::DynamicMetadata { namespace: "jwt".into(), path: vec!["payload".into(), "sub".into()] };
        for (part, name, value) in [
            (Part::RemoteAddress { v4: 32, v6: 64 }, "remote_address", "10.1.2.3"),
            (Part::RemoteAddress { v4: 24, v6: 64 }, "masked_remote_address", "10.1.2.0/24"),
            (Part::Header("x-key".into()), "header.x-key", "a%FFb"),
            (Part::Header("x-twice".into()), "header.x-twice", "1%2C,2"),
            (Part::Header("x-none".into()), "header.x-none", "-"),
            (Part::QueryParameter("t".into()), "query_parameter.t", "1"),
            (Part::PathTemplate(Template::new("/a/:b").unwrap()), "path_template", "%C3%A9%20x"),
            (Part::Path, "path", "/a/%C3%A9%20x"),
            (Part::Method, "method", "GET"),
            (Part::Host, "host", "edge.example"),
            (Part::RouteName, "route_name", "api"),
            (metadata, "metadata.jwt.payload.sub", "alice"),
        ] {
            assert_eq!(entries(std::slice::from_ref(&part), request()), [(name.into(), value.into())], "{part:?}");
        }
        let v6 = self::request("/", &[], "[2001:db8::1:2]:9");
        let parts = [Part::RemoteAddress { v4: 32, v6: 64 }];
        assert_eq!(entries(&parts, v6), [("remote_address".into(), "2001:db8::/64".into())]);
    }

    proptest! {
        #[test]
        fn unlike_values_are_unlike_texts(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 2..6)) {
            let mut seen: HashMap<String, Vec<u8>> = HashMap::new();
            for value in values {
                let text = joined(&[value.as_slice()], ',');
                prop_assert!(text.is_ascii());
                if let Some(other) = seen.insert(text, value.clone()) {
                    prop_assert_eq!(other, value);
                }
            }
        }

        #[test]
        fn no_bytes_of_a_key_make_the_reader_fail(key: Vec<u8>) {
            let parts = [Part::Path, Part::RemoteAddress { v4: 32, v6: 64 }, Part::Method];
            prop_assert_eq!(Descriptor::new("p", "l", &parts, &key, 1).entries.len(), 5);
        }
    }

    #[test]
    fn a_key_whose_parts_a_service_couldnt_tell_apart_is_refused() {
        let template = |text: &str| Part::PathTemplate(Template::new(text).unwrap());
        let error = check(&[template("/a/:b"), Part::Path, template("/:a/b")], &Counted::All).unwrap_err();
        assert!(error.to_string().contains("key[2]: has a second part"), "{error}");
        check(&[Part::Header("a".into()), Part::Header("b".into())], &Counted::All).unwrap();
    }
}
