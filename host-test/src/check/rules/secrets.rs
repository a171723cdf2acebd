//! Secrets that stand in a wasm filter's configuration, where every config dump shows them.
//!
//! 1. A field whose name says so holds one, or a list of them, or each under a name; a private key and a password in
//!    an address are known by themselves.
//! 2. What says where the secret is, is none: a file, a variable, a name.

use crate::check::{
    document::{Node, Place, Value},
    finding::{self, Finding},
    looked::Looked,
    wasm::{Dialect, Wasm},
};

/// What a field holds by its name: the name itself, what it ends with behind a `_`, and its plural.
const NAMES: &[(&str, Kind)] = &[
    ("access_token", Kind::Secret),
    ("aes_key", Kind::Secret),
    ("api_key", Kind::Secret),
    ("apikey", Kind::Secret),
    ("auth_token", Kind::Secret),
    ("authorization", Kind::Credentials),
    ("bearer_token", Kind::Secret),
    ("client_secret", Kind::Secret),
    ("credential", Kind::Credentials),
    ("encryption_key", Kind::Secret),
    ("hmac_key", Kind::Secret),
    ("passphrase", Kind::Password),
    ("passwd", Kind::Password),
    ("password", Kind::Password),
    ("private_key", Kind::Secret),
    ("pwd", Kind::Password),
    ("refresh_token", Kind::Secret),
    ("secret", Kind::Secret),
    ("secret_key", Kind::Secret),
    ("shared_key", Kind::Secret),
    ("signing_key", Kind::Secret),
    ("token", Kind::Token),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of any text of some length.
    Secret,
    /// People choose short ones.
    Password,
    /// Many things are called so: one looks random.
    Token,
    /// A scheme with a secret, or a name with one.
    Credentials,
}

/// Fields of a secret's message that hold it, where the others say where it is.
const VALUES: [&str; 8] =
    ["value", "inline", "inline_string", "inline_bytes", "literal", "plain", "plaintext", "plain_text"];

/// Fields that say where something is, or what it is called.
const REFERENCES: [&str; 17] = [
    "algorithm",
    "cluster",
    "encoding",
    "env",
    "env_var",
    "file",
    "filename",
    "format",
    "header",
    "id",
    "key_id",
    "kid",
    "name",
    "path",
    "type",
    "url",
    "uri",
];

pub fn look(edge: &Looked<'_>, findings: &mut Vec<Finding>) {
    for looked in &edge.filters {
        let Some(wasm) = &looked.filter.wasm else { continue };
        for (name, at) in found(wasm) {
            let node = Node { value: Value::Null, at };
            findings.push(Finding::new(
                &finding::SECRET_INLINE,
                edge.edge.file,
                &node,
                format!("{}: `{name}` holds its value in plain text", looked.filter.shown()),
                match wasm.dialect {
                    Dialect::Envoy => "take it from the environment: vm_config.environment_variables.host_env_keys",
                    Dialect::Istio => "take it from the environment: vmConfig.env with valueFrom: HOST",
                    Dialect::EnvoyGateway => "take it from the environment: env.hostKeys",
                },
            ));
        }
    }
}

/// The names of fields that hold secrets, and where they stand.
fn found(wasm: &Wasm<'_>) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    for fields in [wasm.fields(), wasm.vm_fields()].into_iter().flatten() {
        fields.walk(&mut |node| {
            let named = node.fields().iter().filter(|(name, value)| holds_secret(name, value));
            found.extend(named.map(|(name, value)| (name.clone(), value.at)));
        });
    }
    let Some(vm) = wasm.vm() else { return found };
    let variables = vm.at_path(&["environment_variables", "key_values"]).map(Node::fields).unwrap_or_default();
    let named = variables.iter().filter(|(name, value)| holds_secret(name, value));
    found.extend(named.map(|(name, value)| (name.clone(), value.at)));
    for variable in vm.get("env").map(Node::elements).unwrap_or_default() {
        let name = variable.text_of("name");
        if let Some(value) = variable.get("value").filter(|value| holds_secret(name, value)) {
            found.push((name.to_owned(), value.at));
        }
    }
    found
}

/// A name that says so and a value that is no reference to one; or a value that can be nothing else.
fn holds_secret(name: &str, node: &Node) -> bool {
    let name = in_snake_case(name);
    let is = |word: &str| {
        let one = name.strip_suffix('s').unwrap_or(&name);
        let plain = name.strip_suffix("_pem").unwrap_or(&name);
        [name.as_str(), one, plain].iter().any(|name| *name == word || name.ends_with(&format!("_{word}")))
    };
    let kind = NAMES.iter().find(|(word, _)| is(word)).map(|(_, kind)| *kind);
    let text = |node: &Node| node.text().is_some_and(|text| kind.is_some_and(|kind| is_literal(text, kind)));
    let by_itself = |text: &str| text.contains("-----BEGIN") && text.contains("PRIVATE KEY-----") || has_password(text);
    match &node.value {
        Value::Text(value) => by_itself(value) || text(node),
        // A list of words may be one of names.
        Value::List(elements) => {
            let has_digit =
                |node: &Node| node.text().is_some_and(|text| text.contains(|one: char| one.is_ascii_digit()));
            elements.iter().any(|node| has_digit(node) && text(node))
        }
        // One under each name, or in a message that says how it is given.
        Value::Map(fields) if kind.is_some() => {
            let is_message = fields.iter().any(|(name, _)| REFERENCES.contains(&name.as_str()));
            fields.iter().any(|(name, value)| (VALUES.contains(&name.as_str()) || !is_message) && text(value))
        }
        _ => false,
    }
}

/// `clientSecret`, `client-secret` and `CLIENT_SECRET` are one.
fn in_snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if was_lower && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        snake.push(if letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    snake
}

fn is_literal(text: &str, kind: Kind) -> bool {
    let text = text.trim();
    let shortest = if kind == Kind::Password { 4 } else { 8 };
    if text.len() < shortest || is_reference(text) {
        return false;
    }
    match kind {
        Kind::Secret | Kind::Password => true,
        Kind::Token => is_random(text) || is_of_scheme(text),
        Kind::Credentials => is_random(text) || is_of_scheme(text) || text.contains(':') && !text.contains(' '),
    }
}

/// `Bearer …`, `Basic …`.
fn is_of_scheme(text: &str) -> bool {
    let scheme = text.split_once(' ').filter(|(_, rest)| rest.len() >= 8 && !is_reference(rest));
    scheme.is_some_and(|(scheme, _)| ["bearer", "basic", "token"].iter().any(|one| scheme.eq_ignore_ascii_case(one)))
}

/// Letters of both cases and digits, as nothing that was written by hand has them.
fn is_random(text: &str) -> bool {
    let has = |kind: fn(&char) -> bool| text.chars().any(|letter| kind(&letter));
    text.len() >= 16
        && !text.contains(' ')
        && has(char::is_ascii_digit)
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
}

/// Where a secret is: a file, a variable, the name of one, a place in a vault.
fn is_reference(text: &str) -> bool {
    const BEGINNINGS: [&str; 9] = ["env:", "file:", "sds:", "vault:", "secret:", "./", "../", "<", "%"];
    let is_path = text.starts_with('/') && !text.contains(['+', '=']) && text.contains(char::is_alphabetic);
    let is_variable = text.contains('_')
        && text.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
    let is_filled_in = ["${", "$(", "{{", "redacted", "REDACTED", "***"].iter().any(|mark| text.contains(mark));
    let is_named = text.strip_prefix('$').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric())
    });
    is_path || is_variable || is_filled_in || is_named || BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

/// `redis://name:password@host`.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    user.is_some_and(|(_, password)| !password.is_empty() && !is_reference(password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse::parse;

    fn holds(field: &str) -> bool {
        let root = parse(field).unwrap().remove(0);
        let mut found = false;
        root.walk(&mut |node| found |= node.fields().iter().any(|(name, node)| holds_secret(name, node)));
        found
    }

    #[test]
    fn a_secret_is_known_by_its_fields_name_or_by_itself() {
        for field in [
            "password: hunter2",
            "client-secret: abcdefgh",
            "clientSecret: abcdefgh",
            "privateKey: abcdefgh",
            "token: eyJhbGciOiJIUzI1NiJ9.e30.abcdefgh",
            "hmac_key: c2VjcmV0c2VjcmV0c2VjcmV0",
            "secrets: [s3cr3ts3cr3t]",
            "api_keys: {alice: abcdefghijkl}",
            "authorization: Bearer abcdefghijklmnop",
            "key: \"-----BEGIN PRIVATE KEY-----\\nMIIE\"",
            "credentials: 'user:passw0rd1'",
            "secret: {value: literalsecret1}",
            "secret: {name: first, value: literalsecret1}",
            "private_key_pem: 'MIIEvQIBADANBg'",
            "STRIPE_API_KEY: sk_live_abcdefgh",
            "redis: 'redis://cache:hunter2@10.0.0.1:6379/0'",
        ] {
            assert!(holds(field), "{field}");
        }
    }

    #[test]
    fn where_a_secret_is_is_none() {
        for field in [
            "client_secret: /etc/secrets/file",
            "password: $(PASSWORD_FROM_ENV)",
            "password: ${PASSWORD}",
            "password: $PASSWORD",
            "secret: HMAC_KEY_FIRST",
            "secrets: [webhook-signing, stripe-events]",
            "secret: {name: first-secret, path: /run/secrets}",
            "secret: {env: HMAC_KEY_FIRST}",
            "secret: 'env:HMAC_KEY'",
            "api_key: '{{ .Values.key }}'",
            "token: x-session-token",
            "token: {header: x-session-token}",
            "authorization: required-for-admins",
            "secret_header: x-shared-secret",
            "password: '[redacted]'",
            "url: 'https://user@host/a:b@c'",
            "url: 'redis://cache:${PASSWORD}@host'",
            "key: remote_address",
        ] {
            assert!(!holds(field), "{field}");
        }
    }
}
