//! A part of a key as it is written: a name, or an object with one field.

use portcullis_kit::{
    config::{ConfigError, FromValue, Value},
    fields,
    head::{is_name, lower},
    policies::path::Template,
};

use super::Part;

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

/// A request header's name in lower case, with `-` for `_`: the two are one.
///
/// # Errors
/// No name (RFC 9110 §5.1), or what has a part of its own.
pub fn header_name(name: &str) -> Result<String, ConfigError> {
    let lower = lower(name).replace('_', "-");
    match lower.as_str() {
        "host" | ":authority" => Err(ConfigError::new("is the host, in one canonical form: use `host`")),
        ":path" => Err(ConfigError::new("is the path, in one canonical form: use `path` or a `path_template`")),
        ":method" => Err(ConfigError::new("is the method: use `method`")),
        _ if is_name(name) => Ok(lower),
        _ => Err(ConfigError::new("is no header name (RFC 9110 section 5.1)")),
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
            if name.is_empty() || field == "cookie" && !is_name(&name) {
                return Err(ConfigError::new("is no name").under(field));
            }
            count += 1;
            part = Some(match field {
                "header" => Self::Header(header_name(&name).map_err(|error| error.under(field))?),
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
