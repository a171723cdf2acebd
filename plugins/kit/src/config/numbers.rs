//! Numbers that may be text, and text that may be a number.
//!
//! Written by hand, since the standard library's readers and writers of floating-point numbers are exact for every
//! number there is, at six and twenty thousand bytes of module. A configuration holds whole numbers, and
//! fractions like 1.5.

/// Beyond it, a double doesn't hold every whole number: 2^53.
const LARGEST: u64 = 9_007_199_254_740_992;

/// Powers of ten that a double holds exactly. A quotient or product of two exact numbers is rounded once, and so the
/// nearest to what is written (Clinger 1990, "How to read floating point numbers accurately").
#[rustfmt::skip]
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A whole number that a double holds exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    (number.fract() == 0.0 && number.abs() <= LARGEST as f64).then_some(number as i64)
}

/// The number that a text of digits stands for: an optional sign, digits, an optional fraction.
pub(super) fn from_text(text: &str) -> Option<f64> {
    let (number, length) = decimal(text.as_bytes())?;
    let plain = length == text.len() && !text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    plain.then_some(number).flatten()
}

/// The number that `bytes` begin with, as JSON writes it (but for zeros in front, which may stand here), and how many
/// bytes it takes. The outer `None`: none. The inner one: more than 2^53 without its point, or a power beyond 22.
pub(super) fn decimal(bytes: &[u8]) -> Option<(Option<f64>, usize)> {
    let mut reader = Digits { bytes, at: 0, number: Some(0) };
    let is_negative = reader.skip(b"-");
    reader.digits()?;
    let mut power = 0;
    if reader.skip(b".") {
        let start = reader.at;
        reader.digits()?;
        power = i32::try_from(start).ok()? - i32::try_from(reader.at).ok()?;
    }
    let number = reader.number.filter(|number| *number <= LARGEST);
    if reader.skip(b"eE") {
        let is_negative = reader.skip(b"-");
        if !is_negative {
            reader.skip(b"+");
        }
        reader.number = Some(0);
        reader.digits()?;
        // A power that is cut here is beyond the bound below all the same.
        let written = i32::try_from(reader.number.unwrap_or(u64::MAX)).unwrap_or(i32::MAX / 2);
        power += if is_negative { -written } else { written };
    }
    let factor = usize::try_from(power.unsigned_abs()).ok().and_then(|power| POWERS.get(power));
    #[allow(clippy::cast_precision_loss)]
    let value = number.zip(factor).map(|(number, factor)| {
        let number = number as f64;
        let value = if power < 0 { number / factor } else { number * factor };
        if is_negative { -value } else { value }
    });
    Some((value, reader.at))
}

struct Digits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// `None` for one that is too large.
    number: Option<u64>,
}

impl Digits<'_> {
    fn skip(&mut self, any: &[u8]) -> bool {
        let is_there = self.bytes.get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(is_there);
        is_there
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            let number = self.number.and_then(|number| number.checked_mul(10));
            self.number = number.and_then(|number| number.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// The text that a number was most likely written as; `None` for a fraction, which Envoy hands over
/// as text.
pub(super) fn to_text(number: f64) -> Option<String> {
    whole(number).map(|integer| integer.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_digits_are_numbers() {
        assert_eq!(from_text("12"), Some(12.0));
        assert_eq!(from_text("007"), Some(7.0));
        assert_eq!(from_text("-1.5"), Some(-1.5));
        for text in ["", "-", ".", "1.", ".5", "1e3", "0x10", " 1", "inf", "NaN", "1.2.3", "1-", "9007199254740993"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        assert_eq!(to_text(31_536_000.0).as_deref(), Some("31536000"));
        assert_eq!(to_text(0.5), None);
    }

    #[test]
    fn a_power_of_ten_beyond_all_bounds_is_no_number_here() {
        for text in ["1e23", "1e-23", "1e999999999999999999999", "1e-2147483648", "1e2147483648"] {
            assert_eq!(decimal(text.as_bytes()), Some((None, text.len())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in "-?[0-9]{1,15}(\\.[0-9]{1,6})?([eE][-+]?[0-9]{1,2})?") {
            let (number, length) = decimal(text.as_bytes()).unwrap();
            prop_assert_eq!(length, text.len());
            if let Some(number) = number {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits());
            } else {
                prop_assert!(text.len() > 15 || text.contains(['e', 'E']));
            }
        }
    }
}
