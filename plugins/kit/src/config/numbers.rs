//! Numbers that may be text, and text that may be a number.

/// A whole number that a double holds exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0; // 2^53
    #[allow(clippy::cast_possible_truncation)]
    (number.fract() == 0.0 && number.abs() <= LARGEST).then_some(number as i64)
}

/// The number that a text of digits stands for: an optional sign, digits, an optional fraction.
pub(super) fn from_text(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if !plain {
        return None;
    }
    match text.parse::<i64>() {
        #[allow(clippy::cast_precision_loss)]
        Ok(integer) => Some(integer as f64),
        Err(_) => text.parse().ok(),
    }
}

/// The text that a number was most likely written as; `None` for a fraction, which Envoy hands over
/// as text, and whose formatting would be twenty thousand bytes of module.
pub(super) fn to_text(number: f64) -> Option<String> {
    whole(number).map(|integer| integer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_numbers() {
        assert_eq!(from_text("12"), Some(12.0));
        assert_eq!(from_text("-1.5"), Some(-1.5));
        for text in ["", "-", ".", "1.", ".5", "1e3", "0x10", " 1", "inf", "NaN", "1.2.3"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        assert_eq!(to_text(31_536_000.0).as_deref(), Some("31536000"));
        assert_eq!(to_text(0.5), None);
    }
}
