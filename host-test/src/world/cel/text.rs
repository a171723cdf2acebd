//! Quoted text and bytes: `'…'`, `"…"`, `r'…'`, `b'…'`.

use super::{Literal, parse::Refused};

/// The literal at the beginning, and what follows it; `None` where none begins.
pub fn quoted(source: &str) -> Option<Result<(Literal, &str), Refused>> {
    let (mut rest, mut raw, mut bytes) = (source, false, false);
    while let Some(letter) = rest.chars().next().filter(|letter| "rRbB".contains(*letter)) {
        let again = if "rR".contains(letter) { &mut raw } else { &mut bytes };
        if std::mem::replace(again, true) {
            return None;
        }
        rest = rest.get(1..)?;
    }
    let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    if rest.starts_with("'''") || rest.starts_with("\"\"\"") {
        return Some(Err(Refused::Unplayed("text over several lines".into())));
    }
    Some(
        read(rest.get(1..)?, quote, raw)
            .map(|(text, rest)| (if bytes { Literal::Bytes(text) } else { Literal::Text(text) }, rest)),
    )
}

fn read(source: &str, quote: char, raw: bool) -> Result<(Vec<u8>, &str), Refused> {
    let mut text = Vec::new();
    let mut letters = source.chars();
    loop {
        match letters.next().ok_or(Refused::Wrong)? {
            letter if letter == quote => return Ok((text, letters.as_str())),
            '\n' => return Err(Refused::Wrong),
            '\\' if !raw => {
                let byte = match letters.next().ok_or(Refused::Wrong)? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    letter @ ('\\' | '\'' | '"' | '`' | '?') => letter,
                    'x' | 'X' => point(&mut letters, 2)?,
                    'u' => point(&mut letters, 4)?,
                    _ => return Err(Refused::Unplayed("this escape in a text".into())),
                };
                if byte > '\u{7f}' {
                    return Err(Refused::Unplayed("an escape beyond ASCII".into()));
                }
                text.push(byte as u8);
            }
            letter => text.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

fn point(letters: &mut std::str::Chars<'_>, digits: usize) -> Result<char, Refused> {
    let hex: String = letters.by_ref().take(digits).collect();
    let number = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
    number.and_then(char::from_u32).ok_or(Refused::Wrong)
}
