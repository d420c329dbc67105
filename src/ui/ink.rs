//! Lines of text with a tone for each part: measured and cut before any colour is in them.
//!
//! Whatever enters a [`Line`] is escaped on the way in, so that a builder cannot forget it.

use console::{Style as Sgr, measure_text_width, truncate_str};

use super::escape;
use super::terminal::Face;
use crate::model::stand::Stand;

/// What a part of a line means; the colour follows from it and never stands alone: a word or a sign says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Text,
    /// A heading or the word that matters.
    Strong,
    /// Beside the point.
    Dim,
    /// Holds, done.
    Good,
    /// Waits, wants somebody.
    Wait,
    /// Failed, does not hold.
    Bad,
}

impl Tone {
    fn sgr(self) -> Sgr {
        let style = Sgr::new().force_styling(true);
        match self {
            Tone::Text => style,
            Tone::Strong => style.bold(),
            Tone::Dim => style.dim(),
            Tone::Good => style.green(),
            Tone::Wait => style.yellow(),
            Tone::Bad => style.red().bold(),
        }
    }
}

/// A sign before a node or a step, in Unicode or ASCII, two to four columns with its blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing happened yet.
    ToDo,
    /// Under way.
    Working,
    /// Done.
    Done,
    /// Waits for an answer or a gate.
    Waiting,
    /// Left out on purpose.
    Skipped,
    /// Failed, or nobody knows.
    Failed,
}

impl Sign {
    /// The sign as shown.
    pub fn on(self, face: &Face) -> &'static str {
        match (self, face.unicode) {
            (Sign::ToDo, true) => "\u{b7}",
            (Sign::Working, true) => "\u{25b6}",
            (Sign::Done, true) => "\u{2713}",
            (Sign::Waiting, true) => "\u{2016}",
            (Sign::Skipped, true) => "\u{2013}",
            (Sign::Failed, true) => "\u{2717}",
            (Sign::ToDo, false) => "[  ]",
            (Sign::Working, false) => "[>>]",
            (Sign::Done, false) => "[ok]",
            (Sign::Waiting, false) => "[--]",
            (Sign::Skipped, false) => "[no]",
            (Sign::Failed, false) => "[!!]",
        }
    }

    /// The tone that goes with it.
    pub fn tone(self) -> Tone {
        match self {
            Sign::ToDo | Sign::Skipped => Tone::Dim,
            Sign::Working => Tone::Strong,
            Sign::Done => Tone::Good,
            Sign::Waiting => Tone::Wait,
            Sign::Failed => Tone::Bad,
        }
    }
}

impl Stand {
    /// The sign that goes with it.
    pub fn sign(self) -> Sign {
        match self {
            Self::ToDo => Sign::ToDo,
            Self::Working => Sign::Working,
            Self::Gate | Self::Stopped => Sign::Waiting,
            Self::Failed | Self::Unknown => Sign::Failed,
            Self::Done => Sign::Done,
            Self::Skipped | Self::RolledBack => Sign::Skipped,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    unicode: bool,
    spans: Vec<(Tone, String)>,
}

impl Line {
    /// Begins an empty line for a stream.
    pub fn new(face: &Face) -> Self {
        Self { unicode: face.unicode, spans: Vec::new() }
    }

    /// Begins a line with text.
    pub fn of(face: &Face, text: &str) -> Self {
        Self::new(face).text(text)
    }

    /// Adds text as it is.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.tone(Tone::Text, text)
    }

    /// Adds text with a tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone, text: &str) -> Self {
        self.push(tone, text);
        self
    }

    /// Adds text with a tone.
    pub fn push(&mut self, tone: Tone, text: &str) {
        if !text.is_empty() {
            self.spans.push((tone, escape::line(text.as_bytes(), self.unicode)));
        }
    }

    /// Adds another line behind this one.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.spans.extend(other.spans);
        self
    }

    /// Adds text, padded on the right to so many columns.
    #[must_use]
    pub fn padded(self, tone: Tone, text: &str, columns: usize) -> Self {
        let mut line = self.tone(tone, text);
        let used = line.spans.last().map_or(0, |(_, text)| measure_text_width(text));
        let used = if text.is_empty() { 0 } else { used };
        line.push(Tone::Text, &" ".repeat(columns.saturating_sub(used)));
        line
    }

    /// Adds text, padded on the left to so many columns.
    #[must_use]
    pub fn right(self, tone: Tone, text: &str, columns: usize) -> Self {
        let width = measure_text_width(&escape::line(text.as_bytes(), self.unicode));
        self.text(&" ".repeat(columns.saturating_sub(width))).tone(tone, text)
    }

    /// Adds text at the right edge, when it fits with two blanks before it. Where no width is known, two
    /// blanks part it from the rest.
    #[must_use]
    pub fn at_edge(self, face: &Face, tone: Tone, text: &str) -> Self {
        let width = measure_text_width(&escape::line(text.as_bytes(), self.unicode));
        let gap = match face.width {
            None => 2,
            Some(columns) => match columns.min(100).checked_sub(self.width() + width) {
                Some(gap) if gap >= 2 => gap,
                _ => return self,
            },
        };
        self.text(&" ".repeat(gap)).tone(tone, text)
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|(_, text)| measure_text_width(text)).sum()
    }

    /// The text without colour.
    pub fn plain(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect::<String>().trim_end().to_owned()
    }

    /// Cuts it to the width of the stream, if it has one; the cut is marked.
    #[must_use]
    pub fn fit(mut self, face: &Face) -> Self {
        let Some(columns) = face.width.filter(|columns| self.plain_width() > *columns) else {
            return self;
        };
        let mut left = columns;
        let mut kept = Vec::with_capacity(self.spans.len());
        for (tone, text) in std::mem::take(&mut self.spans) {
            let width = measure_text_width(&text);
            if width < left {
                left -= width;
                kept.push((tone, text));
                continue;
            }
            // At least one more column follows or would not fit: the mark takes its place.
            let mark = ellipsis(face);
            let mark = if left < measure_text_width(mark) { "" } else { mark };
            let long = format!("{text}{}", " ".repeat(columns + 1));
            kept.push((tone, truncate_str(&long, left, mark).into_owned()));
            break;
        }
        self.spans = kept;
        self
    }

    fn plain_width(&self) -> usize {
        measure_text_width(&self.plain())
    }

    /// The line as written: coloured if the stream takes colour, without blanks at its end.
    pub fn paint(&self, face: &Face) -> String {
        if !face.color {
            return self.plain();
        }
        let mut out = String::new();
        let mut blanks = String::new();
        for (tone, text) in &self.spans {
            let kept = text.trim_end();
            if !kept.is_empty() {
                out.push_str(&blanks);
                blanks.clear();
                match tone {
                    Tone::Text => out.push_str(kept),
                    tone => out.push_str(&tone.sgr().apply_to(kept).to_string()),
                }
            }
            blanks.push_str(&text[kept.len()..]);
        }
        out
    }
}

/// Columns that lines are indented below a head that is too wide to hang them behind it.
const HANG: usize = 4;

/// What marks a cut.
pub fn ellipsis(face: &Face) -> &'static str {
    if face.unicode { "\u{2026}" } else { "..." }
}

/// How far lines are indented below a head of so many columns: as far, unless little would be left of them.
pub fn hang(face: &Face, head: usize) -> usize {
    if face.width.is_some_and(|columns| head > columns / 2) { HANG } else { head }
}

/// Breaks text at blanks into lines that fit: the first begins with `first`, the others are indented as far, or
/// less, where words would be cut. A head that leaves no room for a word is a line of its own. A word longer than
/// a line is cut.
pub fn wrap(face: &Face, first: Line, tone: Tone, text: &str) -> Vec<Line> {
    // Blanks at its beginning mean something, to YAML for one.
    let lead = &text[..text.len() - text.trim_start_matches(' ').len()];
    let width_of = |word: &str| measure_text_width(&escape::line(word.as_bytes(), face.unicode));
    let widest = text.split_whitespace().map(width_of).max().unwrap_or(0);
    let fits = |indent: usize| face.width.is_none_or(|columns| indent + widest <= columns);
    let head = first.width() + lead.len();
    let is_head = !first.plain().is_empty();
    let indent = hang(face, head);
    let indent = if fits(HANG) && !fits(indent) { HANG.min(indent) } else { indent };
    let is_wide = is_head && indent < head;
    let indent = " ".repeat(indent);
    let mut lines = Vec::new();
    let mut line = first.text(lead);
    let mut bare = true;
    for word in text.split_whitespace() {
        let width = width_of(word);
        let blank = usize::from(!bare);
        let may_break = !bare || (is_wide && lines.is_empty());
        if may_break && face.width.is_some_and(|columns| line.width() + blank + width > columns) {
            lines.push(std::mem::replace(&mut line, Line::of(face, &indent)).fit(face));
            bare = true;
        }
        if !bare {
            line.push(Tone::Text, " ");
        }
        line.push(tone, word);
        bare = false;
    }
    lines.push(line.fit(face));
    lines
}

/// Text behind a head, cut into lines that fit, each behind the same head: what a terminal would break by itself goes
/// on at its left edge, and could pose there as something that rollgate says. Where no width is known it is one line.
pub fn broken(face: &Face, head: &Line, tone: Tone, text: &str) -> Vec<Line> {
    let text = escape::line(text.as_bytes(), face.unicode);
    let Some(columns) = face.width.filter(|columns| head.width() + measure_text_width(&text) > *columns)
    else {
        return vec![head.clone().tone(tone, &text)];
    };
    // A head that is wider than the terminal ends somewhere in a row.
    let room = columns - head.width() % columns;
    let (mut lines, mut part, mut used) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        let width = measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used + width > room && used > 0 {
            lines.push(head.clone().tone(tone, &std::mem::take(&mut part)));
            used = 0;
        }
        part.push(c);
        used += width;
    }
    lines.push(head.clone().tone(tone, &part));
    lines
}

/// Paints lines, each ended by a line feed.
pub fn paint(face: &Face, lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut out, line| {
        out.push_str(&line.paint(face));
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(width: usize) -> Face {
        Face { color: false, unicode: true, width: Some(width) }
    }

    #[test]
    fn what_is_wrapped_keeps_its_indentation() {
        let face = face(12);
        let lines = wrap(&face, Line::of(&face, "> "), Tone::Text, "  key: a long value");
        assert_eq!(paint(&face, &lines), ">   key: a\n    long\n    value\n");
    }

    #[test]
    fn what_enters_is_escaped() {
        let line = Line::of(&Face::PLAIN, "a\x1b[2Jb\u{fc}\n");
        assert_eq!(line.plain(), "a\\x1b[2Jb\\u{fc}\\n");
    }

    #[test]
    fn colour_goes_around_words_and_not_around_blanks() {
        let face = Face { color: true, unicode: true, width: None };
        let line = Line::new(&face).padded(Tone::Good, "ok", 6).tone(Tone::Text, "x").text("  ");
        assert_eq!(line.paint(&face), "\x1b[32mok\x1b[0m    x");
        assert_eq!(line.paint(&Face { color: false, ..face }), "ok    x");
    }

    #[test]
    fn a_cut_is_marked_and_fits() {
        let line = Line::of(&face(8), "abc").text("defghijkl");
        assert_eq!(line.clone().fit(&face(8)).plain(), "abcdefg\u{2026}");
        assert_eq!(line.clone().fit(&face(12)).plain(), "abcdefghijkl");
        let ascii = Face { unicode: false, ..face(8) };
        assert_eq!(line.fit(&ascii).plain(), "abcde...");
        let exact = Line::of(&face(3), "abc").text("d").fit(&face(3));
        assert!(exact.width() <= 3, "{exact:?}");
        let wide = Line::of(&face(5), "\u{65e5}\u{672c}\u{8a9e}").fit(&face(5));
        assert_eq!(wide.plain(), "\u{65e5}\u{672c}\u{2026}");
    }

    #[test]
    fn text_breaks_at_blanks_and_hangs() {
        let lines = wrap(&face(12), Line::of(&face(12), "go: "), Tone::Text, "one two three 1234567890123");
        let plain: Vec<String> = lines.iter().map(Line::plain).collect();
        assert_eq!(plain, ["go: one two", "    three", "    1234567\u{2026}"]);
    }

    #[test]
    fn a_wide_head_takes_no_room_from_what_follows() {
        let wrapped = |width: usize, head: &str, text: &str| -> Vec<String> {
            let face = face(width);
            wrap(&face, Line::of(&face, head), Tone::Text, text).iter().map(Line::plain).collect()
        };
        assert_eq!(wrapped(16, "0123456789: ", "ab cdefg hi"), ["0123456789: ab", "    cdefg hi"]);
        assert_eq!(wrapped(16, "0123456789: ", "abcdef ghi"), ["0123456789:", "    abcdef ghi"]);
        assert_eq!(wrapped(16, "012345: ", "a 0123456789"), ["012345: a", "    0123456789"]);
        assert_eq!(wrapped(8, "0123456789 ", "abcd"), ["0123456\u{2026}", "    abcd"]);
    }

    #[test]
    fn the_edge_is_left_alone_when_there_is_no_room() {
        let line = Line::of(&face(10), "abcde");
        assert_eq!(line.clone().at_edge(&face(10), Tone::Dim, "xyz").plain(), "abcde  xyz");
        assert_eq!(line.at_edge(&face(10), Tone::Dim, "wxyz").plain(), "abcde");
    }
}
