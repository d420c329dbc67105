//! Takes out of an inventory's text where secrets come from and who is told of a run: the command that prints a secret
//! may have another in its words, the address of a webhook is one, and a ticket is read by many.

use serde_json::Value;

/// The top-level keys that nobody else needs to read.
const HIDDEN: [&str; 2] = ["secrets", "notify"];

/// What stands where something was taken out.
const GONE: &str = "# left out of reports";

/// The text without what stands under its top-level `secrets:` and `notify:`. A text that is JSON is written anew.
pub fn without_secrets(text: &str) -> String {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(Value::Object(mut fields)) => {
                fields.retain(|key, _| !HIDDEN.contains(&key.as_str()));
                format!("{:#}\n", Value::Object(fields))
            }
            // Flow style over the whole file: its end cannot be told without a parser.
            _ => format!("{GONE}, and here all is in one value\n"),
        };
    }
    let mut kept = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let key = hidden_key(line);
        // Whatever is indented, empty, a comment or the end of a flow collection belongs to the key above it.
        let belongs = line.trim().is_empty() || line.starts_with([' ', '\t', '#', '}', ']', '\r']);
        inside = key.is_some() || (inside && belongs);
        if let Some(key) = key {
            kept.extend([key, ": ", GONE, "\n"]);
        } else if !inside {
            kept.push_str(line);
        }
    }
    kept
}

fn hidden_key(line: &str) -> Option<&'static str> {
    HIDDEN.into_iter().find(|key| {
        let rest = ["", "\"", "'"]
            .iter()
            .find_map(|quote| line.strip_prefix(quote)?.strip_prefix(key)?.strip_prefix(quote));
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_needs_is_left_out() {
        let hidden = format!("secrets: {GONE}\n");
        for (text, expected) in [
            ("a: 1\nsecrets:\n  p: { command: x }\n\n# c\n  q: y\nb: 2\n", format!("a: 1\n{hidden}b: 2\n")),
            ("secrets: {p: {command: x},\n  q: {env: Y}\n}\nb: 2\n", format!("{hidden}b: 2\n")),
            ("'secrets' :\n  p: x", hidden.clone()),
            ("notify: curl x\nb: 2\n", format!("notify: {GONE}\nb: 2\n")),
            ("secrets_of: 1\nnodes: []\n", "secrets_of: 1\nnodes: []\n".to_owned()),
            ("{\"secrets\": {\"p\": \"x\"}, \"b\": 2}", "{\n  \"b\": 2\n}\n".to_owned()),
            ("{secrets: {p: x}}", format!("{GONE}, and here all is in one value\n")),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }
}
