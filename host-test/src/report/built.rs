//! The table of `portcullis build`.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use crate::{build::Built, report};

/// Files, sizes, imports and checksums, and for each module the smallest capability list, as it is
/// pasted into `capability_restriction_config.allowed_capabilities`.
pub fn table(built: &[Built]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["file", "size", "imports", "sha256"]);
    for one in built {
        for (artifact, imports) in
            [(&one.module, one.inspection.imports().to_string()), (&one.component, "wit".to_owned())]
        {
            table.add_row([report::here(&artifact.path), kib(artifact.size), imports, artifact.sha256.clone()]);
        }
    }
    let mut text = format!("{table}\n");
    for one in built {
        text.push_str(&format!(
            "\n{}: the smallest capability list. A callback left out of it turns the filter off without a word.\n",
            one.plugin
        ));
        text.push_str("  allowed_capabilities:\n");
        for capability in one.inspection.capabilities() {
            text.push_str(&format!("    {capability}: {{}}\n"));
        }
    }
    text
}

fn kib(bytes: u64) -> String {
    format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024)
}
