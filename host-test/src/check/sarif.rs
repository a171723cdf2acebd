//! Findings as SARIF 2.1.0, which code scanning services read. `tests/sarif` holds it against the schema.

use std::{fmt::Write as _, path::Path};

use serde_json::{Value, json};

use super::{
    finding::{self, Finding, Rule},
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
                "artifactLocation": { "uri": uri(file) },
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
            "columnKind": "unicodeCodePoints",
            // It ran, whatever it found.
            "invocations": [{ "executionSuccessful": true }],
        }],
    })
}

/// A path as a URI, or as a reference relative to where the command ran (RFC 3986 §2, §4.2).
fn uri(path: &Path) -> String {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(*byte)),
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_a_uri() {
        assert_eq!(uri(Path::new("a b/ü%:.yaml")), "a%20b/%C3%BC%25%3A.yaml");
        assert_eq!(uri(Path::new("/etc/envoy.yaml")), "file:///etc/envoy.yaml");
    }
}
