//! What is wrong with a file, where, and what to write instead: the one shape of every message about
//! an operator's own words.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

/// Source lines shown before the one at fault.
const BEFORE: usize = 2;
/// Source lines shown after it.
const AFTER: usize = 1;
/// Characters of one source line that are shown.
const SHOWN: usize = 100;
/// Mistakes that are printed in full; a file with more is the wrong file.
pub(crate) const PRINTED: usize = 20;
/// Allowed words that are listed; a cluster may have thousands of nodes.
const LISTED: usize = 48;

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// The file it stands in, as the operator named it.
    pub file: PathBuf,
    /// Where it stands; absent when the file could not be read at all.
    pub place: Option<Place>,
    /// What to write instead, one remark a line.
    pub help: Vec<String>,
}

/// A place in a file, with the lines around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that are marked, at least 1.
    pub length: usize,
    /// The short note beside the mark.
    pub note: String,
    /// The source lines around it with their numbers; none where the file as a whole is wrong.
    pub lines: Vec<(usize, String)>,
}

impl Place {
    /// Cuts the lines around a position out of a text.
    pub(crate) fn cut(text: &str, line: usize, column: usize, length: usize, note: &str) -> Self {
        let first = line.saturating_sub(BEFORE).max(1);
        let lines = text
            .lines()
            .enumerate()
            .skip(first - 1)
            .take(line + AFTER + 1 - first)
            .map(|(index, text)| (index + 1, text.to_owned()))
            .collect();
        Self { line, column: column.max(1), length: length.max(1), note: note.to_owned(), lines }
    }

    /// Hides the rest of a line from a column on, wherever the line is shown.
    pub(crate) fn veil(&mut self, line: usize, column: usize) {
        for (_, text) in self.lines.iter_mut().filter(|(number, _)| *number == line) {
            *text = text.chars().take(column - 1).chain("***".chars()).collect();
        }
        if (self.line, self.column) == (line, column) {
            self.length = 3;
        }
    }
}

impl Mistake {
    /// A mistake that has no place in the file: it could not be opened or read.
    pub(crate) fn unplaced(file: &Path, what: impl Into<String>, help: &[&str]) -> Self {
        Self {
            what: what.into(),
            file: file.to_owned(),
            place: None,
            help: help.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// The text for the operator when it does not stand in the way.
    pub fn warning(&self, ascii: bool) -> String {
        let mut out = String::new();
        self.render(&mut out, "warning", ascii).expect("writing to a String never fails");
        out
    }

    /// A mistake of a file as a whole: it stands at its beginning, and no line of it would explain it.
    pub(crate) fn whole(file: &Path, what: impl Into<String>, help: &[&str]) -> Self {
        let place = Place { line: 1, column: 1, length: 1, note: String::new(), lines: Vec::new() };
        Self { place: Some(place), ..Self::unplaced(file, what, help) }
    }

    fn render(&self, out: &mut String, head: &str, ascii: bool) -> fmt::Result {
        writeln!(out, "{head}: {}", visible(&self.what, ascii))?;
        let Some(place) = &self.place else {
            writeln!(out, " --> {}", visible(&self.file.display().to_string(), ascii))?;
            return self.render_help(out, 1, ascii);
        };
        let last = place.lines.last().map_or(place.line, |(number, _)| *number).max(place.line);
        let gutter = last.to_string().len();
        let file = visible(&self.file.display().to_string(), ascii);
        writeln!(out, "{:gutter$}--> {file}:{}:{}", "", place.line, place.column)?;
        let from = window(place);
        for (number, text) in &place.lines {
            let shown: String = text.chars().skip(from).take(SHOWN).collect();
            let shown = visible(&shown, ascii);
            writeln!(out, "{}", format!("{number:gutter$} | {shown}").trim_end())?;
            if *number == place.line {
                let indent = place.column - 1 - from;
                let length = place.length.min(SHOWN.saturating_sub(indent)).max(1);
                let mark = format!(
                    "{:gutter$} | {:indent$}{} {}",
                    "",
                    "",
                    "^".repeat(length),
                    visible(&place.note, ascii)
                );
                writeln!(out, "{}", mark.trim_end())?;
            }
        }
        self.render_help(out, gutter, ascii)
    }

    /// The remarks, broken into lines where they are long.
    fn render_help(&self, out: &mut String, gutter: usize, ascii: bool) -> fmt::Result {
        for help in &self.help {
            let mut head = "= help: ";
            let mut line = String::new();
            let help = visible(help, ascii);
            for word in help.split(' ') {
                if !line.is_empty() && line.chars().count() + word.chars().count() > SHOWN - head.len() {
                    writeln!(out, "{:gutter$} {head}{line}", "")?;
                    head = "        ";
                    line.clear();
                }
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            writeln!(out, "{:gutter$} {head}{line}", "")?;
        }
        Ok(())
    }
}

/// The first column shown: 0 unless the marked one would fall outside.
fn window(place: &Place) -> usize {
    let column = place.column - 1;
    if column + place.length.min(SHOWN / 2) <= SHOWN { 0 } else { column - SHOWN / 3 }
}

/// A file's own text is as hostile as a node's: nothing in it may reach the terminal as a command, and
/// every character keeps its column.
fn visible(text: &str, ascii: bool) -> String {
    text.chars()
        .map(|c| match c {
            '\t' if ascii => '>',
            '\t' => '→',
            '\u{a0}' if !ascii => '·',
            c if ascii && !(' '..='~').contains(&c) => '?',
            c if c.is_control() || is_invisible(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters without width or that reorder others.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Everything wrong with the operator's files, in the order in which it stands there; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    found: Vec<Mistake>,
    /// How many more there are, whose places were not looked up.
    more: usize,
}

impl Mistakes {
    /// Collects mistakes of which `more` are only counted; `None` when there are none.
    pub(crate) fn collect_with(found: Vec<Mistake>, more: usize) -> Option<Self> {
        (!found.is_empty()).then_some(Self { found, more })
    }

    /// These and those of another file.
    pub(crate) fn and(mut self, other: Option<Self>) -> Self {
        if let Some(other) = other {
            self.found.extend(other.found);
            self.more += other.more;
        }
        self
    }

    /// What a linter found, in its order; `None` when it found nothing. Finding a place takes a pass over the file, so
    /// that only as many are looked up as will be shown.
    pub fn of<F>(found: Vec<F>, place: impl Fn(F) -> Mistake) -> Option<Self> {
        let more = found.len().saturating_sub(PRINTED);
        Self::collect_with(found.into_iter().take(PRINTED).map(place).collect(), more)
    }

    /// Every mistake, by itself.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }

    /// The text for the operator: each mistake with its place and help, an empty line between them. With
    /// `ascii` no other byte is written (pipes, `TERM=dumb`).
    pub fn render(&self, ascii: bool) -> String {
        let mut out = String::new();
        for mistake in self.found.iter().take(PRINTED) {
            mistake.render(&mut out, "error", ascii).expect("writing to a String never fails");
            out.push('\n');
        }
        let more = self.found.len().saturating_sub(PRINTED) + self.more;
        if more > 0 {
            let _ = writeln!(out, "... and {more} more\n");
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// What is to be done, in a few words: `fix lines 3 and 9`.
    pub fn to_do(&self) -> String {
        let places = self.found.iter().filter_map(|mistake| mistake.place.as_ref());
        // Where no line is shown it is the whole file that is to be mended.
        let mut lines: Vec<usize> =
            places.filter(|place| !place.lines.is_empty()).map(|place| place.line).collect();
        lines.dedup();
        let one_file = self.found.iter().all(|mistake| mistake.file == self.found[0].file);
        match lines.as_slice() {
            [] => "correct this".to_owned(),
            [line] => format!("fix line {line}"),
            [others @ .., last] if lines.len() < 6 && self.more == 0 && one_file => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                format!("fix lines {} and {last}", others.join(", "))
            }
            _ => format!("fix these {}", self.found.len() + self.more),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self { found: vec![mistake], more: 0 }
    }
}

/// The known word that was probably meant, if one is near enough.
pub(crate) fn meant<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    let reach = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= reach && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Known words as a list that fits on the screen.
pub(crate) fn listed<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let mut text = known.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if known.len() > LISTED {
        let _ = write!(text, " and {} more", known.len() - LISTED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_meant() {
        assert_eq!(meant("hots", ["name", "host"]), Some("host"));
        assert_eq!(meant("abrot", ["ask", "abort"]), Some("abort"));
        assert_eq!(meant("batchsize", ["name", "host"]), None);
        assert_eq!(meant("x", ["y"]), None);
    }

    #[test]
    fn hostile_text_keeps_its_columns_and_loses_its_power() {
        assert_eq!(visible("a\u{1b}[2J\u{202e}b", false), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(visible("\té", true), ">?");
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let text = format!("{}HERE{}", "x".repeat(5000), "y".repeat(5000));
        let place = Place::cut(&text, 1, 5001, 4, "this");
        let mistake = Mistake { what: "w".into(), file: "f".into(), place: Some(place), help: vec![] };
        let shown = Mistakes::from(mistake).render(false);
        let lines: Vec<&str> = shown.lines().collect();
        let column = lines[2].find("HERE").unwrap_or_default();
        assert_eq!(lines[3].find('^'), Some(column));
        assert!(lines.iter().all(|line| line.chars().count() < 120), "{shown}");
    }
}
