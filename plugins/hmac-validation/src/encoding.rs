//! How the bytes of a MAC or of a key are written. Strict: one text for each value and no other, so that no second
//! spelling of a signature passes where the provider's own library refuses it.

use portcullis_kit::words;

words! {
    /// How a signature is written.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Encoding {
        /// In lower case.
        #[default]
        Hex = "hex",
        /// RFC 4648 §4, with padding.
        Base64 = "base64",
        /// RFC 4648 §5, without padding.
        Base64Url = "base64url",
    }
}

impl Encoding {
    /// `None` for any other text than the one that these bytes are written as.
    pub fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex if text.iter().any(u8::is_ascii_uppercase) => None,
            Self::Hex => hex(text),
            Self::Base64 if !text.len().is_multiple_of(4) => None,
            Self::Base64 => {
                let plain = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
                // A padding that is longer than it must be.
                let padded = plain.len().div_ceil(4) * 4 == text.len();
                sextets(plain, b'+', b'/').filter(|_| padded)
            }
            Self::Base64Url => sextets(text, b'-', b'_'),
        }
    }

    pub fn encode(self, bytes: &[u8]) -> String {
        let (symbols, pads): (&[u8; 64], bool) = match self {
            Self::Hex => return to_hex(bytes),
            Self::Base64 => (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true),
            Self::Base64Url => (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false),
        };
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let word = group.iter().chain(&[0, 0]).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
            for place in 0..4 {
                match symbols.get(word >> (18 - 6 * place) & 63) {
                    Some(symbol) if place <= group.len() => text.push(char::from(*symbol)),
                    _ if pads => text.push('='),
                    _ => {}
                }
            }
        }
        text
    }
}

/// Pairs of digits, in either case.
pub fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Base64 without padding; bits that no byte has must be 0.
fn sextets(text: &[u8], symbol_62: u8, symbol_63: u8) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0_u32, 0);
    for symbol in text {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            _ if *symbol == symbol_62 => 62,
            _ if *symbol == symbol_63 => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
            word &= (1 << bits) - 1;
        }
    }
    (word == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url];

    #[test]
    fn the_examples_of_rfc_4648_are_read_and_written() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(Encoding::Base64.decode(text.as_bytes()).unwrap(), bytes.as_bytes());
            assert_eq!(Encoding::Base64.encode(bytes.as_bytes()), text);
            assert_eq!(Encoding::Base64Url.encode(bytes.as_bytes()), text.trim_end_matches('='));
        }
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_refused() {
        for (encoding, text) in [
            (Encoding::Hex, "AB"),
            (Encoding::Hex, "abc"),
            (Encoding::Hex, "a "),
            (Encoding::Hex, "+a"),
            (Encoding::Base64, "Zg"),
            (Encoding::Base64, "Zh=="),
            (Encoding::Base64, "Zm9v===="),
            (Encoding::Base64, "Zg=="[..3].as_ref()),
            (Encoding::Base64, "Zm8=\n"),
            (Encoding::Base64, "-_-_"),
            (Encoding::Base64, "===="),
            (Encoding::Base64Url, "Zg=="),
            (Encoding::Base64Url, "+/+/"),
        ] {
            assert_eq!(encoding.decode(text.as_bytes()), None, "{encoding:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_what_is_read_is_written_so(bytes: Vec<u8>, text in "[0-9a-zA-Z+/=_-]{0,24}") {
            for encoding in ALL {
                prop_assert_eq!(encoding.decode(encoding.encode(&bytes).as_bytes()), Some(bytes.clone()));
                if let Some(read) = encoding.decode(text.as_bytes()) {
                    prop_assert_eq!(encoding.encode(&read), text.clone());
                }
            }
        }

        #[test]
        fn no_bytes_break_a_reader(text: Vec<u8>) {
            for encoding in ALL {
                let _ = encoding.decode(&text);
            }
        }
    }
}
