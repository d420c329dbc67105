//! What a line shows before it is parsed: traces of editors, web pages and merges, which YAML would
//! take for something else or explain badly.

use super::mistake::Mistake;
use super::source::Source;

/// Finds what no file of rollgate's may hold, every place of it.
pub(crate) fn inspect(source: &Source) -> Vec<Mistake> {
    let mut found = Vec::new();
    for line in lines(source.text()).filter(|line| !line.in_block) {
        found.extend(conflict(source, &line).or_else(|| hard_space(source, &line)));
        found.extend(typographic_quote(source, &line));
        found.extend(odd_value(source, &line));
    }
    found
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

fn conflict(source: &Source, line: &Line<'_>) -> Option<Mistake> {
    ["<<<<<<<", ">>>>>>>", "|||||||"]
        .iter()
        .find(|mark| {
            line.text.strip_prefix(**mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
        .map(|mark| {
            source.mistake(
                (line.number, 1),
                mark.len(),
                "a merge conflict was left in this file",
                "marker here",
                &["choose one side and delete the lines with <<<<<<<, ======= and >>>>>>>"],
            )
        })
}

fn hard_space(source: &Source, line: &Line<'_>) -> Option<Mistake> {
    let at = line
        .text
        .chars()
        .take_while(|c| c.is_whitespace() || *c == '-')
        .position(|c| c.is_whitespace() && !matches!(c, ' ' | '\t'))?;
    Some(source.mistake(
        (line.number, at + 1),
        1,
        "a no-break space is used to indent",
        "it looks like a space and is none",
        &["replace it with a plain space; it often comes with text copied from a web page"],
    ))
}

fn typographic_quote(source: &Source, line: &Line<'_>) -> Option<Mistake> {
    const QUOTES: &[char] = &['“', '”', '„', '‘', '’', '‚', '«', '»'];
    let text = line.text;
    if text.trim_start().starts_with('#') {
        return None;
    }
    let starts_value = |at: usize| {
        let before = text[..at].trim_end_matches(' ');
        before.is_empty()
            || before.trim_start().chars().all(|c| c == '-')
            || before.ends_with(['[', '{', ',']) && before.contains(['[', '{'])
            || before.ends_with(':') && before.len() < at
    };
    let (at, quote) = text.char_indices().find(|(at, c)| QUOTES.contains(c) && starts_value(*at))?;
    let before = &text[..at];
    if ["\"", "'"].iter().any(|mark| before.matches(mark).count() % 2 == 1) {
        return None;
    }
    Some(source.mistake(
        (line.number, before.chars().count() + 1),
        1,
        format!("`{quote}` is a typographic quote, which YAML takes for a letter"),
        "here",
        &["use the plain quotes \" or '; inside a text put \" around the whole text"],
    ))
}

/// Values that YAML reads and does not keep as they are written: `0x1F` would become 31, `True` true.
fn odd_value(source: &Source, line: &Line<'_>) -> Option<Mistake> {
    let text = line.text;
    let odd = |word: &str| {
        let digits = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric());
        matches!(word, "True" | "TRUE" | "False" | "FALSE")
            || ["0x", "0o", "0b"].iter().any(|base| word.strip_prefix(base).is_some_and(digits))
            || word.strip_prefix('+').is_some_and(|rest| rest.parse::<f64>().is_ok())
    };
    let mut at = 0;
    for word in text.split_inclusive([' ', ',', '[', ']', '{', '}']) {
        let bare = word.trim_end_matches([' ', ',', '[', ']', '{', '}']);
        let before = &text[..at];
        let after = text[at + bare.len()..].trim_start();
        let whole = before.trim_end().ends_with([':', '-', ',', '['])
            && (after.is_empty() || after.starts_with([',', ']', '}', '#']));
        if whole && odd(bare) && !["\"", "'", "#"].iter().any(|mark| before.contains(mark)) {
            let column = before.chars().count() + 1;
            let what = format!("YAML does not keep {bare} as it is written");
            let help = format!("write it in quotes, \"{bare}\", or as a plain number, true or false");
            return Some(source.mistake((line.number, column), bare.len(), what, "this value", &[&help]));
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
        inspect(&source)
            .into_iter()
            .filter_map(|mistake| mistake.place)
            .map(|place| (place.line, place.column))
            .collect()
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
