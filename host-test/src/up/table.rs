//! The rows of the demonstration, for people.

use comfy_table::{Cell, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use super::row::{Difference, Row};

/// How many names are written out; beyond, they are counted.
const NAMES: usize = 3;

pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "what is promised", "request", "status", "what the filters say", "changed on the way"]);
    for row in rows {
        table.add_row([
            Cell::new(if row.wrong.is_empty() { "✓" } else { "✗" }),
            Cell::new(promise(row)),
            Cell::new(&row.request),
            Cell::new(&row.status),
            Cell::new(row.records.values().cloned().collect::<Vec<_>>().join("\n")),
            Cell::new(changed(row)),
        ]);
    }
    table
}

fn promise(row: &Row) -> String {
    let wrong = row.wrong.iter().map(|wrong| format!("✗ {wrong}"));
    std::iter::once(row.promise.clone()).chain(wrong).collect::<Vec<_>>().join("\n")
}

fn changed(row: &Row) -> String {
    let upstream = row.to_upstream.as_ref().map_or("not reached".into(), written);
    format!("upstream: {upstream}\nclient: {}", written(&row.to_client))
}

fn written(difference: &Difference) -> String {
    let signs = [('+', &difference.added), ('~', &difference.changed), ('-', &difference.removed)];
    let parts: Vec<String> = signs
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(sign, names)| match names.len() {
            count if count > NAMES => format!("{sign}{count} headers"),
            _ => names.iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>().join(" "),
        })
        .collect();
    if parts.is_empty() { "as it was".into() } else { parts.join(" ") }
}
