//! Where progress goes: a terminal that is redrawn, or lines.

mod lines;
mod live;
mod rows;

pub use lines::Lines;
pub use live::Live;
pub use rows::Rows;

use crate::model::name::NodeName;

use super::ink::Line;
use super::moment::Moment;
use super::narrate::Told;
use super::terminal::Face;

/// A place for progress and questions.
pub trait Screen: Send {
    /// What it can show.
    fn face(&self) -> &Face;

    /// Keeps a sentence about the run.
    fn tell(&mut self, moment: &Moment, told: &Told);

    /// Finds out how large the screen is now.
    fn measure(&mut self) {}

    /// Keeps a line that a node printed.
    fn output(&mut self, node: &NodeName, line: &[u8]);

    /// Keeps lines as they are.
    fn keep(&mut self, lines: &[Line]);

    /// Replaces the block that is redrawn; nothing where nothing is.
    fn draw(&mut self, block: &[Line]);

    /// Whether [`Screen::draw`] shows anything.
    fn is_live(&self) -> bool;

    /// Puts a question: lines that stay, then a prompt at the end of which the answer is typed. What is kept
    /// while it stands does not swallow it.
    fn ask(&mut self, above: &[Line], prompt: &str);

    /// Shows the lines above the standing prompt as they are now, where that can be done in place.
    fn refresh(&mut self, above: &[Line]);

    /// Ends the question; `answered` says that the operator's Enter has ended its line.
    fn settle(&mut self, answered: bool);

    /// Lets go of the terminal: nothing is drawn until [`Screen::resume`]. What is to be kept meanwhile waits.
    fn release(&mut self);

    /// Takes the terminal back.
    fn resume(&mut self);
}
