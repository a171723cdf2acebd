//! Scenarios by a text of their title or their path.

use anyhow::{Result, bail};

use super::Scenario;

/// What is named where nothing holds the text.
const NAMED: usize = 3;

/// Those whose title or path holds the text, capital or small.
///
/// # Errors
/// Where none does, with the nearest.
pub fn matching(scenarios: Vec<Scenario>, text: &str) -> Result<Vec<Scenario>> {
    let wanted = text.to_lowercase();
    let (found, others): (Vec<_>, Vec<_>) =
        scenarios.into_iter().partition(|scenario| names(scenario).iter().any(|name| name.contains(&wanted)));
    if !found.is_empty() {
        return Ok(found);
    }
    let mut nearest: Vec<(f64, &Scenario)> =
        others.iter().map(|scenario| (nearness(scenario, &wanted), scenario)).collect();
    nearest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let shown = |scenario: &Scenario| format!("\n  {} ({})", scenario.file.display(), scenario.scenario);
    let nearest: String = nearest.into_iter().take(NAMED).map(|(_, scenario)| shown(scenario)).collect();
    bail!("no title and no path of {} scenarios holds `{text}`; the nearest:{nearest}", others.len());
}

fn names(scenario: &Scenario) -> [String; 2] {
    [scenario.scenario.to_lowercase(), scenario.file.to_string_lossy().to_lowercase()]
}

/// The best of the file's name, the title, and each word of both; a word alone counts a little less.
fn nearness(scenario: &Scenario, wanted: &str) -> f64 {
    let stem = scenario.file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let title = scenario.scenario.to_lowercase();
    let like = |text: &str| strsim::normalized_damerau_levenshtein(text, wanted);
    let words = title.split_whitespace().chain(stem.split('-')).map(|word| like(word) * 0.9);
    words.chain([like(&stem), like(&title)]).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Scenario> {
        let of =
            |file: &str, title: &str| Scenario { file: file.into(), scenario: title.into(), ..Scenario::default() };
        vec![
            of("a/scenarios/buffers-split.yaml", "A body in two pieces"),
            of("a/scenarios/queue.yaml", "What is queued comes out"),
            of("b/scenarios/route.yaml", "The route chooses"),
            of("b/scenarios/trap.yaml", "A trap is refused"),
        ]
    }

    #[test]
    fn a_text_is_found_in_titles_and_paths_whatever_its_case() {
        let titles = |text| matching(all(), text).unwrap().into_iter().map(|one| one.scenario).collect::<Vec<_>>();
        assert_eq!(titles("b/scenarios"), ["The route chooses", "A trap is refused"]);
        assert_eq!(titles("TWO pieces"), ["A body in two pieces"]);
    }

    #[test]
    fn what_is_found_nowhere_is_answered_with_the_nearest() {
        let error = matching(all(), "bufers-split").unwrap_err().to_string();
        let nearest = "no title and no path of 4 scenarios holds `bufers-split`; the nearest:\n  a/scenarios/buffers-split.yaml (";
        assert!(error.starts_with(nearest), "{error}");
        assert_eq!(error.lines().count(), 4, "{error}");
    }
}
