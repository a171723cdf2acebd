//! Findings and tables for people, and the same as JSON.

use std::path::PathBuf;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};

use super::{
    ask::{Answer, Asked},
    finding::{Finding, Severity},
    looked::{Looked, LookedFilter},
    questions::Question,
    routes::Row,
};

pub fn human(files: &[PathBuf], looked: &[Looked<'_>], rows: &[Vec<Row<'_>>], findings: &[Finding]) -> String {
    let mut text = String::new();
    for (edge, rows) in looked.iter().zip(rows) {
        if asked(edge).next().is_none() {
            continue;
        }
        text.push_str(&format!("{} ({})\n", edge.edge.name, edge.edge.file.display()));
        if !rows.is_empty() {
            text.push_str(&format!("{}\n", routes(edge, rows)));
        }
        text.push_str(&format!("{}\n\n", modules(edge)));
    }
    for finding in findings {
        let Finding { rule, file, at, what, remedy } = finding;
        let severity = name(rule.severity);
        text.push_str(&format!("{}:{}:{}: {severity}[{}]\n", file.display(), at.line, at.column, rule.id));
        text.push_str(&format!("  {what}\n  remedy: {remedy}\n\n"));
    }
    let count = |severity| findings.iter().filter(|finding| finding.rule.severity == severity).count();
    let filters: usize = looked.iter().map(|edge| edge.filters.iter().filter(|one| one.asked.is_some()).count()).sum();
    let routes: usize = rows.iter().map(Vec::len).sum();
    text.push_str(&format!(
        "{}, {}, {}: {}, {}, {}\n",
        counted(files.len(), "file"),
        counted(filters, "wasm filter"),
        counted(routes, "route"),
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Note), "note"),
    ));
    text
}

fn asked<'a>(edge: &'a Looked<'_>) -> impl Iterator<Item = &'a LookedFilter<'a>> {
    edge.filters.iter().filter(|looked| looked.asked.is_some())
}

fn routes(edge: &Looked<'_>, rows: &[Row<'_>]) -> Table {
    let mut table = Table::new();
    let filters = asked(edge).map(|looked| looked.filter.shown().to_owned());
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["virtual host".to_owned(), "route".to_owned()].into_iter().chain(filters));
    for row in rows {
        let answers = row.answers.iter().map(|answer| answer.as_ref().map_or_else(|| "?".to_owned(), Answer::shown));
        table.add_row([row.host.to_owned(), row.route.clone()].into_iter().chain(answers));
    }
    table
}

fn modules(edge: &Looked<'_>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "filter",
        "takes its configuration",
        "metric series",
        "bytes in the store",
    ]);
    for looked in asked(edge) {
        let (takes, series, store) = match &looked.asked {
            Some(Ok(asked)) => ("yes", asked.series.to_string(), stored(asked)),
            Some(Err(silent)) if silent.is_wrong() => ("no", "?".into(), "?".into()),
            _ => ("not tried", "?".into(), "?".into()),
        };
        table.add_row([looked.filter.shown().to_owned(), takes.to_owned(), series, store]);
    }
    table
}

/// What it keeps in the store, and what it promises not to exceed.
fn stored(asked: &Asked) -> String {
    let bytes = asked.store_bytes.get();
    asked.store_bound.map_or_else(|| bytes.to_string(), |bound| format!("{bytes}, at most {bound}"))
}

/// `1 error`, `2 errors`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

pub fn json(looked: &[Looked<'_>], rows: &[Vec<Row<'_>>], findings: &[Finding]) -> Value {
    let edges = looked.iter().zip(rows).map(|(edge, rows)| {
        let routes = rows.iter().map(|row| {
            let answers = asked(edge).zip(&row.answers).map(|(looked, answer)| {
                json!({
                    "filter": looked.filter.shown(),
                    "off": answer.as_ref().map(|answer| answer.off),
                    "policy": answer.as_ref().map(|answer| &answer.policy),
                    "mode": answer.as_ref().map(|answer| &answer.mode),
                    "reason": answer.as_ref().map(|answer| &answer.reason),
                    "notes": answer.as_ref().map(|answer| &answer.notes),
                    "refused_with": answer.as_ref().and_then(|answer| answer.refused_with.as_ref()),
                })
            });
            let Question { method, authority, path } = &row.question;
            let request = json!({ "method": method, "authority": authority, "path": path });
            let filters: Vec<Value> = answers.collect();
            json!({ "virtual_host": row.host, "route": row.route, "request": request, "filters": filters })
        });
        let filters = asked(edge).map(|looked| {
            let asked = looked.asked.as_ref().and_then(|asked| asked.as_ref().ok());
            json!({
                "filter": looked.filter.shown(),
                "takes_configuration": asked.is_some(),
                "sha256": asked.map(Asked::sha256),
                "metric_series": asked.map(|asked| asked.series),
                "store_bytes": asked.map(|asked| asked.store_bytes.get()),
                "store_bytes_at_most": asked.and_then(|asked| asked.store_bound),
            })
        });
        json!({
            "name": edge.edge.name, "file": edge.edge.file,
            "filters": filters.collect::<Vec<_>>(), "routes": routes.collect::<Vec<_>>(),
        })
    });
    let findings = findings.iter().map(|Finding { rule, file, at, what, remedy }| {
        json!({
            "rule": rule.id, "severity": name(rule.severity), "file": file, "line": at.line, "column": at.column,
            "message": what, "remedy": remedy,
        })
    });
    json!({ "edges": edges.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>() })
}
