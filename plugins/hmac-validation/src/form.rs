//! The parameters of a form as Twilio signs them: decoded, sorted by name, of each name the distinct values sorted, all
//! joined with nothing between.

use crate::encoding;

/// `None` for what is no form.
pub fn sorted(body: &[u8]) -> Option<Vec<u8>> {
    let mut pairs = Vec::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(middle)?;
        pairs.push((decoded(name)?, decoded(value.get(1..).unwrap_or_default())?));
    }
    pairs.sort_unstable();
    pairs.dedup();
    Some(pairs.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect())
}

/// Escapes and `+` decoded; `None` for half an escape.
pub fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                out.extend(encoding::hex(digits)?);
                rest = after;
            }
            byte => out.push(*byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_their_distinct_values_are_sorted_by_bytes() {
        let body = b"To=%2B18005551212&a=2&a=1&a=2&Digits=12+34&B=&";
        assert_eq!(sorted(body).unwrap(), b"BDigits12 34To+18005551212a1a2");
        assert_eq!(sorted(b"").unwrap(), b"");
        for wrong in [&b"a=%"[..], b"a=%4", b"a=%zz", b"%"] {
            assert_eq!(sorted(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(body: Vec<u8>) {
            let _ = sorted(&body);
        }
    }
}
