//! Expectations of a step against what was seen of it.

use std::collections::BTreeMap;

use crate::{
    outcome::{Message, Play},
    scenario::{Expect, HeaderExpectation},
};

/// What isn't as expected, a sentence each; empty where all is.
pub fn check(expect: &Expect, play: &Play) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, expected: Option<String>, seen: Option<String>| {
        if expected.is_some() && expected != seen {
            wrong.push(format!(
                "{what} is {}, and {} is expected",
                seen.unwrap_or_else(|| "absent".into()),
                expected.unwrap_or_default()
            ));
        }
    };
    let status = play.client.as_ref().map(|message| message.start.clone());
    same("the status", expect.client.status.map(|status| status.to_string()), status);
    same("reached", expect.upstream.reached.map(|b| b.to_string()), Some(play.upstream.is_some().to_string()));
    let fields: BTreeMap<&str, &str> =
        play.record.as_deref().unwrap_or_default().split(' ').filter_map(|field| field.split_once('=')).collect();
    let field = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    same("the reason", expect.reason.clone(), field("reason").or_else(|| Some("none".into())));
    for (name, value) in &expect.record {
        same(&format!("the record's {name}"), Some(value.clone()), field(name));
    }
    for (side, message, headers) in
        [("client", &play.client, &expect.client.headers), ("upstream", &play.upstream, &expect.upstream.headers)]
    {
        for (name, expected) in headers {
            wrong.extend(check_header(side, name, expected, message.as_ref()));
        }
    }
    wrong
}

fn check_header(side: &str, name: &str, expected: &HeaderExpectation, message: Option<&Message>) -> Option<String> {
    let seen: Vec<&[u8]> = message.map(|message| message.values(name).collect()).unwrap_or_default();
    let expected: Vec<&[u8]> = expected.lines().iter().map(|line| line.0.as_slice()).collect();
    (seen != expected).then(|| {
        let text = |lines: &[&[u8]]| lines.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>();
        format!("the {side}'s {name} is {:?}, and {:?} is expected", text(&seen), text(&expected))
    })
}
