//! One ASCII line for each change of state: pipes, cron, logs, screen readers. No cursor codes.

use std::io::Write;

use crate::model::name::NodeName;

use super::super::escape;
use super::super::ink::{Line, Tone, broken, paint};
use super::super::moment::Moment;
use super::super::narrate::Told;
use super::super::terminal::{Face, NARROWEST};
use super::Screen;

/// The renderer.
pub struct Lines {
    out: Box<dyn Write + Send>,
    face: Face,
    columns: Box<dyn Fn() -> Option<u16> + Send>,
    prompt: Option<String>,
    released: bool,
    held_back: String,
}

impl Lines {
    /// Writes to a stream; colour and Unicode are off whatever the stream can do.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self::on(out, || None)
    }

    /// The same on a terminal of so many columns, where they are known: a line that is longer goes on behind the
    /// words that it began with.
    pub fn on(out: Box<dyn Write + Send>, columns: impl Fn() -> Option<u16> + Send + 'static) -> Self {
        let (columns, held_back) = (Box::new(columns), String::new());
        Self { out, face: Face::PLAIN, columns, prompt: None, released: false, held_back }
    }

    /// Text behind a head, in as many lines as it takes.
    fn laid(&self, head: &str, text: &[u8]) -> String {
        let width = (self.columns)().map(|columns| usize::from(columns).max(NARROWEST));
        let face = Face { width, ..self.face };
        let text = escape::line(text, false);
        paint(&face, &broken(&face, &Line::of(&face, head), Tone::Text, &text))
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
        let line = |indent: &str, text: &str| self.laid(&format!("{prefix}{indent}"), text.as_bytes());
        let below = told.below.iter().map(|text| line("  ", text));
        let text: String = std::iter::once(line("", &told.text)).chain(below).collect();
        self.write(&text);
    }

    fn output(&mut self, node: &NodeName, line: &[u8]) {
        let text = self.laid(&format!("{node} | "), line);
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
