//! One ASCII line for each change of state: pipes, cron, logs, screen readers. No cursor codes.

use std::io::Write;

use crate::model::name::NodeName;

use super::super::escape;
use super::super::ink::{Line, paint};
use super::super::moment::Moment;
use super::super::narrate::Told;
use super::super::terminal::Face;
use super::Screen;

/// The renderer.
pub struct Lines {
    out: Box<dyn Write + Send>,
    face: Face,
    prompt: Option<String>,
    released: bool,
    held_back: String,
}

impl Lines {
    /// Writes to a stream; colour and Unicode are off whatever the stream can do.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, face: Face::PLAIN, prompt: None, released: false, held_back: String::new() }
    }

    fn write(&mut self, text: &str) {
        if self.released {
            self.held_back.push_str(text);
            return;
        }
        // Nothing can be told to anybody when stderr fails; the journal has it all.
        let _ = match &self.prompt {
            Some(prompt) => write!(self.out, "\n{text}{prompt}"),
            None => self.out.write_all(text.as_bytes()),
        };
        let _ = self.out.flush();
    }
}

impl Screen for Lines {
    fn face(&self) -> &Face {
        &self.face
    }

    fn tell(&mut self, moment: &Moment, told: &Told) {
        let prefix = match &told.node {
            Some(node) => format!("{} {node} ", moment.iso(moment.now)),
            None => format!("{} ", moment.iso(moment.now)),
        };
        let line =
            |indent: &str, text: &str| format!("{prefix}{indent}{}\n", escape::line(text.as_bytes(), false));
        let below = told.below.iter().map(|text| line("  ", text));
        let text: String = std::iter::once(line("", &told.text)).chain(below).collect();
        self.write(&text);
    }

    fn output(&mut self, node: &NodeName, line: &[u8]) {
        let text = format!("{node} | {}\n", escape::line(line, false));
        self.write(&text);
    }

    fn keep(&mut self, lines: &[Line]) {
        let text = paint(&self.face, lines);
        self.write(&text);
    }

    fn draw(&mut self, _block: &[Line]) {}

    fn is_live(&self) -> bool {
        false
    }

    fn ask(&mut self, above: &[Line], prompt: &str) {
        let text = format!("{}{}", paint(&self.face, above), escape::line(prompt.as_bytes(), false));
        self.write(&text);
        self.prompt = Some(escape::line(prompt.as_bytes(), false));
    }

    fn refresh(&mut self, _above: &[Line]) {}

    fn settle(&mut self, answered: bool) {
        if self.prompt.take().is_some() && !answered {
            self.write("\n");
        }
    }

    fn release(&mut self) {
        self.released = true;
    }

    fn resume(&mut self) {
        self.released = false;
        let held_back = std::mem::take(&mut self.held_back);
        if !held_back.is_empty() {
            self.write(&held_back);
        }
    }
}
