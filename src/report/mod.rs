//! A run as a document for the change ticket: HTML with its timeline as SVG, text, JSON, and a bundle of all there
//! is. Made of the journal alone, the same for a run that is finished, stopped or at work.
//!
//! Builders are pure. Whatever a node, a file or a human said goes through one masking and one escaping on the way
//! into each form ([`markup`], [`Layout`], [`json`]).

mod archive;
mod axis;
mod content;
mod curve;
mod figure;
mod hatch;
mod html;
mod json;
mod mark;
mod markup;
mod plot;
mod story;
#[cfg(test)]
mod tests;
mod text;

use std::path::PathBuf;

use crate::model::event::Record;
use crate::model::moment::Moment;
use crate::model::state::RunState;

pub use archive::{Member, pack};
pub use json::{hide_sources, masked};

use story::Story;

/// Puts `***` where a secret stands.
pub type Mask<'a> = &'a dyn Fn(&str) -> String;

/// What a report is made of.
pub struct Facts<'a> {
    /// Where the run stands.
    pub state: &'a RunState,
    /// Its journal.
    pub records: &'a [Record],
    /// When the report is made.
    pub moment: &'a Moment,
    /// Whether somebody works on the run right now.
    pub at_work: bool,
    /// The exit code of its latest invocation, with its meaning; absent while there is none.
    pub exit: Option<(u8, &'static str)>,
    /// Inventory and procedure.
    pub files: Vec<FileFact>,
    /// The journal's file.
    pub journal: JournalFact,
    /// Secrets that cannot be had now, by name: only what was masked during the run is masked.
    pub unknown_secrets: Vec<String>,
    /// Masks those that can.
    pub mask: Mask<'a>,
}

/// A file that the run was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// `inventory` or `procedure`.
    pub role: &'static str,
    /// Where it stood.
    pub path: PathBuf,
    /// Its sum when the run began.
    pub sha256: String,
    /// Its text, where that is still what it was.
    pub text: Option<String>,
}

/// The file that a report is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFact {
    /// Where it stands.
    pub path: PathBuf,
    /// The sum of it as it was read.
    pub sha256: String,
    /// Why what follows from it may not be the whole.
    pub flaw: Option<String>,
}

/// Lays text out in lines for the text form; whoever implements it makes every line harmless.
pub trait Layout {
    /// Lines that begin with `first` and are indented as far where they go on.
    fn wrapped(&self, first: &str, text: &str) -> Vec<String>;
    /// A table; a heading says whether its column is one of numbers.
    fn table(&self, heads: &[(String, bool)], rows: &[Vec<String>]) -> Vec<String>;
    /// A line as it is.
    fn line(&self, text: &str) -> String;
}

/// A report that can be written in every form.
pub struct Report<'a> {
    facts: &'a Facts<'a>,
    story: Story<'a>,
}

impl<'a> Report<'a> {
    /// Reads a run.
    pub fn of(facts: &'a Facts<'a>) -> Self {
        let now = facts.at_work.then_some(facts.moment.now);
        Self { facts, story: Story::of(facts.state, facts.records, now) }
    }

    /// One page that needs no other file: no script, no address, for screen and paper.
    pub fn html(&self) -> String {
        html::page(self.facts, &self.story)
    }

    /// The timeline as a file of its own.
    pub fn svg(&self) -> String {
        figure::svg(&self.story, self.facts.moment, self.facts.mask, true)
    }

    /// The whole as text.
    pub fn text(&self, layout: &dyn Layout) -> String {
        text::text(self.facts, &self.story, layout)
    }

    /// The whole as one document, with the journal's records.
    pub fn json(&self) -> serde_json::Value {
        json::document(self.facts, &self.story)
    }
}
