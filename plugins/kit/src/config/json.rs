//! JSON text (RFC 8259) → [`Value`].
//!
//! 1. Stricter than the RFC where it leaves a choice: a key stands once in an object, nesting has a bound, an escaped
//!    surrogate has its partner, and a number has at most the digits that a double holds.
//! 2. What it reads, it reads as `serde_json` does: a property of the tests. In a module that is three times the size of this.

use super::{
    error::ConfigError,
    numbers,
    value::{DEEPEST, Value},
};

pub(super) fn read(bytes: &[u8]) -> Result<Value, ConfigError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.next().is_none() {
        return Ok(Value::Map(Vec::new()));
    }
    let value = reader.value(DEEPEST)?;
    match reader.next() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("more stands behind the value")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Never beyond the end.
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no blank, not yet taken.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn take(&mut self, expected: &[u8]) -> bool {
        let is_there = self.rest().starts_with(expected);
        self.at += if is_there { expected.len() } else { 0 };
        is_there
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn wrong(&self, why: &str) -> ConfigError {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let place = format!("at line {line} column {column}");
        ConfigError::new(format!("neither JSON nor a google.protobuf.Struct: {why} {place}"))
    }

    fn value(&mut self, depth: usize) -> Result<Value, ConfigError> {
        match self.next() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'{' | b'[') if depth == 0 => Err(self.wrong("nested too deep")),
            Some(b'{') => self.map(depth - 1),
            Some(b'[') => self.list(depth - 1),
            _ if self.take(b"null") => Ok(Value::Null),
            _ if self.take(b"true") => Ok(Value::Bool(true)),
            _ if self.take(b"false") => Ok(Value::Bool(false)),
            _ => self.number(),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, ConfigError> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while self.goes_on(fields.is_empty(), b'}')? {
            if self.next() != Some(b'"') {
                return Err(self.wrong("expected a key in quotes"));
            }
            let name = self.string()?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(self.wrong(&format!("`{name}` stands twice in one object")));
            }
            self.next();
            if !self.take(b":") {
                return Err(self.wrong("expected `:`"));
            }
            fields.push((name, self.value(depth)?));
        }
        Ok(Value::Map(fields))
    }

    fn list(&mut self, depth: usize) -> Result<Value, ConfigError> {
        let mut entries = Vec::new();
        while self.goes_on(entries.is_empty(), b']')? {
            entries.push(self.value(depth)?);
        }
        Ok(Value::List(entries))
    }

    /// Whether another entry follows: behind the opening bracket or a comma, and not behind the closing bracket.
    #[inline(never)]
    fn goes_on(&mut self, is_first: bool, end: u8) -> Result<bool, ConfigError> {
        if is_first {
            self.at += 1;
        }
        let found = self.next();
        if found == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if !is_first && !self.take(b",") {
            return Err(self.wrong("expected `,` or the closing bracket"));
        }
        Ok(true)
    }

    fn number(&mut self) -> Result<Value, ConfigError> {
        let Some((number, length)) = numbers::decimal(self.rest()) else {
            return Err(self.wrong("expected a value"));
        };
        if let [b'0', b'0'..=b'9', ..] | [b'-', b'0', b'0'..=b'9', ..] = self.rest() {
            return Err(self.wrong("expected a number without zeros in front"));
        }
        let Some(number) = number else {
            return Err(self.wrong("a number with more digits than a double holds"));
        };
        self.at += length;
        Ok(Value::Number(number))
    }

    /// A string; the quote before it is the next byte.
    fn string(&mut self) -> Result<String, ConfigError> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.bytes.get(self.at).copied() else { return Err(self.wrong("a text without end")) };
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(text).map_err(|_| self.wrong("a text that isn't UTF-8")),
                0..=0x1f => return Err(self.wrong("a control character in a text")),
                b'\\' => {
                    let character = self.escaped().ok_or_else(|| self.wrong("no escape of JSON"))?;
                    text.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte => text.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let kind = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                let code = match first {
                    0xd800..0xdc00 if self.take(b"\\u") => match self.four_digits()? {
                        second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                        _ => return None,
                    },
                    _ => first,
                };
                // A surrogate without its partner is no character.
                return char::from_u32(code);
            }
            _ => return None,
        })
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().first_chunk::<4>()?;
        let code = digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
        self.at += 4;
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn as_serde(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.clone().into(),
            Value::List(entries) => entries.iter().map(as_serde).collect(),
            Value::Map(fields) => fields.iter().map(|(name, value)| (name.clone(), as_serde(value))).collect(),
        }
    }

    /// All numbers as doubles, which is all that [`Value`] knows.
    fn plain(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => number.as_f64().into(),
            serde_json::Value::Array(entries) => entries.into_iter().map(plain).collect(),
            serde_json::Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
            other => other,
        }
    }

    /// What `serde_json` makes of it, and that it refuses what is refused here for being no JSON.
    fn compare(text: &[u8]) -> Result<(), TestCaseError> {
        let wanted = serde_json::from_slice::<serde_json::Value>(text).map(plain).ok();
        match read(text) {
            Ok(_) if text.iter().all(|byte| b" \t\r\n".contains(byte)) => {}
            Ok(value) => prop_assert_eq!(Some(as_serde(&value)), wanted),
            Err(error) => {
                let error = error.to_string();
                let stricter = ["stands twice", "nested too deep", "more digits"];
                prop_assert!(wanted.is_none() || stricter.iter().any(|known| error.contains(known)), "{}", error);
            }
        }
        Ok(())
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i32>().prop_map(serde_json::Value::from),
            (-1e6..1e6f64).prop_map(|number| serde_json::Value::from((number * 1000.0).round() / 1000.0)),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(5, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_as_serde_json_reads_it(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(read(text.as_bytes()).map(|value| as_serde(&value)).ok(), Some(plain(value)));
        }

        #[test]
        fn json_with_a_slip_is_read_or_refused_as_serde_json_does(
            value in any_json(), place: prop::sample::Index, with in "[]\\[{}\",:\\\\u0-9eE+\\-.dDtnf \n\u{1}]{0,3}", cut in 0usize..3,
        ) {
            let mut text = serde_json::to_string(&value).unwrap().into_bytes();
            let at = place.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, with.into_bytes());
            compare(&text)?;
        }

        #[test]
        fn text_of_the_signs_of_json_is_read_or_refused_as_serde_json_does(
            text in "([]\\[{},: \n]|\"[a-b]?\"|true|null|-?0?[1-9]{1,2}|0|\\.|[eE][-+]?|1.5|\"\\\\(u00e4|ud83d|ude00|n|x)\\\\?\"?){0,12}",
        ) {
            compare(text.as_bytes())?;
        }

        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            compare(&bytes)?;
        }
    }

    #[test]
    fn escapes_are_characters_and_half_of_one_is_refused() {
        let text = |text: &str| read(text.as_bytes()).ok();
        assert_eq!(text(r#""\ud83d\ude00 \u00E4\/\n""#), Some(Value::Text("\u{1f600} ä/\n".into())));
        for wrong in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\u12""#, r#""\x""#, r#""\u+123""#] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        assert!(read(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_beyond_the_bound_is_refused_and_the_stack_holds() {
        assert!(read(&[b"[".repeat(DEEPEST), b"]".repeat(DEEPEST)].concat()).is_ok());
        assert!(read(&b"[".repeat(100_000)).unwrap_err().to_string().contains("nested too deep"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let beginning = "neither JSON nor a google.protobuf.Struct: ";
        for (text, error) in [
            ("{\"a\": 1,\n  b}", "expected a key in quotes at line 2 column 3"),
            ("{\"a\": 1, \"a\": 1}", "`a` stands twice in one object at line 1 column 13"),
            ("{\"a\" 1}", "expected `:` at line 1 column 6"),
            ("[1 2]", "expected `,` or the closing bracket at line 1 column 4"),
            ("[1,]", "expected a value at line 1 column 4"),
            ("{} {}", "more stands behind the value at line 1 column 4"),
            ("01", "expected a number without zeros in front at line 1 column 1"),
            ("12345678901234567890", "a number with more digits than a double holds at line 1 column 1"),
            ("\"a", "a text without end at line 1 column 3"),
            ("yaml: no", "expected a value at line 1 column 1"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), format!("{beginning}{error}"), "{text}");
        }
    }
}
