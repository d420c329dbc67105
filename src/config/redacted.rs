//! Takes out of an inventory's text where secrets come from and who is told of a run: the command that prints a secret
//! may have another in its words, the address of a webhook is one, and a ticket is read by many.

use serde_json::Value;

use super::yaml;

/// The top-level keys that nobody else needs to read.
const HIDDEN: [&str; 2] = ["secrets", "notify"];

/// What stands where something was taken out.
const GONE: &str = "# left out of reports";

/// What stands where all was taken out.
const ALL_GONE: &str = "# left out of reports: what is to be hidden in it cannot be told from the rest\n";

/// The text without what stands under its top-level `secrets:` and `notify:`, and without the comments there. A text
/// that is JSON is written anew; nothing is left of one in which no line ends what is hidden.
pub fn without_secrets(text: &str) -> String {
    if let Ok(Value::Object(mut fields)) = serde_json::from_str(text) {
        fields.retain(|key, _| !HIDDEN.contains(&key.as_str()));
        return format!("{:#}\n", Value::Object(fields));
    }
    let kept = cut(text);
    // Lines are not YAML: whether these were the right ones, only the parser that reads inventories can say.
    if yaml::is_without(&kept, text, &HIDDEN) { kept } else { ALL_GONE.to_owned() }
}

/// The text without the lines of a hidden key, as files are usually written.
fn cut(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let key = hidden_key(line);
        // Whatever is indented, empty, a comment or the end of a flow collection belongs to the key above it.
        let belongs = line.trim().is_empty() || line.starts_with([' ', '\t', '#', '}', ']', '\r']);
        inside = key.is_some() || (inside && belongs);
        if let Some(key) = key {
            // A comment right above a key is about it.
            while kept.pop_if(|line| line.starts_with('#')).is_some() {}
            kept.extend([key, ": ", GONE, "\n"]);
        } else if !inside {
            kept.push(line);
        }
    }
    kept.concat()
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
            ("# a\na: 1\n# x\n# y\nsecrets:\n  p: x\n# z\nb: 2\n", format!("# a\na: 1\n{hidden}b: 2\n")),
            ("secrets: {p: {command: x},\n  q: {env: Y}\n}\nb: 2\n", format!("{hidden}b: 2\n")),
            ("---\n'secrets' :\n  p: x", format!("---\n{hidden}")),
            ("secrets:\n  p: x\nnotify: curl x\n", format!("{hidden}notify: {GONE}\n")),
            ("notify: curl x\nb: 2\n", format!("notify: {GONE}\nb: 2\n")),
            ("a: |\n  # x\n  secrets: y\nb: 2\n", "a: |\n  # x\n  secrets: y\nb: 2\n".to_owned()),
            ("secrets_of: 1\nnodes: []\n", "secrets_of: 1\nnodes: []\n".to_owned()),
            ("{\"secrets\": {\"p\": \"x\"}, \"b\": 2}", "{\n  \"b\": 2\n}\n".to_owned()),
            ("\n{\"s\\u0065crets\": {\"p\": \"x\"}, \"b\": 2}", "{\n  \"b\": 2\n}\n".to_owned()),
        ] {
            assert_eq!(without_secrets(text), expected, "{text}");
        }
    }

    #[test]
    fn of_a_text_that_cannot_be_cut_by_lines_nothing_is_left() {
        for text in [
            "{secrets: {p: x}}",
            "# c\n{secrets: {p: x}, b: 2}\n",
            "---\n{secrets: {p: x}, b: 2}\n",
            "--- {secrets: {p: x}, b: 2}\n",
            "# c\n{\"secrets\": {\"p\": \"x\"}, \"b\": 2}\n",
            "  a: 1\n  secrets:\n    p: x\n  b: 2\n",
            "a: 1\nsecrets: {\np: { command: x }\n}\nb: 2\n",
            "secrets: { p: \"x\ny\" }\nb: 2\n",
            "secrets: { p: \"x\nb: 2\n# y\" }\nb: 2\n",
            "secrets:\n- x\nb: 2\n",
            "? secrets\n: p: x\nb: 2\n",
            "? secrets\n:\n  p: x\nb: 2\n",
            "\"secr\\x65ts\":\n  p: x\nb: 2\n",
            "!!str secrets:\n  p: x\nb: 2\n",
            "&k secrets:\n  p: x\nb: 2\n",
            "secrets: &s { p: x }\nb: *s\n",
            "a: 1\nsecrets:\n  p: x\nb: [\n",
        ] {
            assert_eq!(without_secrets(text), ALL_GONE, "{text}");
        }
    }
}
