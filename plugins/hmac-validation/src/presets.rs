//! The schemes of providers, as data. Each is held to its provider's published examples, or to vectors that the
//! provider's own library made (`tests/vectors.json`).

use portcullis_kit::config::ConfigError;

use crate::{
    encoding::Encoding,
    handshake,
    mac::Algorithm,
    moment::Form,
    scheme::{KeyForm, Kind, RawList, RawScheme, RawTimestamp, Scheme},
    source, template,
};

/// A provider's scheme.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub name: &'static str,
    kind: Kind,
    signature: &'static str,
    prefix: &'static str,
    /// Separator, assignment, version.
    list: Option<(&'static str, &'static str, &'static str)>,
    algorithm: Algorithm,
    encoding: Encoding,
    signed: &'static str,
    timestamp: Option<(&'static str, Form)>,
    id: Option<&'static str>,
    key: KeyForm,
    pub handshake: Option<handshake::Preset>,
    /// Seconds that a delivery may be old; `None` for any.
    pub past: Option<u32>,
    /// Seconds that its time may be ahead.
    pub future: Option<u32>,
    /// Bytes of the largest body that the provider sends, as far as it says.
    pub largest: u32,
}

const MIB: u32 = 1 << 20;

/// What most have in common: the hex of an HMAC-SHA256 of the body.
const PLAIN: Preset = Preset {
    name: "",
    kind: Kind::Hmac,
    signature: "",
    prefix: "",
    list: None,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: "{body}",
    timestamp: None,
    id: None,
    key: KeyForm::Text,
    handshake: None,
    past: None,
    future: None,
    largest: MIB,
};

const STANDARD: Preset = Preset {
    name: "standard_webhooks",
    signature: "header:webhook-signature",
    list: Some((" ", ",", "v1")),
    encoding: Encoding::Base64,
    signed: "{id}.{timestamp}.{body}",
    timestamp: Some(("header:webhook-timestamp", Form::Seconds)),
    id: Some("header:webhook-id"),
    key: KeyForm::Whsec,
    past: Some(300),
    future: Some(300),
    ..PLAIN
};

const SLACK: Preset = Preset {
    name: "slack",
    signature: "header:x-slack-signature",
    prefix: "v0=",
    signed: "v0:{timestamp}:{body}",
    timestamp: Some(("header:x-slack-request-timestamp", Form::Seconds)),
    handshake: Some(handshake::SLACK),
    past: Some(300),
    future: Some(300),
    ..PLAIN
};

const META: Preset = Preset {
    name: "meta",
    signature: "header:x-hub-signature-256",
    prefix: "sha256=",
    handshake: Some(handshake::META),
    ..PLAIN
};

const TOKEN: Preset = Preset { kind: Kind::Token, ..PLAIN };

/// All of them, by name.
pub const ALL: &[Preset] = &[
    Preset { name: "basic", kind: Kind::Basic, signature: "header:authorization", prefix: "Basic ", ..PLAIN },
    Preset { name: "bearer", signature: "header:authorization", prefix: "Bearer ", ..TOKEN },
    Preset {
        name: "chatwoot",
        signature: "header:x-chatwoot-signature",
        prefix: "sha256=",
        signed: "{timestamp}.{body}",
        timestamp: Some(("header:x-chatwoot-timestamp", Form::Seconds)),
        past: Some(300),
        future: Some(300),
        ..PLAIN
    },
    Preset { name: "chatwoot_identity", signature: "json:/identifier_hash", signed: "{json:/identifier}", ..PLAIN },
    Preset { name: "dropbox", signature: "header:x-dropbox-signature", handshake: Some(handshake::DROPBOX), ..PLAIN },
    Preset { name: "github", signature: "header:x-hub-signature-256", prefix: "sha256=", largest: 25 * MIB, ..PLAIN },
    Preset {
        name: "github_sha1",
        signature: "header:x-hub-signature",
        prefix: "sha1=",
        algorithm: Algorithm::Sha1,
        largest: 25 * MIB,
        ..PLAIN
    },
    Preset { name: "gitlab", signature: "header:x-gitlab-token", largest: 25 * MIB, ..TOKEN },
    Preset {
        name: "hubspot",
        signature: "header:x-hubspot-signature-v3",
        encoding: Encoding::Base64,
        signed: "{method}{url_unescaped}{body}{timestamp}",
        timestamp: Some(("header:x-hubspot-request-timestamp", Form::Milliseconds)),
        past: Some(300),
        future: Some(300),
        ..PLAIN
    },
    Preset {
        name: "intercom",
        signature: "header:x-hub-signature",
        prefix: "sha1=",
        algorithm: Algorithm::Sha1,
        ..PLAIN
    },
    Preset { name: "line", signature: "header:x-line-signature", encoding: Encoding::Base64, ..PLAIN },
    Preset {
        name: "linear",
        signature: "header:linear-signature",
        timestamp: Some(("json_number:/webhookTimestamp", Form::Milliseconds)),
        past: Some(60),
        future: Some(60),
        ..PLAIN
    },
    Preset {
        name: "mailgun",
        signature: "json:/signature/signature",
        signed: "{json:/signature/timestamp}{json:/signature/token}",
        timestamp: Some(("json:/signature/timestamp", Form::Seconds)),
        // Nothing parts the time from the token: with digits of the token at its end it would be far ahead.
        future: Some(300),
        largest: 25 * MIB,
        ..PLAIN
    },
    META,
    Preset {
        name: "paddle",
        signature: "header:paddle-signature",
        list: Some((";", "=", "h1")),
        signed: "{timestamp}:{body}",
        timestamp: Some(("part:ts", Form::Seconds)),
        past: Some(5),
        future: Some(5),
        ..PLAIN
    },
    Preset { name: "pagerduty", signature: "header:x-pagerduty-signature", list: Some((",", "=", "v1")), ..PLAIN },
    Preset { name: "shopify", signature: "header:x-shopify-hmac-sha256", encoding: Encoding::Base64, ..PLAIN },
    Preset { name: "shopify_events", signature: "header:shopify-hmac-sha256", encoding: Encoding::Base64, ..PLAIN },
    SLACK,
    Preset {
        name: "square",
        signature: "header:x-square-hmacsha256-signature",
        encoding: Encoding::Base64,
        signed: "{url}{body}",
        ..PLAIN
    },
    STANDARD,
    Preset {
        name: "stripe",
        signature: "header:stripe-signature",
        list: Some((",", "=", "v1")),
        signed: "{timestamp}.{body}",
        timestamp: Some(("part:t", Form::Seconds)),
        past: Some(300),
        future: Some(300),
        ..PLAIN
    },
    Preset {
        name: "svix",
        signature: "header:svix-signature",
        timestamp: Some(("header:svix-timestamp", Form::Seconds)),
        id: Some("header:svix-id"),
        ..STANDARD
    },
    Preset { name: "telegram", signature: "header:x-telegram-bot-api-secret-token", ..TOKEN },
    Preset {
        name: "twilio",
        signature: "header:x-twilio-signature",
        algorithm: Algorithm::Sha1,
        encoding: Encoding::Base64,
        signed: "{url}{form}",
        ..PLAIN
    },
    Preset { name: "whatsapp", ..META },
    Preset {
        name: "zendesk",
        signature: "header:x-zendesk-webhook-signature",
        encoding: Encoding::Base64,
        signed: "{timestamp}{body}",
        timestamp: Some(("header:x-zendesk-webhook-signature-timestamp", Form::Iso8601)),
        past: Some(300),
        future: Some(300),
        ..PLAIN
    },
    Preset {
        name: "zoom",
        signature: "header:x-zm-signature",
        timestamp: Some(("header:x-zm-request-timestamp", Form::Seconds)),
        handshake: Some(handshake::ZOOM),
        ..SLACK
    },
];

/// The preset of a name.
pub fn of(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

impl Preset {
    /// # Errors
    /// None for those of this file, which a test holds.
    pub fn scheme(&self) -> Result<Scheme, ConfigError> {
        let read = |text: &str| source::read(text).ok_or_else(|| ConfigError::new("is no source"));
        let text = String::from;
        let list = |(separator, assign, version): (&'static str, &'static str, &'static str)| RawList {
            separator: text(separator),
            assign: text(assign),
            version: text(version),
        };
        let timestamp = match self.timestamp {
            Some((from, form)) => Some(RawTimestamp { from: read(from)?, form }),
            None => None,
        };
        let raw = RawScheme {
            kind: self.kind,
            signature: read(self.signature)?,
            prefix: text(self.prefix),
            list: self.list.map(list),
            algorithm: self.algorithm,
            encoding: self.encoding,
            signed: Some(template::read(self.signed)?),
            timestamp,
            id: self.id.map(read).transpose()?,
            key: self.key,
        };
        raw.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_scheme_and_stands_in_its_place() {
        for preset in ALL {
            preset.scheme().unwrap_or_else(|error| panic!("{}: {error}", preset.name));
            assert!(preset.handshake.is_none_or(|handshake| handshake.read().is_ok()), "{}", preset.name);
        }
        assert!(ALL.is_sorted_by_key(|preset| preset.name));
    }

    #[test]
    fn a_time_is_never_far_ahead_and_never_old_but_for_mailgun_which_asks_for_none() {
        for preset in ALL {
            assert_eq!(preset.timestamp.is_some(), preset.future.is_some(), "{}", preset.name);
            assert_eq!(preset.past.is_some(), preset.future.is_some() && preset.name != "mailgun", "{}", preset.name);
        }
    }
}
