//! Points in time as senders write them, in milliseconds since 1970.
//!
//! Strict: digits alone, no sign, no fraction, no zero in front. A reader that takes less exact text lets bytes of a signed
//! body pass for a part of the timestamp.

use portcullis_kit::words;

words! {
    /// How a timestamp is written.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Form {
        /// Since 1970.
        #[default]
        Seconds = "seconds",
        /// Since 1970.
        Milliseconds = "milliseconds",
        /// RFC 3339, in UTC: `2021-03-25T05:09:27Z`.
        Iso8601 = "iso8601",
    }
}

impl Form {
    /// `None` for what isn't written so.
    pub fn read(self, text: &[u8]) -> Option<u64> {
        match self {
            Self::Seconds => digits(text, 12)?.checked_mul(1000),
            Self::Milliseconds => digits(text, 15),
            Self::Iso8601 => iso(text),
        }
    }
}

fn digits(text: &[u8], most: usize) -> Option<u64> {
    let canonical = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= most;
    canonical.then(|| number(text)).flatten()
}

fn number(text: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    text.iter().try_fold(0, add)
}

/// Milliseconds of `2021-03-25T05:09:27.123Z`; the fraction, of one to nine digits, may be missing.
pub fn iso(text: &[u8]) -> Option<u64> {
    let (date, rest) = text.split_at_checked(19)?;
    let part = |start: usize, end: usize| number(date.get(start..end)?);
    let mark = |place: usize, byte: u8| (date.get(place) == Some(&byte)).then_some(());
    for (place, byte) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        mark(place, byte)?;
    }
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let fits = year >= 1970 && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = rest.strip_suffix(b"Z").or_else(|| rest.strip_suffix(b"+00:00"))?;
    let millis = match rest {
        [] => 0,
        [b'.', fraction @ ..] if (1..=9).contains(&fraction.len()) && fraction.iter().all(u8::is_ascii_digit) => {
            number(&fraction.iter().chain(b"00").take(3).copied().collect::<Vec<_>>())?
        }
        _ => return None,
    };
    let days: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<u64>()
        + (1..month).map(|month| days_of(year, month)).sum::<u64>()
        + day
        - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        assert_eq!(Form::Seconds.read(b"1614265330"), Some(1_614_265_330_000));
        assert_eq!(Form::Milliseconds.read(b"1614265330123"), Some(1_614_265_330_123));
        assert_eq!(Form::Iso8601.read(b"2021-03-25T05:09:27Z"), Some(1_616_648_967_000));
        assert_eq!(Form::Iso8601.read(b"2024-02-29T23:59:59.5Z"), Some(1_709_251_199_500));
        assert_eq!(Form::Iso8601.read(b"1970-01-01T00:00:00.123456789Z"), Some(123));
    }

    #[test]
    fn whatever_isnt_exactly_that_is_refused() {
        for text in
            ["", "+1", "-1", "01", "1.0", "1e3", " 1", "1 ", "1,2", "0x1", "1614265330.{", "\u{661}", "9999999999999"]
        {
            assert_eq!(Form::Seconds.read(text.as_bytes()), None, "{text}");
        }
        for text in [
            "2021-03-25",
            "2021-03-25T05:09:27",
            "2021-03-25 05:09:27Z",
            "2021-02-29T05:09:27Z",
            "2021-13-01T05:09:27Z",
            "2021-03-25T24:09:27Z",
            "2021-03-25T05:09:27.Z",
            "2021-03-25T05:09:27+01:00",
            "1969-03-25T05:09:27Z",
            "2021-03-25T05:09:2\u{ff}Z",
        ] {
            assert_eq!(Form::Iso8601.read(text.as_bytes()), None, "{text}");
        }
    }
}
