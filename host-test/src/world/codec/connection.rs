//! What a request over HTTP/1 says of its own connection, and what Envoy makes of that.
//!
//! 1. An upgrade to `h2c` is left out as if it weren't asked for. Any other that the route doesn't allow, and no route of a
//!    scenario does, is answered with 403 before any filter sees it.
//! 2. What `connection` names is taken out (RFC 9110 §7.6.1), but for a `te` with `trailers`. Who names ten lines, a
//!    pseudo-header, or what a proxy wrote of the way that the request came, is refused.

use super::{Request, http1::refused};
use crate::{
    scenario::{self, Bytes},
    world::reply::Reply,
};

/// More names than this are refused, and a longer `te`.
const MOST_NAMES: usize = 9;
const LONGEST_TE: usize = 255;

/// The request without what was for the connection alone; the error is how it is answered.
pub fn sanitised(mut request: scenario::Request) -> Result<scenario::Request, Request> {
    let Some(mut names) = tokens(&request, "connection") else { return Ok(request) };
    let upgrade = values(&request, "upgrade");
    if !upgrade.is_empty() && names.iter().any(|name| name == "upgrade") && request.method != "CONNECT" {
        if !upgrade.eq_ignore_ascii_case("h2c") {
            let refusal = Reply::plain(403, "", "upgrade_failed");
            return Err(Request::Rejected(Box::new(request), refusal));
        }
        remove(&mut request, "upgrade");
        remove(&mut request, "http2-settings");
        names.retain(|name| name != "upgrade" && name != "http2-settings");
        remove(&mut request, "connection");
    }
    if names.len() > MOST_NAMES {
        return Err(refused(400, REJECTED));
    }
    for name in names {
        match name.as_str() {
            "" | "close" | "http2-settings" | "keep-alive" | "upgrade" | "connection" => {}
            "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => return Err(refused(400, REJECTED)),
            name if name.starts_with(':') => return Err(refused(400, REJECTED)),
            "te" if values(&request, "te").len() > LONGEST_TE => return Err(refused(400, REJECTED)),
            "te" if tokens(&request, "te").is_some_and(|all| all.iter().any(|token| token == "trailers")) => {
                remove(&mut request, "te");
                request.headers.0.push(("te".into(), Bytes(b"trailers".to_vec())));
            }
            name => remove(&mut request, name),
        }
    }
    Ok(request)
}

/// Envoy's detail.
const REJECTED: &str = "http1.connection_header_rejected";

/// All values of a name as one.
fn values(request: &scenario::Request, name: &str) -> String {
    let lines = request.headers.0.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| String::from_utf8_lossy(&value.0)).collect::<Vec<_>>().join(",")
}

/// What stands between the commas, in lower case; `None` where there is no such line.
fn tokens(request: &scenario::Request, name: &str) -> Option<Vec<String>> {
    let present = request.headers.0.iter().any(|(line, _)| line.eq_ignore_ascii_case(name));
    let tokens = || values(request, name).split(',').map(|token| token.trim().to_ascii_lowercase()).collect();
    present.then(tokens)
}

fn remove(request: &mut scenario::Request, name: &str) {
    request.headers.0.retain(|(line, _)| !line.eq_ignore_ascii_case(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(headers: &str) -> Vec<String> {
        let request = serde_saphyr::from_str(&format!("{{headers: {headers}}}")).unwrap();
        sanitised(request).unwrap().headers.0.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_the_connection_names_is_taken_out() {
        assert_eq!(left("{connection: 'X-A, close', x-a: b, x-b: c}"), ["connection", "x-b"]);
        assert_eq!(left("{connection: te, te: gzip}"), ["connection"]);
        assert_eq!(left("{connection: te, te: 'gzip, trailers'}"), ["connection", "te"]);
    }

    #[test]
    fn an_upgrade_is_left_out_or_refused() {
        assert_eq!(left("{connection: Upgrade, upgrade: H2C, http2-settings: x, a: b}"), ["a"]);
        assert_eq!(left("{upgrade: websocket}"), ["upgrade"]);
        let websocket = serde_saphyr::from_str("{headers: {connection: upgrade, upgrade: websocket}}").unwrap();
        assert!(matches!(sanitised(websocket), Err(Request::Rejected(_, refusal)) if refusal.status == 403));
    }

    #[test]
    fn who_names_too_much_is_refused() {
        for names in ["x-forwarded-for", ":path", "a,b,c,d,e,f,g,h,i,j"] {
            let request = serde_saphyr::from_str(&format!("{{headers: {{connection: '{names}'}}}}")).unwrap();
            assert!(matches!(sanitised(request), Err(Request::Refused(Some(_)))), "{names}");
        }
    }
}
