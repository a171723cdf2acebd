//! What was measured → tables, and which limits are kept. Pure.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::{
    Measured,
    comparison::Comparison,
    memory::{FEW, Resident},
    stats::{self, Estimate, Rounds},
};

/// How a figure stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Reached,
    /// Above the limit, which lies within the figure's own range: this run can't tell.
    Unsure,
    /// Above the limit, and so is the bare minimum.
    BelowFloor,
    NotReached,
}

impl Standing {
    fn of(Estimate { value, low, .. }: Estimate, at_most: f64, floor: Option<Estimate>) -> Self {
        match at_most {
            _ if value <= at_most => Self::Reached,
            _ if floor.is_some_and(|floor| floor.value > at_most) => Self::BelowFloor,
            _ if low <= at_most => Self::Unsure,
            _ => Self::NotReached,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached    ",
            Self::Unsure => "unsure     ",
            Self::BelowFloor => "below floor",
            Self::NotReached => "not reached",
        }
    }
}

/// The report of one comparison, and whether no limit is surely broken.
pub fn render(comparison: &Comparison, measured: &Measured) -> (String, bool) {
    let mut text = format!("{}\n{}\n", comparison.name, costs(comparison, measured));
    if !measured.memory.is_empty() {
        text.push_str(&format!("\n{}\n", memory(measured)));
    }
    let limits = limits(comparison, measured);
    let kept = limits.iter().all(|(_, standing)| *standing != Standing::NotReached);
    for (limit, standing) in limits {
        text.push_str(&format!("{} {limit}\n", standing.name()));
    }
    (text, kept)
}

fn costs(comparison: &Comparison, measured: &Measured) -> Table {
    let mut header = vec!["configuration".to_owned(), "µs/request".to_owned(), "Δ µs".to_owned()];
    let reference = comparison.reference.as_deref();
    header.extend(reference.map(|name| format!("× {name}")));
    let mut table = table(header);
    let baseline = measured.rounds(&comparison.baseline.name);
    for candidate in comparison.all() {
        let rounds = measured.rounds(&candidate.name);
        let mut row = vec![candidate.name.clone(), shown(stats::figure(rounds), 1)];
        if candidate.name == comparison.baseline.name {
            row.resize(table.header().map_or(0, |header| header.cell_iter().count()), String::new());
        } else {
            row.push(shown(stats::cost(rounds, baseline), 1));
            row.extend(reference.map(|name| match name == candidate.name {
                true => "1".to_owned(),
                false => shown(stats::ratio(rounds, measured.rounds(name), baseline), 2),
            }));
        }
        table.add_row(row);
    }
    table
}

fn memory(measured: &Measured) -> Table {
    let mut header = vec!["resident memory, MiB".to_owned()];
    header.extend(measured.concurrencies.iter().map(|workers| format!("{workers} workers")));
    header.extend([FEW, measured.many].map(|requests| format!("after {requests} requests")));
    let mut table = table(header);
    let baseline = measured.memory.first();
    for resident in &measured.memory {
        let above = |kib: i64, base: Option<i64>| match base {
            Some(base) if Some(&resident.name) != baseline.map(|baseline| &baseline.name) => {
                format!("{} (+{})", mib(kib), mib(kib - base))
            }
            _ => mib(kib),
        };
        let mut row = vec![resident.name.clone()];
        row.extend(resident.by_concurrency.iter().enumerate().map(|(index, kib)| {
            above(*kib, baseline.and_then(|baseline| baseline.by_concurrency.get(index).copied()))
        }));
        row.push(mib(resident.after.0));
        row.push(format!("{} ({:+} KiB)", mib(resident.after.1), resident.growth()));
        table.add_row(row);
    }
    table
}

/// Each limit as a sentence, with how it is kept.
fn limits(comparison: &Comparison, measured: &Measured) -> Vec<(String, Standing)> {
    let baseline = measured.rounds(&comparison.baseline.name);
    let mut limits = Vec::new();
    for ratio in &comparison.ratios {
        let found = stats::ratio(measured.rounds(&ratio.of), measured.rounds(&ratio.to), baseline);
        let Some(at_most) = ratio.at_most else { continue };
        let floor = ratio
            .floor
            .as_ref()
            .map(|floor| (floor, stats::ratio(measured.rounds(floor), measured.rounds(&ratio.to), baseline)));
        let mut sentence = format!("{} costs {} × {}, at most {at_most}", ratio.of, shown(found, 2), ratio.to);
        let standing = Standing::of(found, at_most, floor.map(|(_, floor)| floor));
        if let (Standing::BelowFloor, Some((name, floor))) = (standing, floor) {
            sentence.push_str(&format!("; {name} costs {} × by itself", shown(floor, 2)));
        }
        limits.push((sentence, standing));
    }
    let growth = |resident: &Resident| resident.growth();
    let of_baseline = measured.memory.first().map_or(0, growth).max(0);
    if let Some(at_most) = comparison.memory.as_ref().and_then(|memory| memory.growth_at_most_kib) {
        for resident in measured.memory.iter().skip(1) {
            let grown = resident.growth() - of_baseline;
            let sentence = format!(
                "{} grows by {grown} KiB more than {} between {FEW} and {} requests, at most {at_most}",
                resident.name, comparison.baseline.name, measured.many
            );
            limits.push((sentence, if grown <= at_most { Standing::Reached } else { Standing::NotReached }));
        }
    }
    limits
}

fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

fn shown(Estimate { value, low, high }: Estimate, digits: usize) -> String {
    format!("{value:.digits$} ({low:.digits$}–{high:.digits$})")
}

fn mib(kib: i64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

impl Measured {
    fn rounds(&self, name: &str) -> &Rounds {
        self.microseconds.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        serde_saphyr::from_str(
            "
comparison: ten headers
baseline: { name: router only }
reference: native
candidates: [{ name: native }, { name: ours }]
ratios: [{ of: ours, to: native, at_most: 3.0 }]
memory: { of: [ours], growth_at_most_kib: 100 }",
        )
        .unwrap()
    }

    fn measured(ours: f64, grown: i64) -> Measured {
        let rounds = |level: f64| vec![vec![level; 10]; 2];
        let resident = |name: &str, kib: i64, grown: i64| Resident {
            name: name.into(),
            by_concurrency: vec![kib],
            after: (kib, kib + grown),
        };
        Measured {
            microseconds: [("router only", 25.0), ("native", 29.0), ("ours", ours)]
                .map(|(name, level)| (name.to_owned(), rounds(level)))
                .into(),
            memory: vec![resident("router only", 51_200, 60), resident("ours", 61_440, grown)],
            concurrencies: vec![2],
            many: 100_000,
        }
    }

    #[test]
    fn limits_that_are_kept_are_told_with_their_figures() {
        let (text, kept) = render(&comparison(), &measured(35.0, 100));
        assert!(kept, "{text}");
        assert!(text.contains("reached     ours costs 2.50 (2.50–2.50) × native, at most 3"), "{text}");
        assert!(text.contains("ours grows by 40 KiB more than router only"), "{text}");
        assert!(text.contains("60.0 (+10.0)"), "{text}");
    }

    #[test]
    fn one_limit_that_is_broken_breaks_the_whole() {
        for (measured, wrong) in [(measured(38.0, 60), "ours costs 3.25"), (measured(35.0, 200), "by 140 KiB")] {
            let (text, kept) = render(&comparison(), &measured);
            let line = text.lines().find(|line| line.starts_with("not reached")).unwrap_or_default();
            assert!(!kept && line.contains(wrong), "{text}");
        }
    }

    #[test]
    fn a_limit_within_the_range_of_a_noisy_figure_is_neither_kept_nor_broken() {
        let figure = |low| Estimate { value: 3.1, low, high: 9.0 };
        assert_eq!(Standing::of(figure(2.9), 3.1, None), Standing::Reached);
        assert_eq!(Standing::of(figure(2.9), 3.0, None), Standing::Unsure);
        assert_eq!(Standing::of(figure(3.05), 3.0, None), Standing::NotReached);
    }

    #[test]
    fn a_limit_that_the_bare_minimum_breaks_by_itself_is_not_held_against_a_filter() {
        let mut comparison = comparison();
        comparison.ratios[0].floor = Some("bare".into());
        for (bare, kept) in [(37.2, true), (36.8, false)] {
            let mut measured = measured(38.0, 60);
            measured.microseconds.insert("bare".into(), vec![vec![bare; 10]; 2]);
            let (text, found) = render(&comparison, &measured);
            assert_eq!(found, kept, "{text}");
            assert_eq!(
                kept,
                text.contains("below floor ours costs 3.25") && text.contains("bare costs 3.05"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_baseline_costs_nothing_and_the_reference_is_the_unit() {
        let (text, _) = render(&comparison(), &measured(35.0, 0));
        let row = |name: &str| text.lines().find(|line| line.starts_with(&format!("│ {name} "))).unwrap().to_owned();
        assert!(row("router only").contains("25.0 (25.0–25.0)"));
        assert!(row("native").contains("4.0 (4.0–4.0)") && row("native").contains(" 1 "), "{}", row("native"));
    }
}
