//! Makes what comes from elsewhere harmless before a terminal sees it.
//!
//! A node's output, an error of its shell, even a host name can carry sequences that clear the screen, write to the
//! clipboard, retype the line above or turn text around. Only printable characters pass; the rest is
//! shown as its escape.

use std::fmt::Write as _;

/// Escapes text of several lines: printable characters, `\n` and `\t` pass. With `unicode` false the result
/// is ASCII.
pub fn text(bytes: &[u8], unicode: bool) -> String {
    escape(bytes, unicode, |c, out| out.push(c))
}

/// Escapes text that has to stay on one line: a tab becomes a space, a line feed is shown as `\n`.
pub fn line(bytes: &[u8], unicode: bool) -> String {
    escape(bytes, unicode, |c, out| out.push_str(if c == '\t' { " " } else { "\\n" }))
}

/// JSON in which every character beyond ASCII is written as its escape: it says the same, and neither a terminal
/// nor a log that thinks in another code is misled by it.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
            continue;
        }
        // Beyond ASCII there are only strings, and in strings this stands for the character.
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("a String takes every write");
        }
    }
    out
}

fn escape(bytes: &[u8], unicode: bool, mut blank: impl FnMut(char, &mut String)) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' => blank(c, &mut out),
                '\r' => out.push_str("\\r"),
                c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
                c if c.is_ascii() => push_byte(c as u8, &mut out),
                c if unicode && is_visible(c) => out.push(c),
                c => out.extend(c.escape_unicode()),
            }
        }
        for byte in chunk.invalid() {
            push_byte(*byte, &mut out);
        }
    }
    out
}

fn push_byte(byte: u8, out: &mut String) {
    write!(out, "\\x{byte:02x}").expect("a String takes every write");
}

/// Whether a character beyond ASCII shows itself and leaves its neighbours where they are. C1 controls steer
/// some terminals; direction marks reorder; the others are invisible and make two names look alike.
fn is_visible(c: char) -> bool {
    !matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        // Noncharacters and private use: what they show is the font's choice.
        | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}'..='\u{ffff}' | '\u{f0000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_says_the_same_in_ascii() {
        let value = serde_json::json!({ "gr\u{fc}n": "\u{1f600} \u{202e}\u{7f}\u{9b}\x1b\\" });
        for text in [value.to_string(), format!("{value:#}")] {
            let ascii = json(&text);
            assert!(ascii.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c == '\n'), "{ascii}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&ascii).unwrap(), value);
        }
    }

    #[test]
    fn each_kind_of_mischief_is_shown() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
            (b"ok\rFAILED", "ok\\rFAILED"),
            (b"a\x00b\x7f", "a\\x00b\\x7f"),
            (b"\x9b31m", "\\x9b31m"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("a\u{202e}cod".as_bytes(), "a\\u{202e}cod"),
            ("\u{2066}x\u{2069}".as_bytes(), "\\u{2066}x\\u{2069}"),
            ("no\u{200b}de".as_bytes(), "no\\u{200b}de"),
            ("gr\u{fc}n \u{2713} \u{65e5}".as_bytes(), "gr\u{fc}n \u{2713} \u{65e5}"),
            (b"cut \xe2\x9c", "cut \\xe2\\x9c"),
        ] {
            assert_eq!(text(bytes, true), expected);
        }
    }

    #[test]
    fn ascii_only_where_the_terminal_has_no_more() {
        assert_eq!(text("gr\u{fc}n".as_bytes(), false), "gr\\u{fc}n");
    }

    #[test]
    fn lines_pass_in_text_and_are_shown_in_a_line() {
        assert_eq!(text(b"a\n\tb", true), "a\n\tb");
        assert_eq!(line(b"a\n\tb", true), "a\\n b");
    }

    #[test]
    fn no_control_character_passes() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            let shown = text(c.encode_utf8(&mut [0; 4]).as_bytes(), true);
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_steers_the_terminal(bytes in prop::collection::vec(any::<u8>(), 0..64), unicode: bool) {
            let shown = text(&bytes, unicode);
            for c in shown.chars() {
                prop_assert!(matches!(c, '\n' | '\t') || (!c.is_control() && (c.is_ascii() || is_visible(c))));
                prop_assert!(unicode || c.is_ascii());
            }
        }

        #[test]
        fn escaping_twice_is_escaping_once(any in any::<String>(), unicode: bool) {
            let once = text(any.as_bytes(), unicode);
            prop_assert_eq!(text(once.as_bytes(), unicode), once.clone());
            prop_assert!(!line(any.as_bytes(), unicode).contains(['\n', '\t']));
        }
    }
}
