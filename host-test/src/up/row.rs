//! One request of the demonstration: sent, answered, checked.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    envoy::{Process, client, demo::Seen},
    outcome::{Message, Play},
    runner::check::check,
    scenario::{Protocol, Step},
};

/// How long a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long its line in the access log may take.
const LINE_WITHIN: Duration = Duration::from_secs(2);

/// Headers of Envoy itself, or of the wire, which say nothing about a filter.
fn is_envoys_own(name: &str) -> bool {
    ["connection", "content-length", "date", "host", "transfer-encoding", "x-request-id"].contains(&name)
        || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
}

/// What came of one request.
#[derive(Debug)]
pub struct Row {
    pub promise: String,
    pub request: String,
    pub status: String,
    /// The record of each filter that left one, by the filter's name.
    pub records: BTreeMap<String, String>,
    /// How the request differs at the upstream; `None` where it didn't arrive.
    pub to_upstream: Option<Difference>,
    /// How the response differs at the client from what the upstream gave.
    pub to_client: Difference,
    /// What isn't as promised.
    pub wrong: Vec<String>,
}

/// The names of header lines that are on one side only, or unlike.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

pub async fn play(process: &Process, port: u16, seen: &Seen, step: &Step) -> Result<Row> {
    let offset = process.log_offset();
    seen.take();
    let exchange = client::answer(port, Protocol::Http1, step.request());
    let client = tokio::time::timeout(ANSWER_WITHIN, exchange).await.context("no answer")??;
    let exchange = seen.take();
    let records = records(process, offset).await;

    let named = step.expect.reason.as_deref().and_then(|reason| reason.split_once('.'));
    let record = named.and_then(|(filter, _)| records.get(filter).cloned());
    let sent = Message {
        headers: step.request().headers.0.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
        ..Message::default()
    };
    let to_upstream = exchange.as_ref().map(|exchange| difference(&sent, &exchange.request));
    let given = exchange.as_ref().map(|exchange| exchange.response.clone()).unwrap_or_default();
    let to_client = client.as_ref().map(|client| difference(&given, client)).unwrap_or_default();
    let upstream = exchange.map(|exchange| exchange.request);
    let play = Play { client, upstream, record, ..Play::default() };
    Ok(Row {
        promise: step.name.clone().unwrap_or_default(),
        request: format!("{} {}", step.request().method, step.request().path),
        status: play.client.as_ref().map_or("none".into(), |client| client.start.clone()),
        records,
        to_upstream,
        to_client,
        wrong: check(step, &play),
    })
}

/// What stands under `portcullis` in the access log line that follows `offset`.
async fn records(process: &Process, offset: u64) -> BTreeMap<String, String> {
    let end = Instant::now() + LINE_WITHIN;
    loop {
        let log = process.log_since(offset);
        let mut lines = log.split_inclusive('\n').filter(|line| line.starts_with('{') && line.ends_with('\n'));
        let line = lines.find_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = line {
            let records = line.get("portcullis").and_then(Value::as_object).cloned().unwrap_or_default();
            let text = |(filter, record): (String, Value)| Some((filter, record.as_str()?.to_owned()));
            return records.into_iter().filter_map(text).collect();
        }
        if Instant::now() > end {
            return BTreeMap::new();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn difference(before: &Message, after: &Message) -> Difference {
    let mut difference = Difference::default();
    let lines = |message: &Message, name: &str| message.values(name).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut names: Vec<&String> = before.headers.iter().chain(&after.headers).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names.into_iter().filter(|name| !is_envoys_own(name)) {
        let list = match (lines(before, name), lines(after, name)) {
            (before, after) if before == after => continue,
            (before, _) if before.is_empty() => &mut difference.added,
            (_, after) if after.is_empty() => &mut difference.removed,
            _ => &mut difference.changed,
        };
        list.push(name.clone());
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_tells_new_unlike_and_missing_lines_and_leaves_out_envoys_own() {
        let message = |lines: &[(&str, &str)]| Message {
            headers: lines.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
            ..Message::default()
        };
        let before = message(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = message(&[("a", "1"), ("b", "1"), ("b", "2"), ("d", "1"), ("date", "now")]);
        let expected = Difference { added: vec!["d".into()], changed: vec!["b".into()], removed: vec!["c".into()] };
        assert_eq!(difference(&before, &after), expected);
    }
}
