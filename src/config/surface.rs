//! What a line shows before it is parsed: traces of editors, web pages and merges, which YAML would
//! take for something else or explain badly.

use super::mistake::{Mistake, Mistakes, PRINTED};
use super::source::Source;

/// Finds what no file of rollgate's may hold, every place of it.
pub(crate) fn inspect(source: &Source) -> Option<Mistakes> {
    let mut found = Vec::new();
    for line in lines(source.text()).filter(|line| !line.in_block) {
        found.extend(conflict(&line).or_else(|| hard_space(&line)));
        found.extend(typographic_quote(&line));
        found.extend(odd_value(&line));
    }
    let more = found.len().saturating_sub(PRINTED);
    let shown = found.into_iter().take(PRINTED).map(|trace| trace.mistake(source)).collect();
    Mistakes::collect_with(shown, more)
}

/// A trace, before anybody looks at the lines around it.
struct Trace {
    line: usize,
    column: usize,
    length: usize,
    what: String,
    note: &'static str,
    help: String,
}

impl Trace {
    fn mistake(self, source: &Source) -> Mistake {
        source.mistake((self.line, self.column), self.length, self.what, self.note, &[&self.help])
    }
}

/// The first tab in an indentation, up to a line. YAML allows some tabs, so this only explains an error
/// that the parser has reported.
pub(crate) fn tab(source: &Source, up_to: usize) -> Option<Mistake> {
    lines(source.text()).take(up_to).filter(|line| !line.in_block).find_map(|line| {
        let indent = &line.text[..line.text.len() - line.text.trim_start().len()];
        let at = indent.chars().position(|c| c == '\t')?;
        (!line.text.trim().is_empty()).then(|| {
            source.mistake(
                (line.number, at + 1),
                1,
                "a tab is used to indent",
                "tab here",
                &["YAML allows spaces only; replace the tab with spaces (two per level)"],
            )
        })
    })
}

struct Line<'s> {
    number: usize,
    text: &'s str,
    /// Inside a literal or folded block, where everything is allowed.
    in_block: bool,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut block: Option<usize> = None;
    text.lines().enumerate().map(move |(index, text)| {
        let blank = text.trim().is_empty();
        let indent = text.len() - text.trim_start_matches(' ').len();
        let in_block = block.is_some_and(|over| blank || indent > over);
        if !in_block {
            block = opens_block(text).then(|| text.len() - text.trim_start_matches([' ', '-']).len());
        }
        Line { number: index + 1, text, in_block }
    })
}

/// Whether a line ends with `|` or `>` and what may follow them.
fn opens_block(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    let mark = line.rsplit([' ', ':']).next().unwrap_or_default();
    let mut chars = mark.chars();
    matches!(chars.next(), Some('|' | '>'))
        && mark.len() < line.len()
        && chars.all(|c| matches!(c, '+' | '-' | '1'..='9'))
}

fn conflict(line: &Line<'_>) -> Option<Trace> {
    ["<<<<<<<", ">>>>>>>", "|||||||"]
        .iter()
        .find(|mark| {
            line.text.strip_prefix(**mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
        .map(|mark| Trace {
            line: line.number,
            column: 1,
            length: mark.len(),
            what: "a merge conflict was left in this file".to_owned(),
            note: "marker here",
            help: "choose one side and delete the lines with <<<<<<<, ======= and >>>>>>>".to_owned(),
        })
}

fn hard_space(line: &Line<'_>) -> Option<Trace> {
    let at = line
        .text
        .chars()
        .take_while(|c| c.is_whitespace() || *c == '-')
        .position(|c| c.is_whitespace() && !matches!(c, ' ' | '\t'))?;
    Some(Trace {
        line: line.number,
        column: at + 1,
        length: 1,
        what: "a no-break space is used to indent".to_owned(),
        note: "it looks like a space and is none",
        help: "replace it with a plain space; it often comes with text copied from a web page".to_owned(),
    })
}

fn typographic_quote(line: &Line<'_>) -> Option<Trace> {
    const QUOTES: &[char] = &['“', '”', '„', '‘', '’', '‚', '«', '»'];
    let text = line.text;
    if text.trim_start().starts_with('#') {
        return None;
    }
    // Looked up once: a line may be long, and full of quotes.
    let indent = text.len() - text.trim_start().len();
    let dashes = text.len() - text[indent..].trim_start_matches('-').len();
    let bracket = text.find(['[', '{']).unwrap_or(text.len());
    let starts_value = |at: usize| {
        let before = text[..at].trim_end_matches(' ');
        before.len() <= dashes
            || before.ends_with(['[', '{', ',']) && bracket < before.len()
            || before.ends_with(':') && before.len() < at
    };
    let (at, quote) = text.char_indices().find(|(at, c)| QUOTES.contains(c) && starts_value(*at))?;
    let before = &text[..at];
    if ["\"", "'"].iter().any(|mark| before.matches(mark).count() % 2 == 1) {
        return None;
    }
    Some(Trace {
        line: line.number,
        column: before.chars().count() + 1,
        length: 1,
        what: format!("`{quote}` is a typographic quote, which YAML takes for a letter"),
        note: "here",
        help: "use the plain quotes \" or '; inside a text put \" around the whole text".to_owned(),
    })
}

/// Values that YAML reads and does not keep as they are written: `0x1F` would become 31, `True` true.
fn odd_value(line: &Line<'_>) -> Option<Trace> {
    let text = line.text;
    let odd = |word: &str| {
        let digits = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric());
        matches!(word, "True" | "TRUE" | "False" | "FALSE")
            || ["0x", "0o", "0b"].iter().any(|base| word.strip_prefix(base).is_some_and(digits))
            || word.strip_prefix('+').is_some_and(|rest| rest.parse::<f64>().is_ok())
    };
    let stands_alone = |before: &str, after: &str| {
        let after = after.trim_start();
        before.trim_end().ends_with([':', '-', ',', '['])
            && (after.is_empty() || after.starts_with([',', ']', '}', '#']))
    };
    // Behind one of these a word may be part of a text. Looked up once: a line may be long.
    let plain = text.find(['"', '\'', '#']).unwrap_or(text.len());
    let mut at = 0;
    for word in text.split_inclusive([' ', ',', '[', ']', '{', '}']) {
        if plain < at {
            break;
        }
        let bare = word.trim_end_matches([' ', ',', '[', ']', '{', '}']);
        let before = &text[..at];
        if odd(bare) && stands_alone(before, &text[at + bare.len()..]) {
            return Some(Trace {
                line: line.number,
                column: before.chars().count() + 1,
                length: bare.len(),
                what: format!("YAML does not keep {bare} as it is written"),
                note: "this value",
                help: format!("write it in quotes, \"{bare}\", or as a plain number, true or false"),
            });
        }
        at += word.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn places(text: &str) -> Vec<(usize, usize)> {
        let source = Source::from_bytes(Path::new("f"), text.as_bytes().to_vec()).expect("plain text");
        let found = inspect(&source);
        let places = found.iter().flat_map(Mistakes::iter).filter_map(|mistake| mistake.place.as_ref());
        places.map(|place| (place.line, place.column)).collect()
    }

    #[test]
    fn traces_are_found_where_they_stand() {
        assert_eq!(places("a:\n \u{a0}b: 1\n"), [(2, 2)]);
        assert_eq!(places("a: “x”\nb: [‘y’]\n"), [(1, 4), (2, 5)]);
        assert_eq!(places("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> b\n"), [(1, 1), (5, 1)]);
    }

    #[test]
    fn values_that_would_change_are_found() {
        assert_eq!(places("a: 0x1F\nb: [1, +5]\n- True\nc: { d: 0o17 }\n"), [(1, 4), (2, 8), (3, 3), (4, 9)]);
        assert_eq!(places("a: \"0x1F\"\nb: is 0x1F here\nc: 10\nd: true # True\ne: x0x1\n"), []);
    }

    #[test]
    fn texts_and_scripts_may_hold_anything() {
        assert_eq!(places("a: don’t «do» it\nb: \"say: “x”\"\n# “c”\n"), []);
        assert_eq!(places("run: |\n  \u{a0}x\n  “y”\n\n  <<<<<<<\nb: 1\n"), []);
        assert_eq!(places("- run: >-\n    “y”\n  undo: “z”\n"), [(3, 9)]);
    }
}
