//! No value of a signature's header breaks a provider's reader, and none that is made without the key is believed.
#![no_main]

use std::sync::LazyLock;

use hmac_validation::{
    config::HmacValidation,
    decide::{Begun, begin},
    keys::{self, Key},
    presets,
};
use portcullis_kit::{Policy, config, head::RequestHead, host::Secrets, secret::Secret};

struct Fixed;

impl Secrets for Fixed {
    fn secret(&mut self, _: &str) -> Option<Secret> {
        Some(Secret::new(b"whsec_AAECAwQFBgcICQoLDA0ODw==".to_vec()))
    }
}

static POLICIES: LazyLock<Vec<(HmacValidation, Vec<Key>)>> = LazyLock::new(|| {
    let policy = |name: &str, url: &str| {
        let json = format!(r#"{{"provider": "{name}", {url} "secrets": [{{"id": "a", "env": "KEY"}}]}}"#);
        config::read(json.as_bytes()).and_then(|value| HmacValidation::from_value(&value))
    };
    let of = |preset: &presets::Preset| {
        let policy =
            policy(preset.name, "").or_else(|_| policy(preset.name, r#""public_url": "https://a.b","#)).unwrap();
        let (keys, _) = keys::read(&mut Fixed, &policy).unwrap();
        (policy, keys)
    };
    presets::ALL.iter().map(of).collect()
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Parts that a line feed parts: path, body, then one value for every header that decides.
    let mut parts = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    let (path, body, value, other) = (next(), next(), next(), next());
    for (policy, keys) in POLICIES.iter() {
        let value = |place: usize| if place == 0 { value.clone() } else { other.clone() };
        let lines = policy.scheme.headers().enumerate().map(|(place, name)| (name.as_bytes().to_vec(), value(place)));
        let head = RequestHead { path: path.clone(), headers: lines.collect(), ..RequestHead::default() };
        let verified = match begin(policy, keys, Some(&head), 1_790_000_000_000) {
            Ok(Begun::Pending(mut pending)) => {
                pending.update(&body);
                pending.finish(policy, 1_790_000_000_000).is_ok()
            }
            Ok(Begun::Verified(_)) => true,
            Err(_) => false,
        };
        assert!(!verified, "{}", policy.provider);
    }
});
