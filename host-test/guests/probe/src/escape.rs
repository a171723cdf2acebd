//! Bytes for a line of the log.

/// The most bytes that a line shows of one value.
const SHOWN: usize = 4096;

/// `"text"`, with `\xNN` for what can't be printed. A long value is cut, and its length told.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes.iter().take(SHOWN) {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    if bytes.len() > SHOWN {
        out.push_str(&format!("… {} bytes", bytes.len()));
    }
    out
}

/// Pairs as the ABI writes them: their number, then `name="value"` of each. What isn't pairs is
/// shown as it is.
pub fn pairs(bytes: &[u8]) -> String {
    read(bytes).unwrap_or_else(|| quoted(bytes))
}

/// The same in the order of the text, for maps that have none.
pub fn sorted_pairs(bytes: &[u8]) -> String {
    let Some(shown) = list(bytes) else { return quoted(bytes) };
    let mut shown: Vec<String> = shown;
    shown.sort();
    format!("{} {}", shown.len(), shown.join(" ")).trim_end().to_owned()
}

fn read(bytes: &[u8]) -> Option<String> {
    let shown = list(bytes)?;
    Some(format!("{} {}", shown.len(), shown.join(" ")).trim_end().to_owned())
}

fn list(bytes: &[u8]) -> Option<Vec<String>> {
    let (count, mut lengths) = number(bytes)?;
    let mut rest = lengths.get(count.checked_mul(8)?..)?;
    let mut out = Vec::new();
    for _ in 0..count {
        let (name, after) = number(lengths)?;
        let (value, after) = number(after)?;
        lengths = after;
        let (name, after) = text(rest, name)?;
        let (value, after) = text(after, value)?;
        rest = after;
        out.push(format!("{}={}", quoted(name).trim_matches('"'), quoted(value)));
    }
    rest.is_empty().then_some(out)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

fn text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    rest.strip_prefix(&[0]).map(|rest| (text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(quoted(b"a\"\\\x00\xff"), r#""a\"\\\x00\xff""#);
        assert!(quoted(&[b'a'; 5000]).ends_with("a\"… 5000 bytes"));
    }

    #[test]
    fn pairs_are_told_by_name() {
        let pair = [&[1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0][..], b"a\0bc\0"].concat();
        assert_eq!(pairs(&pair), r#"1 a="bc""#);
        assert_eq!(pairs(b"no"), r#""no""#);
        assert_eq!(pairs(&[0; 4]), "0");
        let two = [&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], b"b\0\0a\0\0"].concat();
        assert_eq!((pairs(&two), sorted_pairs(&two)), (r#"2 b="" a="""#.into(), r#"2 a="" b="""#.into()));
    }
}
