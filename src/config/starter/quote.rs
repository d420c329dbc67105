//! Text as YAML reads it back: as text, whatever it looks like, in 1.1 as in 1.2.

use std::fmt::Write as _;

/// Words that some YAML takes for something else.
const MEANT_OTHERWISE: &[&str] =
    &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];

/// Bare where that is safe, else in quotes.
pub(super) fn plain(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && !MEANT_OTHERWISE.contains(&text.to_ascii_lowercase().as_str());
    if bare { text.to_owned() } else { quoted(text) }
}

/// In quotes, as ASCII.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for text in ["web-1", "db.example.org", "a/b", "x86"] {
            assert_eq!(plain(text), text);
        }
        for text in
            ["1.10", "no", "No", "0x1", "10.0.0.1", "", "~", "a b", "-x", "2001-db8", "null", "web[1-3]"]
        {
            assert_eq!(plain(text), format!("\"{text}\""));
        }
        assert_eq!(plain("~/.ssh/id"), "\"~/.ssh/id\"");
        assert_eq!(quoted("a\"b\\c\nd\u{e9}\u{1f600}"), "\"a\\\"b\\\\c\\nd\\u00e9\\U0001f600\"");
    }
}
