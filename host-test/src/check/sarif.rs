//! Findings as SARIF 2.1.0, which code scanning services read.

use serde_json::{Value, json};

use super::{
    finding::{self, Finding, Rule, Severity},
    report,
};

pub fn sarif(findings: &[Finding]) -> Value {
    let rules = finding::ALL.iter().map(|Rule { id, severity, about }| {
        json!({
            "id": id,
            "shortDescription": { "text": about },
            "defaultConfiguration": { "level": report::name(*severity) },
        })
    });
    let results = findings.iter().map(|Finding { rule, file, at, what, remedy }| {
        json!({
            "ruleId": rule.id,
            "level": report::name(rule.severity),
            "message": { "text": format!("{what}; remedy: {remedy}") },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": file },
                "region": { "startLine": at.line, "startColumn": at.column },
            } }],
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "portcullis", "version": env!("CARGO_PKG_VERSION"), "rules": rules.collect::<Vec<_>>(),
            } },
            "results": results.collect::<Vec<_>>(),
            "invocations": [{ "executionSuccessful": findings.iter().all(|one| one.rule.severity != Severity::Error) }],
        }],
    })
}
