//! What a client is told that is refused: the same in every filter.
//!
//! 1. A gRPC call (`content-type: application/grpc`) gets a gRPC status; the proxy makes trailers of it.
//! 2. Where the policy gives a `body`, that is the answer.
//! 3. Otherwise a client that accepts JSON gets problem JSON (RFC 9457 §3), any other one line of text.
//!
//! Nothing of the request stands in an answer.

use crate::{
    config::{ConfigError, Entries},
    fields,
    head::{RequestHead, is_name, lower},
    verdict::Reply,
};

fields! {
    /// What a refused client is told, as it is written.
    #[derive(Clone, Debug, Default)]
    pub struct RawRefusal {
        /// 400 to 599. Default: the filter's own.
        pub status: Option<u16> = default,
        /// Headers beside those of the filter: name to value.
        pub headers: Entries<String> = default,
        /// The whole body, at most 16 KiB. Default: problem JSON (RFC 9457) or a line of text, by what the client accepts.
        pub body: Option<String> = default,
        /// Of `body`. Default: `text/plain`.
        pub content_type: Option<String> = default,
    }
}

/// What a refused client is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    status: Option<u16>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<Vec<u8>>,
    content_type: Option<Vec<u8>>,
}

/// What a filter says of a refusal.
#[derive(Clone, Debug, Default)]
pub struct Problem<'a> {
    pub status: u16,
    /// A URI; empty for `about:blank`.
    pub kind: &'a str,
    /// A sentence without a word of the request.
    pub title: &'a str,
    /// More members, as JSON: `"violated-policies":["login"]`. Empty for none.
    pub members: &'a str,
    /// Of a gRPC call.
    pub grpc_status: u32,
}

/// Bytes of a body that a configuration may give.
const LARGEST_BODY: usize = 16 * 1024;

impl TryFrom<RawRefusal> for Refusal {
    type Error = ConfigError;

    fn try_from(mut raw: RawRefusal) -> Result<Self, ConfigError> {
        let mut refusal = Self::default();
        refusal.read(&mut raw)?;
        Ok(refusal)
    }
}

impl Refusal {
    fn read(&mut self, raw: &mut RawRefusal) -> Result<(), ConfigError> {
        if raw.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err(ConfigError::new("is no status of a refusal: 400 to 599").under("status"));
        }
        if raw.body.as_ref().is_some_and(|body| body.len() > LARGEST_BODY) {
            return Err(ConfigError::new("is longer than 16 KiB").under("body"));
        }
        if raw.content_type.is_some() && raw.body.is_none() {
            return Err(ConfigError::new("has no `body` to speak of").under("content_type"));
        }
        for (name, value) in &mut raw.headers.0 {
            let wrong = |why: &'static str| ConfigError::new(why).under(name).under("headers");
            if !is_name(name) {
                return Err(wrong("is no header name (RFC 9110 section 5.1)"));
            }
            let lower = lower(name);
            if ["content-length", "content-type", "transfer-encoding", "connection"].contains(&lower.as_str()) {
                return Err(wrong("is written by the proxy; for a type, use `content_type`"));
            }
            if !is_value(value) {
                return Err(wrong("the value isn't one line of visible ASCII"));
            }
            self.headers.push((lower.into_bytes(), std::mem::take(value).into_bytes()));
        }
        if raw.content_type.as_ref().is_some_and(|value| !is_value(value)) {
            return Err(ConfigError::new("isn't one line of visible ASCII").under("content_type"));
        }
        self.status = raw.status;
        self.body = raw.body.take().map(String::into_bytes);
        self.content_type = raw.content_type.take().map(String::into_bytes);
        Ok(())
    }
}

#[inline(never)]
fn is_value(value: &str) -> bool {
    let has_edges = !value.is_empty() && !value.starts_with(' ') && !value.ends_with(' ');
    has_edges && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

impl Refusal {
    /// The answer to a request; `head` is `None` where nobody read it.
    pub fn reply(
        &self,
        problem: &Problem<'_>,
        head: Option<&RequestHead>,
        headers: Vec<(Vec<u8>, Vec<u8>)>,
        details: String,
    ) -> Reply {
        let status = self.status.unwrap_or(problem.status);
        let mut reply = Reply { headers, ..Reply::empty(status, details) };
        reply.headers.extend(self.headers.iter().cloned());
        if asks(head, b"content-type", |kind| kind.starts_with(b"application/grpc")) {
            reply.grpc_status = Some(problem.grpc_status);
            reply.body = problem.title.as_bytes().to_vec();
            return reply;
        }
        let (body, content_type) = match &self.body {
            Some(body) => (body.clone(), self.content_type.clone().unwrap_or_else(|| b"text/plain".to_vec())),
            None if asks(head, b"accept", accepts_json) => (problem.json(status), b"application/problem+json".to_vec()),
            None => ([problem.title, "\n"].concat().into_bytes(), b"text/plain".to_vec()),
        };
        reply.headers.push((b"content-type".to_vec(), content_type));
        reply.body = body;
        reply
    }
}

/// Whether a line of the header asks for it.
#[inline(never)]
fn asks(head: Option<&RequestHead>, name: &[u8], asks: fn(&[u8]) -> bool) -> bool {
    head.is_some_and(|head| head.headers.all(name).any(asks))
}

/// Whether a line of `Accept` names JSON of any kind (RFC 9110 §12.5.1), not by `*/*` alone.
fn accepts_json(line: &[u8]) -> bool {
    let line = line.to_ascii_lowercase();
    line.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().and_then(|kind| kind.strip_prefix(b"application/")).unwrap_or_default();
        let is_json = kind.strip_suffix(b"json").is_some_and(|before| before.is_empty() || before.ends_with(b"+"));
        is_json && !parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
    })
}

impl Problem<'_> {
    /// RFC 9457 §3. The texts are the filter's own and hold nothing to be escaped.
    fn json(&self, status: u16) -> Vec<u8> {
        let kind = if self.kind.is_empty() { "about:blank" } else { self.kind };
        let comma = if self.members.is_empty() { "" } else { "," };
        let status = u64::from(status).to_string();
        let parts =
            [r#"{"type":""#, kind, r#"","title":""#, self.title, r#"","status":"#, &status, comma, self.members, "}"];
        parts.concat().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn refusal(json: &str) -> Result<Refusal, String> {
        let raw = config::read(json.as_bytes()).and_then(|value| value.typed::<RawRefusal>());
        raw.and_then(Refusal::try_from).map_err(|error| error.to_string())
    }

    fn answer(refusal: &Refusal, headers: &[(&str, &str)]) -> Reply {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        let head = RequestHead { headers: headers.collect(), ..RequestHead::default() };
        let problem =
            Problem { status: 429, kind: "urn:q", title: "Too many requests", members: r#""a":1"#, grpc_status: 8 };
        refusal.reply(&problem, Some(&head), vec![(b"retry-after".to_vec(), b"3".to_vec())], "x.y".into())
    }

    #[test]
    fn a_client_gets_what_it_accepts() {
        let refusal = refusal("{}").unwrap();
        let json = br#"{"type":"urn:q","title":"Too many requests","status":429,"a":1}"#;
        assert_eq!(answer(&refusal, &[("accept", "text/html, Application/JSON;q=0.5")]).body, json);
        assert_eq!(answer(&refusal, &[("accept", "application/problem+json")]).body, json);
        for other in [&[][..], &[("accept", "*/*")], &[("accept", "application/json; q=0")], &[("accept", "\u{ff}")]] {
            assert_eq!(answer(&refusal, other).body, b"Too many requests\n");
        }
        let call = answer(&refusal, &[("content-type", "application/grpc+proto")]);
        assert_eq!((call.grpc_status, call.body), (Some(8), b"Too many requests".to_vec()));
    }

    #[test]
    fn the_operators_answer_stands_in_its_place() {
        let refusal =
            refusal(r#"{"status": 503, "headers": {"X-Edge": "a"}, "body": "<p>", "content_type": "text/html"}"#);
        let reply = answer(&refusal.unwrap(), &[("accept", "application/json")]);
        assert_eq!((reply.status, reply.body.as_slice()), (503, &b"<p>"[..]));
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, ["retry-after", "x-edge", "content-type"]);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (json, error) in [
            (r#"{"status": 200}"#, "status: is no status of a refusal"),
            (r#"{"content_type": "a/b"}"#, "content_type: has no `body`"),
            (r#"{"headers": {"a b": "c"}}"#, "headers.a b: is no header name"),
            (r#"{"headers": {"Content-Length": "3"}}"#, "is written by the proxy"),
            (r#"{"headers": {"a": "b\nc"}}"#, "headers.a: the value"),
        ] {
            let found = refusal(json).unwrap_err();
            assert!(found.contains(error), "{json}: {found}");
        }
    }
}
