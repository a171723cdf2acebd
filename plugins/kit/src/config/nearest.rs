//! The name that was meant.

/// The known name that is fewest edits away from `name`, where that is few enough to be a slip: at
/// most a third of its length, and one at least.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edits(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row at a time.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            left = (above + 1).min(left + 1).min(diagonal + usize::from(a != b));
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
        let known = ["preset", "headers", "mode"];
        assert_eq!(nearest("presset", known), Some("preset"));
        assert_eq!(nearest("Header", known), Some("headers"));
        assert_eq!(nearest("mdoe", known), None);
        assert_eq!(nearest("mod", known), Some("mode"));
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, distance) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0)] {
            assert_eq!(edits(a, b), distance, "{a} {b}");
        }
    }
}
