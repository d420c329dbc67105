//! Why a verb did not do what it was asked: an exit code and a message with a way out.

use crate::config::Mistakes;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::model::planner::PlanError;
use crate::model::selector::NoMatch;
use crate::ui::error::{self, Message};
use crate::ui::ink::paint;
use crate::ui::next::Next;
use crate::ui::write;

use super::context::Context;

/// An exit code with what is said about it.
#[derive(Debug)]
pub(super) struct Refusal {
    exit: Exit,
    words: Words,
}

#[derive(Debug)]
enum Words {
    Message(Box<Message>),
    /// Mistakes in files, laid out with their source lines.
    Mistakes(Mistakes),
}

impl Refusal {
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        let message = Message { what: what.into(), ..Message::default() };
        Self { exit, words: Words::Message(Box::new(message)) }
    }

    pub(super) fn input(what: impl Into<String>) -> Self {
        Self::new(Exit::Input, what)
    }

    fn change(mut self, change: impl FnOnce(&mut Message)) -> Self {
        if let Words::Message(message) = &mut self.words {
            change(message);
        }
        self
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        let help = help.into();
        self.change(|message| message.help.push(help))
    }

    pub(super) fn evidence(self, line: impl Into<String>) -> Self {
        let line = line.into();
        self.change(|message| message.evidence.push(line))
    }

    pub(super) fn next(self, next: Next) -> Self {
        self.change(|message| message.next.push(next))
    }

    pub(super) fn standing(self, standing: impl Into<String>) -> Self {
        let standing = standing.into();
        self.change(|message| message.standing = standing)
    }

    /// The code that it ends with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says it on standard error.
    pub(super) fn show(&self, context: &Context) -> Exit {
        let face = &context.style.err;
        let lines = match &self.words {
            Words::Mistakes(mistakes) => {
                let note = format!("{} first", mistakes.to_do());
                let next = context.command(&["check", "--syntax-only"], &note);
                error::rendered(face, &mistakes.render(!face.unicode), &[next])
            }
            Words::Message(message) => {
                let mut message = message.as_ref().clone();
                if message.next.is_empty() {
                    message.next.push(context.command(&["check"], "look at the files and reach every node"));
                }
                message.standing = if message.standing.is_empty() {
                    format!("(exit {})", self.exit.number())
                } else {
                    format!("{} (exit {})", message.standing, self.exit.number())
                };
                message.lines(face)
            }
        };
        write::to_stderr(&paint(face, &lines));
        self.exit
    }
}

impl From<Mistakes> for Refusal {
    fn from(mistakes: Mistakes) -> Self {
        Self { exit: Exit::Input, words: Words::Mistakes(mistakes) }
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        let exit = match &error {
            JournalError::Held { .. } | JournalError::Busy { .. } => Exit::Held,
            JournalError::NoSuchRun { .. } | JournalError::Foreign { .. } => Exit::Input,
            _ => Exit::Broken,
        };
        let refusal = Self::new(exit, error.to_string());
        match error.help() {
            Some(help) => refusal.help(help),
            None => refusal,
        }
    }
}

impl From<PlanError> for Refusal {
    fn from(error: PlanError) -> Self {
        let exit = if matches!(error, PlanError::WrongSum { .. }) { Exit::CheckFailed } else { Exit::Input };
        Self::new(exit, error.to_string()).standing("nothing was done")
    }
}

/// `--limit` names nobody: that is a slip, never an empty success (ansible #14693).
pub(super) fn nobody(error: &NoMatch, known: &[&str]) -> Refusal {
    let refusal = Refusal::input(error.to_string()).standing("nothing was done");
    let close = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, &error.term), name))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let suggestion = close.map(|(_, name)| format!("did you mean `{name}`? ")).unwrap_or_default();
    refusal.help(format!("{suggestion}known: {}", known.join(", ")))
}
