//! What a client hears of a response whose lines filters have written, which Envoy doesn't check.
//!
//! 1. Over HTTP/1 a line feed in a name or a value ends the line, and what follows is the next one: a filter
//!    that copies what a client sent lets that client write the response. A line without a colon is no HTTP.
//! 2. An empty line ends the head; what was left of it, with the lines that Envoy adds, is the body's beginning.
//! 3. Over HTTP/2 a client refuses a response with a control character in it, or with a pseudo-header that
//!    isn't a response's; of trailers it passes HTTP's own pseudo-headers over, and refuses lines of a connection.
//! 4. A length that is no number, or two of them, is no HTTP, and a status that isn't of three digits.
//! 5. A status from 100 to 199 promises another response, which never comes (RFC 9110 §15.2).

use super::{
    head::{name_is_valid, value_is_valid},
    wire::{self, Length},
};
use crate::outcome::Message;

pub type Lines = Vec<(String, Vec<u8>)>;

/// What the client has of the message. The error is what can't be told.
pub fn heard(mut sent: Message, http2: bool) -> Result<Option<Message>, String> {
    if !is_status(&sent.start) || sent.start.starts_with('1') || wire::length(&sent.headers, http2) == Length::Wrong {
        return Ok(None);
    }
    if http2 {
        // What it makes of head and trailers is found where they are sent.
        return Ok(Some(sent));
    }
    if has_line_feed(&sent.headers) {
        let Some((lines, rest)) = split(&sent.headers) else { return Ok(None) };
        let lengths = |lines: &Lines| lines.iter().filter(|(name, _)| name == "content-length").count();
        let chunked = lines.iter().any(|(name, _)| name == "transfer-encoding");
        let untold = chunked || lengths(&lines) > lengths(&sent.headers) && lengths(&sent.headers) == 0;
        // Behind it come lines of Envoy's own, such as the date.
        let short =
            rest.as_ref().is_some_and(|rest| wire::announced(&lines, false).is_none_or(|length| length > rest.len()));
        if untold || short {
            return Err(
                "a filter wrote a line feed into a response's headers, and with it how the body ends or where \
                        the head does; what a client makes of that isn't known to this host: take the line feed out, \
                        or run the scenario in Envoy"
                    .into(),
            );
        }
        sent.body = rest.unwrap_or(sent.body);
        sent.headers = lines;
    }
    if !reads_as_written(&sent.headers) {
        sent.headers = split(&sent.headers).map(|(lines, _)| lines).unwrap_or_default();
    }
    if !reads_as_written(&sent.trailers) {
        match split(&sent.trailers) {
            Some((lines, _)) => sent.trailers = lines,
            None => {
                sent.trailers.clear();
                sent.complete = false;
            }
        }
    }
    Ok(Some(sent))
}

fn is_status(start: &str) -> bool {
    start.len() == 3 && !start.starts_with('0') && start.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a client of HTTP/2 takes this for the head of a response.
pub fn is_head_of_http2(sent: &Message) -> bool {
    let of_a_connection = |(name, value): &(String, Vec<u8>)| name == "te" && value != b"trailers";
    is_status(&sent.start) && is_legible(&sent.headers) && !sent.headers.iter().any(of_a_connection)
}

/// Why trailers aren't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The stream is reset.
    Refused,
    /// The connection ends.
    Illegible,
}

/// Trailers as a peer of HTTP/2 reads them.
pub fn trailers_of_http2(mut lines: Lines) -> Result<Lines, Unread> {
    lines.retain(|(name, _)| !PSEUDO.contains(&name.as_str()));
    let of_a_connection = |(name, value): &(String, Vec<u8>)| match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => true,
        "te" => value != b"trailers",
        _ => false,
    };
    if !is_legible(&lines) {
        return Err(Unread::Illegible);
    }
    if lines.iter().any(of_a_connection) { Err(Unread::Refused) } else { Ok(lines) }
}

const PSEUDO: [&str; 6] = [":status", ":method", ":scheme", ":authority", ":path", ":protocol"];

fn is_legible(lines: &Lines) -> bool {
    lines.iter().all(|(name, value)| {
        !name.is_empty() && !name.starts_with(':') && name_is_valid(name.as_bytes()) && value_is_valid(value)
    })
}

/// Whether lines of HTTP/1 are read as they were meant.
fn reads_as_written(lines: &Lines) -> bool {
    lines.iter().all(|(name, value)| {
        !name.contains([':', '\n']) && !value.contains(&b'\n') && wire::without_blanks(value).len() == value.len()
    })
}

fn has_line_feed(lines: &Lines) -> bool {
    lines.iter().any(|(name, value)| name.contains('\n') || value.contains(&b'\n'))
}

/// The lines as they are read, and what stands behind an empty one; `None` where a line has no colon.
pub fn split(lines: &Lines) -> Option<(Lines, Option<Vec<u8>>)> {
    let mut wire: Vec<u8> = Vec::new();
    for (name, value) in lines {
        wire.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let mut rest = wire.as_slice();
    let mut read = Lines::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Some((read, Some(rest.to_vec())));
        }
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let value = wire::without_blanks(value.get(1..).unwrap_or_default());
        read.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
    Some((read, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&str, &str)]) -> Message {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec())).collect();
        Message { start: "200".into(), headers, body: b"body".to_vec(), complete: true, ..Message::default() }
    }

    fn names(headers: &[(&str, &str)]) -> Vec<String> {
        let heard = heard(sent(headers), false).unwrap().unwrap();
        heard.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn a_line_feed_begins_a_new_line() {
        assert_eq!(names(&[("x-a", "1\r\nSet-Cookie: 2"), ("x-b", "3")]), ["x-a=1", "set-cookie=2", "x-b=3"]);
        assert_eq!(names(&[("x-a: 1\nx-b", "2\rc")]), ["x-a=1", "x-b=2\rc"]);
        assert_eq!(heard(sent(&[("x-a", "1\nno colon")]), false), Ok(None));
    }

    #[test]
    fn an_empty_line_begins_the_body_where_its_length_is_known() {
        let split = |length| heard(sent(&[("content-length", length), ("x-a", "1\n\nab")]), false);
        assert_eq!(split("4").unwrap().unwrap().body, b"ab\r\n");
        assert!(split("5").is_err(), "what Envoy adds");
        assert!(heard(sent(&[("x-a", "1\n\nab")]), false).is_err());
        assert!(heard(sent(&[("x-a", "1\ncontent-length: 2")]), false).is_err());
    }

    #[test]
    fn over_http2_nothing_is_heard_of_it() {
        for value in ["a\nb", "a\rb", "a\0b", "a\u{1}b"] {
            assert!(!is_head_of_http2(&sent(&[("x-a", value)])), "{value:?}");
        }
        assert!(is_head_of_http2(&sent(&[("x-a", "a\tb\u{ff}")])));
        assert_eq!(heard(sent(&[("content-length", "3,3")]), true), Ok(None));
    }

    #[test]
    fn a_status_has_three_digits() {
        for (status, taken) in [("200", true), ("999", true), ("42", false), ("1000", false), ("042", false)] {
            let sent = Message { start: status.into(), ..sent(&[]) };
            assert_eq!(heard(sent, false).unwrap().is_some(), taken, "{status}");
        }
    }

    #[test]
    fn trailers_of_http2_are_read_refused_or_end_the_connection() {
        let read = |name: &str, value: &str| trailers_of_http2(vec![(name.into(), value.as_bytes().to_vec())]);
        assert_eq!(read(":status", "200"), Ok(Vec::new()));
        assert_eq!(read("te", "gzip"), Err(Unread::Refused));
        assert_eq!(read("bad name", "x"), Err(Unread::Illegible));
        assert_eq!(read("x", "y").map(|lines| lines.len()), Ok(1));
    }
}
