//! A terminal that is redrawn: sentences scroll away above one block, which indicatif keeps at the bottom.
//!
//! A question is no part of that block: the terminal echoes what is typed, so it stands on lines that stay, and
//! what changes above it is rewritten in place between saving and restoring the cursor.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::name::NodeName;

use super::super::escape;
use super::super::ink::{Line, Tone, broken, ellipsis, paint, wrap};
use super::super::moment::Moment;
use super::super::narrate::Told;
use super::super::terminal::{Face, NARROWEST};
use super::Screen;

const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\r\x1b[J";
/// Rows of a terminal that does not say.
const USUAL_ROWS: usize = 24;
/// The name column of sentences.
const LABEL: usize = 8;
/// Rows that a block leaves free.
const SPARE_ROWS: usize = 2;

struct Question {
    prompt: String,
    /// Lines above the prompt that can still be rewritten; 0 after something was kept below them.
    rows: usize,
}

/// The renderer.
pub struct Live {
    out: Box<dyn Write + Send>,
    face: Face,
    rows: usize,
    size: Box<dyn Fn() -> Option<(u16, u16)> + Send>,
    bar: ProgressBar,
    question: Option<Question>,
    released: bool,
    held_back: String,
}

impl Live {
    /// Draws on a terminal; `target` is where indicatif draws, `out` the same terminal, `size` its rows and
    /// columns where they can be known.
    pub fn new(
        face: Face,
        size: impl Fn() -> Option<(u16, u16)> + Send + 'static,
        target: ProgressDrawTarget,
        out: Box<dyn Write + Send>,
    ) -> Self {
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(ProgressStyle::with_template("{msg}").expect("the template names a known key"));
        let size = Box::new(size);
        let (rows, question, held_back) = (USUAL_ROWS, None, String::new());
        let mut live = Self { out, face, rows, size, bar, question, released: false, held_back };
        live.measure();
        live
    }

    fn write(&mut self, text: &str) {
        // Nothing can be told to anybody when stderr fails; the journal has it all.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    fn print(&mut self, lines: &[Line]) {
        let text = paint(&self.face, lines);
        if self.released {
            self.held_back.push_str(&text);
        } else if let Some(question) = &mut self.question {
            question.rows = 0;
            let text = format!("{CLEAR_BELOW}{text}{}", question.prompt);
            self.write(&text);
        } else {
            let out = &mut self.out;
            self.bar.suspend(|| {
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            });
        }
    }
}

impl Screen for Live {
    fn measure(&mut self) {
        if let Some((rows, columns)) = (self.size)() {
            self.rows = rows.into();
            self.face.width = Some(usize::from(columns).max(NARROWEST));
        }
    }

    fn face(&self) -> &Face {
        &self.face
    }

    fn tell(&mut self, moment: &Moment, told: &Told) {
        let mut first = Line::new(&self.face)
            .tone(Tone::Dim, &moment.short(moment.now))
            .text(" ")
            .tone(told.sign.tone(), told.sign.on(&self.face))
            .text(" ");
        if let Some(node) = &told.node {
            first = first.padded(Tone::Strong, node.as_str(), LABEL.max(node.as_str().len() + 1));
        }
        let mut lines = wrap(&self.face, first, Tone::Text, &told.text);
        for below in &told.below {
            lines.push(Line::of(&self.face, "        ").text(below).fit(&self.face));
        }
        self.print(&lines);
    }

    fn output(&mut self, node: &NodeName, line: &[u8]) {
        let text = escape::line(line, self.face.unicode);
        let head = Line::new(&self.face).tone(Tone::Dim, &format!("{node} | "));
        self.print(&broken(&self.face, &head, Tone::Text, &text));
    }

    fn keep(&mut self, lines: &[Line]) {
        self.print(lines);
    }

    fn draw(&mut self, block: &[Line]) {
        if self.question.is_some() || self.released {
            return;
        }
        let room = self.rows.saturating_sub(SPARE_ROWS).max(1);
        let mut shown: Vec<String> = block.iter().map(|line| line.paint(&self.face)).collect();
        if shown.len() > room {
            // The last line is how far it all is; the middle gives way.
            let last = shown.pop().unwrap_or_default();
            shown.truncate(room.saturating_sub(2));
            shown.push(ellipsis(&self.face).to_owned());
            shown.push(last);
        }
        self.bar.set_message(shown.join("\n"));
        self.bar.tick();
    }

    fn is_live(&self) -> bool {
        true
    }

    fn ask(&mut self, above: &[Line], prompt: &str) {
        self.bar.set_message("");
        let prompt = escape::line(prompt.as_bytes(), self.face.unicode);
        let text = format!("{}{prompt}", paint(&self.face, above));
        let out = &mut self.out;
        self.bar.suspend(|| {
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
        self.question = Some(Question { prompt, rows: above.len() });
    }

    fn refresh(&mut self, above: &[Line]) {
        let Some(question) = self.question.as_mut().filter(|question| {
            !self.released && question.rows > 0 && above.len().max(question.rows) + SPARE_ROWS <= self.rows
        }) else {
            return;
        };
        let rows = question.rows;
        let text = if above.len() > rows {
            // It has grown, so what is below moves. Rows never shrink, so this comes to an end.
            question.rows = above.len();
            format!("\x1b[{rows}A{CLEAR_BELOW}{}{}", paint(&self.face, above), question.prompt)
        } else {
            let mut text = format!("{SAVE}\x1b[{rows}A\r");
            let blank = Line::new(&self.face);
            for line in std::iter::repeat_n(&blank, rows - above.len()).chain(above) {
                text.push_str(&line.clone().fit(&self.face).paint(&self.face));
                text.push_str(CLEAR_LINE);
                text.push('\n');
            }
            text.push_str(RESTORE);
            text
        };
        self.write(&text);
    }

    fn settle(&mut self, answered: bool) {
        if self.question.take().is_some() && !answered {
            self.write("\n");
        }
    }

    fn release(&mut self) {
        self.bar.set_message("");
        // A tick may be left out when the last one was a moment ago; this clears whatever stands there.
        self.bar.suspend(|| {});
        self.released = true;
    }

    fn resume(&mut self) {
        self.released = false;
        let held_back = std::mem::take(&mut self.held_back);
        if !held_back.is_empty() {
            let out = &mut self.out;
            self.bar.suspend(|| {
                let _ = out.write_all(held_back.as_bytes()).and_then(|()| out.flush());
            });
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
