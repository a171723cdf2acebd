//! Single members of a JSON document, by pointer (RFC 6901, objects only).
//!
//! 1. The whole document must be JSON (RFC 8259): what isn't may be read otherwise behind this filter.
//! 2. A member on the way to one that is wanted, or that one itself, may stand once: names are compared after
//!    unescaping, since parsers differ on which of two they take.
//! 3. Nothing is kept but what is wanted.

/// Deeper documents are refused; a bound for the stack.
const DEEPEST: usize = 128;

/// The document can't be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A value that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// Unescaped.
    Text(Vec<u8>),
    /// As it is written.
    Number(Vec<u8>),
    /// Any other value.
    Other,
}

impl Member {
    /// What is signed of it.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Other => None,
        }
    }
}

/// The names on the way to a member, `/a/b` → `a`, `b`; `None` for what is no pointer. `~0` and `~1` stand for `~`, `/`.
pub fn pointer(text: &str) -> Option<Vec<Vec<u8>>> {
    let names = text.strip_prefix('/')?.split('/');
    Some(names.map(|name| name.replace("~1", "/").replace("~0", "~").into_bytes()).collect())
}

/// The member at each pointer.
///
/// # Errors
/// See the rules.
pub fn members(document: &[u8], pointers: &[&[Vec<u8>]]) -> Result<Vec<Option<Member>>, Malformed> {
    let mut reader = Reader { rest: document, found: vec![None; pointers.len()] };
    let wanted: Vec<_> = pointers.iter().copied().enumerate().collect();
    reader.value(&wanted, DEEPEST)?;
    reader.blank();
    if reader.rest.is_empty() { Ok(reader.found) } else { Err(Malformed) }
}

struct Reader<'a> {
    rest: &'a [u8],
    found: Vec<Option<Member>>,
}

type Wanted<'p> = (usize, &'p [Vec<u8>]);

impl<'a> Reader<'a> {
    fn value(&mut self, wanted: &[Wanted<'_>], depth: usize) -> Result<(), Malformed> {
        self.blank();
        let member = match self.rest.first() {
            Some(b'"') => {
                let text = self.string()?;
                match wanted.iter().any(|(_, names)| names.is_empty()) {
                    true => Member::Text(unescape(text).ok_or(Malformed)?),
                    false => Member::Other,
                }
            }
            Some(b'{') => {
                self.object(wanted, depth.checked_sub(1).ok_or(Malformed)?)?;
                Member::Other
            }
            Some(b'[') => {
                self.list(depth.checked_sub(1).ok_or(Malformed)?)?;
                Member::Other
            }
            Some(b'-' | b'0'..=b'9') => Member::Number(self.number()?.to_vec()),
            _ if self.take(b"true") || self.take(b"false") || self.take(b"null") => Member::Other,
            _ => return Err(Malformed),
        };
        for (place, _) in wanted.iter().filter(|(_, names)| names.is_empty()) {
            if let Some(found) = self.found.get_mut(*place) {
                *found = Some(member.clone());
            }
        }
        Ok(())
    }

    fn object(&mut self, wanted: &[Wanted<'_>], depth: usize) -> Result<(), Malformed> {
        let mut seen: Vec<&[u8]> = Vec::new();
        self.take(b"{");
        self.blank();
        if self.take(b"}") {
            return Ok(());
        }
        loop {
            self.blank();
            let name = self.string()?;
            let mut inside = Vec::new();
            if !wanted.is_empty() {
                let name = unescape(name);
                for (place, names) in wanted {
                    if let Some((first, rest)) = names.split_first()
                        && name.as_ref() == Some(first)
                    {
                        if inside.is_empty() && seen.contains(&first.as_slice()) {
                            return Err(Malformed);
                        }
                        seen.push(first);
                        inside.push((*place, rest));
                    }
                }
            }
            self.blank();
            if !self.take(b":") {
                return Err(Malformed);
            }
            self.value(&inside, depth)?;
            self.blank();
            if self.take(b"}") {
                return Ok(());
            }
            if !self.take(b",") {
                return Err(Malformed);
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Malformed> {
        self.take(b"[");
        self.blank();
        if self.take(b"]") {
            return Ok(());
        }
        loop {
            self.value(&[], depth)?;
            self.blank();
            if self.take(b"]") {
                return Ok(());
            }
            if !self.take(b",") {
                return Err(Malformed);
            }
        }
    }

    /// What stands between the quotes, escaped.
    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.take(b"\"") {
            return Err(Malformed);
        }
        let mut at = 0;
        loop {
            match self.rest.get(at).ok_or(Malformed)? {
                b'"' => break,
                b'\\' => {
                    let size = match self.rest.get(at + 1) {
                        Some(b'u') => {
                            let digits = self.rest.get(at + 2..at + 6).ok_or(Malformed)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
                        }
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(2),
                        _ => None,
                    };
                    at += size.ok_or(Malformed)?;
                }
                0..=0x1f => return Err(Malformed),
                _ => at += 1,
            }
        }
        let (text, rest) = self.rest.split_at_checked(at).ok_or(Malformed)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(text)
    }

    fn number(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        self.take(b"-");
        if !self.take(b"0") {
            self.digits()?;
        }
        if self.take(b".") {
            self.digits()?;
        }
        if self.take(b"e") || self.take(b"E") {
            let _ = self.take(b"+") || self.take(b"-");
            self.digits()?;
        }
        start.get(..start.len() - self.rest.len()).ok_or(Malformed)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..).unwrap_or_default();
        if count == 0 { Err(Malformed) } else { Ok(()) }
    }

    fn take(&mut self, text: &[u8]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blank(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// `None` for half of a surrogate pair.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (kind, after) = rest.split_first()?;
        rest = after;
        out.push(match kind {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (mut unit, after) = code_unit(rest)?;
                rest = after;
                if (0xd800..0xdc00).contains(&unit) {
                    let (low, after) = code_unit(rest.strip_prefix(b"\\u")?)?;
                    rest = after;
                    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    unit = 0x10000 + ((unit - 0xd800) << 10) + low;
                }
                let mut buffer = [0; 4];
                out.extend(char::from_u32(unit)?.encode_utf8(&mut buffer).bytes());
                continue;
            }
            other => *other,
        });
    }
    Some(out)
}

fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let add = |unit: u32, digit: &u8| Some(unit << 4 | char::from(*digit).to_digit(16)?);
    Some((digits.iter().try_fold(0, add)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(document: &str, at: &str) -> Result<Option<Member>, Malformed> {
        let names = pointer(at).unwrap();
        members(document.as_bytes(), &[&names]).map(|mut found| found.remove(0))
    }

    #[test]
    fn a_member_is_found_by_its_pointer_and_unescaped() {
        let document = r#" {"a": [1, {"b": 2}], "s": {"t": "x\u00e4\n\ud83d\ude00", "n": -1.5e3}, "o": {}} "#;
        assert_eq!(find(document, "/s/t"), Ok(Some(Member::Text("x\u{e4}\n\u{1f600}".into()))));
        assert_eq!(find(document, "/s/n"), Ok(Some(Member::Number(b"-1.5e3".to_vec()))));
        assert_eq!(find(document, "/o"), Ok(Some(Member::Other)));
        assert_eq!(find(document, "/b"), Ok(None));
        assert_eq!(find(document, "/s/t/u"), Ok(None));
    }

    #[test]
    fn a_member_that_decides_and_stands_twice_after_unescaping_is_refused() {
        for document in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"b": {"c": 1}, "b": {}}"#,
            r#"{"b": {"c": 1, "c": 1}}"#,
        ] {
            let at = if document.contains('b') { "/b/c" } else { "/a" };
            assert_eq!(find(document, at), Err(Malformed), "{document}");
        }
        assert_eq!(find(r#"{"z": 1, "z": 2, "a": {"a": 3}, "b": 1}"#, "/b"), Ok(Some(Member::Number(b"1".to_vec()))));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for document in [
            "",
            "{",
            "{}{}",
            "{'a': 1}",
            r#"{"a": 01}"#,
            r#"{"a": 1,}"#,
            "[1 2]",
            r#"{"a": "\x"}"#,
            r#"{"a": "\ud800"}"#,
            "{\"a\": \"\n\"}",
            "nul",
            r#"{"a" 1}"#,
            "+1",
            "1.",
            r#"{"a": "\u12"}"#,
        ] {
            assert_eq!(find(document, "/a"), Err(Malformed), "{document}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(find(&deep, "/a"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(document: Vec<u8>) {
            let _ = members(&document, &[&[b"a".to_vec()]]);
        }

        #[test]
        fn text_that_serde_writes_is_read_as_it_was(name: String, text: String, number: i64) {
            let document = serde_json::json!({ "x": { &name: { "t": text.clone(), "n": number } } }).to_string();
            let at = |last: &str| vec![b"x".to_vec(), name.clone().into_bytes(), last.as_bytes().to_vec()];
            let found = members(document.as_bytes(), &[&at("t"), &at("n")]).unwrap();
            let wanted = [Some(Member::Text(text.into_bytes())), Some(Member::Number(number.to_string().into_bytes()))];
            prop_assert_eq!(found, wanted);
        }
    }
}
