//! The name that was meant.

/// `; did you mean `preset`?` where a known name is near enough to `name`, and nothing where none is.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, &mut known.into_iter()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    }
}

/// The known name that is fewest edits away from `name`, where that is few enough to be a slip: at
/// most a third of its length, and one at least.
#[inline(never)]
fn nearest<'a>(name: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 3).max(1);
    let mut best = None;
    let mut fewest = limit + 1;
    for candidate in known {
        let edits = edits(name.as_bytes(), candidate.as_bytes());
        if edits < fewest {
            (best, fewest) = (Some(candidate), edits);
        }
    }
    best
}

/// Levenshtein's distance of bytes, without regard to case, one row at a time.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row = Vec::new();
    row.extend(0..=to.len());
    for (line, a) in from.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to) {
            let above = *cell;
            left = (above + 1).min(left + 1).min(diagonal + usize::from(!a.eq_ignore_ascii_case(b)));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_mended_and_other_words_are_not() {
        for (name, expected) in [
            ("presset", "; did you mean `preset`?"),
            ("Header", "; did you mean `headers`?"),
            ("mdoe", ""),
            ("mod", "; did you mean `mode`?"),
            ("timeout", ""),
            ("", ""),
        ] {
            assert_eq!(meant(name, ["preset", "headers", "mode"]), expected, "{name}");
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, distance) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0)] {
            assert_eq!(edits(a.as_bytes(), b.as_bytes()), distance, "{a} {b}");
        }
    }
}
