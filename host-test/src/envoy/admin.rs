//! Envoy's admin interface: what it counts, where it listens, who it is.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The admin interface of one Envoy on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    pub port: u16,
}

impl Admin {
    /// The counters whose full name matches `pattern` (RE2, unanchored), with their values.
    pub async fn counters(&self, pattern: &str) -> Result<BTreeMap<String, u64>> {
        self.stats(&format!("/stats?format=json&type=Counters&filter={}", escaped(pattern))).await
    }

    /// The counters and gauges whose full name matches `pattern` (RE2, unanchored), with their values.
    pub async fn numbers(&self, pattern: &str) -> Result<BTreeMap<String, u64>> {
        self.stats(&format!("/stats?format=json&filter={}", escaped(pattern))).await
    }

    async fn stats(&self, path: &str) -> Result<BTreeMap<String, u64>> {
        let stats = self.json(path).await?;
        let stats = stats.get("stats").and_then(Value::as_array).context("/stats holds no `stats`")?;
        let pair = |stat: &Value| Some((stat.get("name")?.as_str()?.to_owned(), stat.get("value")?.as_u64()?));
        Ok(stats.iter().filter_map(pair).collect())
    }

    /// The port of each listener on an IP address, by the listener's name.
    pub async fn listeners(&self) -> Result<BTreeMap<String, u16>> {
        let answer = self.json("/listeners?format=json").await?;
        let listeners = answer.get("listener_statuses").and_then(Value::as_array).cloned().unwrap_or_default();
        let pair = |listener: &Value| {
            let port = listener.pointer("/local_address/socket_address/port_value")?.as_u64()?;
            Some((listener.get("name")?.as_str()?.to_owned(), u16::try_from(port).ok()?))
        };
        Ok(listeners.iter().filter_map(pair).collect())
    }

    /// `/server_info`: version, state, options.
    pub async fn server_info(&self) -> Result<Value> {
        self.json("/server_info").await
    }

    /// Whether Envoy serves: its listeners are bound and its workers run.
    pub async fn ready(&self) -> bool {
        matches!(self.send(Method::GET, "/ready").await, Ok((200, _)))
    }

    /// The body of a `GET`; an error where the status isn't 200.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        self.ok(Method::GET, path).await
    }

    /// The body of a `POST`; an error where the status isn't 200.
    pub async fn post(&self, path: &str) -> Result<Bytes> {
        self.ok(Method::POST, path).await
    }

    async fn json(&self, path: &str) -> Result<Value> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body).with_context(|| format!("Envoy's admin {path} is no JSON"))
    }

    async fn ok(&self, method: Method, path: &str) -> Result<Bytes> {
        match self.send(method, path).await? {
            (200, body) => Ok(body),
            (status, body) => bail!("Envoy's admin {path} answers {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    async fn send(&self, method: Method, path: &str) -> Result<(u16, Bytes)> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, exchange(self.port, method, path)).await;
        answer
            .with_context(|| format!("no answer within {} s", ANSWER_WITHIN.as_secs()))
            .and_then(|answer| answer)
            .with_context(|| format!("Envoy's admin on 127.0.0.1:{} {path}", self.port))
    }
}

async fn exchange(port: u16, method: Method, path: &str) -> Result<(u16, Bytes)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(path).header("host", "admin").body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    // The connection is driven here rather than in a task: whoever stops waiting also closes it.
    tokio::pin!(connection, exchange);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut exchange => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Percent-encoded for a query, all but the letters, digits and what a pattern has most.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_travels_whole_in_a_query() {
        assert_eq!(escaped(r"^a\.b&c"), "%5Ea%5C.b%26c");
    }
}
