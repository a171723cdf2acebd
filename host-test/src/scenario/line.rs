//! What a request in words may say of its first line.
//!
//! 1. A codec that refuses it, or makes something else of it, never shows it to a filter. Such a line is written `raw`, where
//!    each host plays what its codec does.
//! 2. Over HTTP/1 the methods are those that Envoy's parser knows; over HTTP/2 any token but `CONNECT`.

use super::Request;

/// What Envoy's parser of HTTP/1 takes for a method, unless it is told to take any.
#[rustfmt::skip]
pub const METHODS: &[&str] = &[
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
    "PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
];

/// What is wrong with it.
pub fn wrong(request: &Request, http2: bool) -> Option<&'static str> {
    let Request { method, path, .. } = request;
    if method == "CONNECT" {
        return Some("the method CONNECT");
    }
    if !http2 && !METHODS.contains(&method.as_str()) {
        return Some("a method that Envoy doesn't know over HTTP/1");
    }
    if path.contains('#') {
        return Some("a fragment in the path");
    }
    (!path.starts_with('/')).then_some("a path that doesn't begin with `/`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_no_filter_would_see_is_wrong() {
        let wrong = |yaml: &str, http2| wrong(&serde_saphyr::from_str(yaml).unwrap(), http2);
        for yaml in [
            "{path: '/a#b'}",
            "{path: '*', method: OPTIONS}",
            "{path: 'http://a/b'}",
            "{path: ''}",
            "{method: CONNECT}",
        ] {
            assert!(wrong(yaml, false).is_some() && wrong(yaml, true).is_some(), "{yaml}");
        }
        for method in ["QUERY", "get", "PRI"] {
            assert!(wrong(&format!("{{method: {method}}}"), false).is_some(), "{method}");
        }
        assert_eq!(wrong("{method: QUERY}", true), None);
        assert_eq!(wrong("{method: PATCH, path: '/a?b'}", false), None);
    }
}
