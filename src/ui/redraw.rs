//! A block on a terminal that is written over in place: what is above it stays, nothing is cleared before there is
//! something else to stand there, and what does not fit is counted.

use super::ink::{Line, Tone};
use super::terminal::Face;
use super::words;

/// Rows of a terminal that does not say.
const USUAL_ROWS: usize = 24;
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The block.
#[derive(Debug, Default)]
pub struct Redraw {
    /// Lines of it that stand above the cursor.
    drawn: usize,
}

impl Redraw {
    /// What is written when it is left as it stands: the line of the cursor is made empty.
    pub const LEAVE: &str = "\r\x1b[K";

    /// The block anew, in one piece, as high as the terminal is now.
    pub fn frame(&mut self, face: &Face, lines: &[Line]) -> String {
        let rows = console::Term::stdout().size_checked().map_or(USUAL_ROWS, |(rows, _)| rows.into());
        self.frame_in(rows, face, lines)
    }

    fn frame_in(&mut self, rows: usize, face: &Face, lines: &[Line]) -> String {
        // The cursor stands on the line below.
        let room = rows.saturating_sub(1).max(1);
        let mut shown = lines.to_vec();
        if shown.len() > room {
            shown.truncate(room - 1);
            let left = lines.len() - shown.len();
            let text = format!("and {} below", words::count(left, "line"));
            shown.push(Line::new(face).tone(Tone::Dim, &text).fit(face));
        }
        let text = self.over(room, face, &shown);
        self.drawn = shown.len();
        text
    }

    /// The block for the last time: all of it, also what has to scroll.
    pub fn last(&mut self, face: &Face, lines: &[Line]) -> String {
        let rows = console::Term::stdout().size_checked().map_or(USUAL_ROWS, |(rows, _)| rows.into());
        let text = self.over(rows.saturating_sub(1), face, lines);
        self.drawn = 0;
        text
    }

    fn over(&self, room: usize, face: &Face, lines: &[Line]) -> String {
        let mut text = match self.drawn.min(room) {
            0 => "\r".to_owned(),
            up => format!("\r\x1b[{up}A"),
        };
        for line in lines {
            text.push_str(&line.clone().fit(face).paint(face));
            text.push_str(CLEAR_LINE);
            text.push_str("\r\n");
        }
        text.push_str(CLEAR_BELOW);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    const FACE: Face = Face { color: false, unicode: true, width: Some(20) };

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::of(&FACE, text)).collect()
    }

    fn terminal(rows: u16) -> vt100::Parser {
        let size = |count| NonZeroU16::new(count).unwrap();
        let mut terminal = vt100::Parser::new(size(rows), size(20), 100);
        terminal.process(b"$ rollgate status -w\r\n");
        terminal
    }

    #[test]
    fn it_stands_below_what_was_there_and_leaves_nothing_of_itself() {
        let (mut terminal, mut block) = (terminal(6), Redraw::default());
        terminal.process(block.frame_in(6, &FACE, &lines(&["one", "two two", "three"])).as_bytes());
        terminal.process(block.frame_in(6, &FACE, &lines(&["ONE", "TWO"])).as_bytes());
        assert_eq!(terminal.screen().contents(), "$ rollgate status -w\nONE\nTWO");
        terminal.process(block.last(&FACE, &lines(&["end"])).as_bytes());
        assert_eq!(terminal.screen().contents(), "$ rollgate status -w\nend");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_comes_at_the_end() {
        let (mut terminal, mut block) = (terminal(4), Redraw::default());
        for _ in 0..3 {
            let text = block.frame_in(4, &FACE, &lines(&["1", "2", "3", "4", "5"]));
            terminal.process(text.as_bytes());
            assert_eq!(terminal.screen().contents(), "1\n2\nand 3 lines below");
        }
        let text = block.last(&FACE, &lines(&["1", "2", "3", "4", "5"]));
        terminal.process(text.as_bytes());
        assert_eq!(terminal.screen().contents(), "3\n4\n5");
        terminal.screen_mut().set_scrollback(3);
        assert_eq!(terminal.screen().contents(), "$ rollgate status -w\n1\n2\n3");
    }

    #[test]
    fn nothing_is_cleared_before_it_is_written_over() {
        let mut block = Redraw::default();
        block.frame_in(10, &FACE, &lines(&["one", "two"]));
        let text = block.frame_in(10, &FACE, &lines(&["one", "two"]));
        assert_eq!(text, "\r\x1b[2Aone\x1b[K\r\ntwo\x1b[K\r\n\x1b[J");
    }
}
