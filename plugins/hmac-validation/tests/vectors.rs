//! Every vector of `vectors.json` comes out as it says, however its body is cut; and of every one that is accepted, each
//! bit of what is signed decides.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use hmac_validation::{
    config::HmacValidation,
    decide::{self, Begun, VERIFIED},
    keys::{self, Key},
    presets,
};
use portcullis_kit::{Policy, config, head::RequestHead, host::Secrets, reason::Reason, secret::Secret};
use serde_json::Value;

struct Environment(BTreeMap<String, String>);

impl Secrets for Environment {
    fn secret(&mut self, name: &str) -> Option<Secret> {
        self.0.get(name).map(|value| Secret::new(value.clone().into_bytes()))
    }
}

#[derive(Clone)]
struct Request {
    method: String,
    path: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

struct Vector {
    name: String,
    provider: String,
    policy: HmacValidation,
    keys: Vec<Key>,
    now: u64,
    request: Request,
    expect: String,
}

fn vectors() -> Vec<Vector> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    all.into_iter().map(vector).collect()
}

fn vector(value: Value) -> Vector {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = text(&value["name"]);
    let policy =
        config::read(value["policy"].to_string().as_bytes()).and_then(|policy| HmacValidation::from_value(&policy));
    let policy = policy.unwrap_or_else(|error| panic!("{name}: {error}"));
    let secrets = value["environment"].as_object().unwrap();
    let mut environment = Environment(secrets.iter().map(|(name, value)| (name.clone(), text(value))).collect());
    let (keys, missing) = keys::read(&mut environment, &policy).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(missing.is_empty(), "{name}");
    let request = &value["request"];
    let headers = request["headers"].as_array().unwrap().iter();
    let request = Request {
        method: text(&request["method"]),
        path: text(&request["path"]).into_bytes(),
        headers: headers.map(|line| (text(&line[0]).into_bytes(), text(&line[1]).into_bytes())).collect(),
        body: text(&request["body"]).into_bytes(),
    };
    let (provider, now) = (policy.provider.to_owned(), value["now"].as_u64().unwrap());
    Vector { name, provider, policy, keys, now, request, expect: text(&value["expect"]) }
}

impl Vector {
    fn decide(&self, request: &Request, cut: usize) -> Reason {
        let head = RequestHead {
            method: request.method.clone().into_bytes(),
            authority: b"inside.example".to_vec(),
            path: request.path.clone(),
            headers: request.headers.iter().cloned().collect(),
        };
        let result = match decide::begin(&self.policy, &self.keys, Some(&head), self.now) {
            Ok(Begun::Verified(verified)) => Ok(verified),
            Ok(Begun::Pending(mut pending)) => {
                let (first, second) = request.body.split_at(cut.min(request.body.len()));
                pending.update(first);
                pending.update(second);
                pending.finish(&self.policy, self.now)
            }
            Err(reason) => Err(reason),
        };
        result.err().unwrap_or(VERIFIED)
    }
}

#[test]
fn each_vector_comes_out_as_it_says_wherever_its_body_is_cut() {
    let vectors = vectors();
    for vector in &vectors {
        for cut in 0..=vector.request.body.len() {
            assert_eq!(vector.decide(&vector.request, cut).0, vector.expect, "{}", vector.name);
        }
    }
}

#[test]
fn every_preset_has_a_vector_that_is_accepted_and_one_that_is_refused() {
    let vectors = vectors();
    for preset in presets::ALL {
        let of: Vec<&Vector> = vectors.iter().filter(|vector| vector.provider == preset.name).collect();
        let accepted = of.iter().filter(|vector| vector.expect == "verified").count();
        assert!(accepted > 0 && accepted < of.len(), "{}", preset.name);
    }
}

#[test]
fn of_every_delivery_that_is_accepted_each_bit_of_body_signature_time_and_id_decides() {
    for vector in vectors().iter().filter(|vector| vector.expect == "verified") {
        let scheme = &vector.policy.scheme;
        let signs_body = scheme.reads_body() && !scheme.reads_whole_body();
        let mut places: Vec<(Option<usize>, usize)> = Vec::new();
        if signs_body {
            places.extend((0..vector.request.body.len()).map(|at| (None, at)));
        }
        for (line, (name, value)) in vector.request.headers.iter().enumerate() {
            if scheme.headers().any(|known| known.as_bytes() == name) {
                places.extend((0..value.len()).map(|at| (Some(line), at)));
            }
        }
        for (line, at) in places {
            for bit in 0..8 {
                let mut request = vector.request.clone();
                let bytes = line.map_or(&mut request.body, |line| &mut request.headers[line].1);
                bytes[at] ^= 1 << bit;
                // Another version's signature in a list says nothing, and an authentication scheme has no case.
                let says_nothing = vector.name.contains("passed over")
                    || line.is_some()
                        && bytes[..].eq_ignore_ascii_case(&vector.request.headers[line.unwrap()].1)
                        && at < 6;
                let reason = vector.decide(&request, at);
                assert!(reason != VERIFIED || says_nothing, "{}: line {line:?}, byte {at}, bit {bit}", vector.name);
            }
        }
    }
}
