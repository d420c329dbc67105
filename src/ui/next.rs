//! The way out: commands that work when pasted.

use serde::Serialize;

use super::ink::{Line, Tone};
use super::terminal::Face;

pub use super::words::quote;

/// A command to type next, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// The words of the command.
    pub argv: Vec<String>,
    /// What it does, in a few words; may be empty.
    pub note: String,
}

impl Next {
    /// Makes one of words that stand for themselves.
    pub fn new(argv: &[&str], note: &str) -> Self {
        Self { argv: argv.iter().map(|&word| word.to_owned()).collect(), note: note.to_owned() }
    }

    /// The command as a shell reads it.
    pub fn command(&self) -> String {
        self.argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// The `next:` lines: notes as shell comments behind their commands, so that a whole line can be pasted. A
/// command that is too long goes on after a backslash, between two words.
pub fn lines(face: &Face, nexts: &[Next]) -> Vec<Line> {
    // What is escaped is wider than what it stands for.
    let width = |next: &Next| Line::of(face, &next.command()).width();
    let column = nexts.iter().map(width).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (place, next) in nexts.iter().enumerate() {
        // One fact a line: in plain output each line says by itself what it is.
        let head = if place == 0 || face.width.is_none() { "next: " } else { "      " };
        let note = if next.note.is_empty() { String::new() } else { format!("# {}", next.note) };
        let head = Line::new(face).tone(Tone::Strong, head);
        let whole = head.clone().padded(Tone::Text, &next.command(), column + 2).tone(Tone::Dim, &note);
        if face.width.is_none_or(|width| whole.width() <= width) {
            lines.push(whole);
            continue;
        }
        lines.extend(command(face, head, next));
        if !note.is_empty() {
            lines.push(Line::of(face, "          ").tone(Tone::Dim, &note).fit(face));
        }
    }
    lines
}

/// A command behind a word or a blank of one's own; one that is too long goes on after a backslash.
pub fn command(face: &Face, head: Line, next: &Next) -> Vec<Line> {
    let width = face.width.unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    let mut line = head;
    let mut bare = true;
    for (place, word) in next.argv.iter().enumerate() {
        let word = quote(word);
        let rest = if place + 1 == next.argv.len() { 0 } else { 2 };
        if !bare && line.width() + 1 + word.len() + rest > width {
            lines.push(std::mem::replace(&mut line, Line::of(face, "          ")).text(" \\"));
            bare = true;
        }
        line = line.text(if bare { "" } else { " " }).text(&word);
        bare = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::ink::paint;
    use super::*;

    fn sample() -> Vec<Next> {
        vec![
            Next::new(&["rollgate", "start", "--resume", "--gate-timeout", "2h"], "go on, wait longer"),
            Next::new(&["rollgate", "rollback", "-l", "mq-01"], "back to 3.13.6"),
        ]
    }

    fn shown(width: Option<usize>) -> String {
        let face = Face { color: false, unicode: false, width };
        paint(&face, &lines(&face, &sample()))
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quote("mq-01,mq-02"), "mq-01,mq-02");
        assert_eq!(quote("queue depth=it's late"), r"'queue depth=it'\''s late'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("$(x)"), "'$(x)'");
    }

    #[test]
    fn notes_align() {
        assert_eq!(
            shown(Some(80)),
            "next: rollgate start --resume --gate-timeout 2h  # go on, wait longer\n\
             \x20     rollgate rollback -l mq-01                 # back to 3.13.6\n"
        );
        assert!(shown(None).lines().all(|line| line.starts_with("next: ")));
    }

    #[test]
    fn a_note_never_touches_its_command() {
        let face = Face { color: false, unicode: false, width: None };
        let next = Next::new(&["rollgate", "-i", "caf\u{e9}\u{e9}", "check"], "look");
        assert_eq!(
            paint(&face, &lines(&face, &[next])),
            "next: rollgate -i 'caf\\u{e9}\\u{e9}' check  # look\n"
        );
    }

    #[test]
    fn a_long_command_stays_one_when_pasted() {
        assert_eq!(
            shown(Some(40)),
            "next: rollgate start --resume \\\n\
             \x20         --gate-timeout 2h\n\
             \x20         # go on, wait longer\n\
             \x20     rollgate rollback -l mq-01\n\
             \x20         # back to 3.13.6\n"
        );
    }
}
