//! Makes output comparable: what differs from run to run becomes letters of the same width, so that
//! columns still line up.

use std::path::Path;
use std::sync::LazyLock;

use regex::{Captures, Regex};

static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        // 2026-11-21T09:35:06.123456789+01:00, with as much of it as there is.
        (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?", "digits"),
        // Run ids: 20261121-093506-1a2b or 20261121T093506Z.
        (r"\b\d{8}[T-]\d{4,6}Z?(?:-[0-9a-f]{2,8})?\b", "word"),
        (r"\b\d{2}:\d{2}:\d{2}\b", "digits"),
        (r"\b\d{4}-\d{2}-\d{2}\b", "digits"),
        (r"\b127\.0\.0\.1:(\d{4,5})\b", "port"),
        (r"\b(?:pid|process) \d+\b", "digits"),
        (r"\b[0-9a-f]{64}\b", "word"),
    ]
    .into_iter()
    .map(|(pattern, kind)| (Regex::new(pattern).unwrap(), kind))
    .collect()
});

/// Replaces a cluster's directory by `ROOT`, and times, run ids, ports, process ids and sums by `#`.
pub(crate) fn redact(text: &str, root: &Path) -> String {
    let root = root.to_str().unwrap();
    let place = format!("{:_<width$}", "ROOT", width = root.len());
    let mut text = text.replace(root, &place);
    for (pattern, kind) in PATTERNS.iter() {
        text = pattern.replace_all(&text, |found: &Captures<'_>| masked(found, kind)).into_owned();
    }
    text
}

fn masked(found: &Captures<'_>, kind: &str) -> String {
    let all = &found[0];
    match kind {
        "digits" => all.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect(),
        "port" => format!("127.0.0.1:{}", "#".repeat(found[1].len())),
        _ => "#".repeat(all.len()),
    }
}
