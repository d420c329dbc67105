//! The operator's desk: takes reports, folds its own state from the records, draws, asks, and sends controls.
//!
//! It runs on a thread of its own, so that neither a slow terminal nor an unanswered question holds up the engine.

mod clerk;
mod loan;
mod reports;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::model::event::Control;
use crate::model::state::RunState;

use super::narrate::Loudness;
use super::prompt;
use super::screen::{Lines, Live, Rows, Screen};
use super::terminal::{Format, Style};
use super::write;
use clerk::Clerk;
use loan::Loan;

pub use loan::{Lender, Lent};
pub use reports::Reports;

/// Where the desk stands: its screen, its keyboard, where records go that a program reads.
pub struct Place {
    /// The screen.
    pub screen: Box<dyn Screen>,
    /// The terminal where answers are typed; absent where nobody can be asked.
    pub keyboard: Option<OwnedFd>,
    /// How this program is called, where there is no keyboard and `approve` answers.
    pub approved_by: Option<Vec<String>>,
    /// Whether choices are made with arrows (only on the process's own terminal).
    pub arrows: bool,
    /// Where each record goes as a line of JSON.
    pub records: Option<Box<dyn Write + Send>>,
    /// How much is said.
    pub loudness: Loudness,
}

impl Place {
    /// The place that a style describes, on this process's own streams.
    pub fn of(style: &Style, loudness: Loudness) -> Self {
        let screen: Box<dyn Screen> = if style.live && loudness > Loudness::Quiet {
            let size = || console::Term::stderr().size_checked();
            let terminal = Box::new(Rows::on(console::Term::buffered_stderr()));
            let target = indicatif::ProgressDrawTarget::term_like_with_hz(terminal, 8);
            Box::new(Live::new(style.err, size, target, Box::new(std::io::stderr())))
        } else {
            let columns = || console::Term::stderr().size_checked().map(|(_, columns)| columns);
            Box::new(Lines::on(Box::new(std::io::stderr()), columns))
        };
        Self {
            screen,
            keyboard: style.interactive.then(|| prompt::stdin().ok()).flatten(),
            approved_by: None,
            arrows: style.live,
            records: (style.format == Format::Json)
                .then(|| Box::new(write::stdout()) as Box<dyn Write + Send>),
            loudness,
        }
    }
}

/// A desk at work.
#[derive(Debug)]
pub struct Desk {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<RunState>>>,
    loans: Sender<Loan>,
}

impl Desk {
    /// Opens a desk and gives the way to report to it. `controls` is called on the desk's thread and must not
    /// block. A run that goes on starts with the state that its journal gives.
    pub fn open(
        place: Place,
        state: Option<RunState>,
        controls: impl Fn(Control) + Send + 'static,
    ) -> std::io::Result<(Self, Reports)> {
        let (reports, inbox) = reports::reports();
        let (loans, borrowers) = channel();
        let closing = Arc::new(AtomicBool::new(false));
        let clerk = Clerk::new(place, state, Box::new(controls), borrowers);
        let until = Arc::clone(&closing);
        let thread =
            std::thread::Builder::new().name("desk".into()).spawn(move || clerk.work(&inbox, &until))?;
        Ok((Self { closing, thread: Some(thread), loans }, reports))
    }

    /// Who lends the terminal to others while the desk is open.
    pub fn lender(&self) -> Lender {
        Lender::new(self.loans.clone())
    }

    /// Shows what was reported so far, clears what was drawn, and gives the fold back.
    pub fn close(mut self) -> Option<RunState> {
        self.join()
    }

    fn join(&mut self) -> Option<RunState> {
        self.closing.store(true, Ordering::SeqCst);
        self.thread.take().and_then(|thread| thread.join().ok()).flatten()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.join();
    }
}
