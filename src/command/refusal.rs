//! Why a verb did not do what it was asked: an exit code and a message with a way out.

use crate::config::{Mistake, Mistakes};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::model::planner::PlanError;
use crate::model::selector::NoMatch;
use crate::ui::document::{Finding, Problem};
use crate::ui::error::{self, Message};
use crate::ui::ink::{Line, paint};
use crate::ui::next::Next;
use crate::ui::terminal::Format;
use crate::ui::words;
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
    /// Mistakes in files, laid out with their source lines, and warnings.
    Mistakes(Mistakes, Vec<Mistake>),
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

    /// What else was found in the files, and does not stand in the way.
    pub(super) fn warnings(mut self, found: Vec<Mistake>) -> Self {
        if let Words::Mistakes(_, warnings) = &mut self.words {
            *warnings = found;
        }
        self
    }

    /// Says it on standard error, and to a program that reads standard output as a document too.
    pub(super) fn show(&self, context: &Context) -> Exit {
        let face = &context.style.err;
        let (lines, problem) = match &self.words {
            Words::Mistakes(mistakes, warnings) => self.in_files(context, mistakes, warnings),
            Words::Message(message) => {
                let mut message = message.as_ref().clone();
                if message.next.is_empty() {
                    message.next.push(context.command(&["check"], "look at the files and reach every node"));
                }
                let problem = self.problem(&message);
                message.standing = if message.standing.is_empty() {
                    format!("(exit {})", self.exit.number())
                } else {
                    format!("{} (exit {})", message.standing, self.exit.number())
                };
                (message.lines(face), problem)
            }
        };
        write::to_stderr(&paint(face, &lines));
        if context.style.format == Format::Json {
            // When standard output is what failed, it has been said above.
            let _ = super::print(&problem.line());
        }
        self.exit
    }

    fn in_files(&self, context: &Context, mistakes: &Mistakes, warnings: &[Mistake]) -> (Vec<Line>, Problem) {
        let face = &context.style.err;
        let note = format!("{} first", mistakes.to_do());
        let next = context.command(&["check", "--syntax-only"], &note);
        // Whoever puts the files right does so once.
        let others =
            warnings.iter().map(|warning| error::rendered(face, &warning.warning(!face.unicode), &[]));
        let mut lines: Vec<Line> = others.flatten().collect();
        let text = mistakes.render(!face.unicode);
        lines.extend(error::rendered(face, &text, std::slice::from_ref(&next)));
        let errors = mistakes.iter().map(|mistake| finding("error", mistake));
        let findings: Vec<Finding> =
            errors.chain(warnings.iter().map(|warning| finding("warning", warning))).collect();
        let problem = Problem {
            exit_code: self.exit.number(),
            error: match mistakes.iter().next() {
                Some(only) if mistakes.iter().count() == 1 => only.what.clone(),
                _ => format!("{} in the files", words::count(mistakes.iter().count(), "mistake")),
            },
            standing: Some("nothing was done".to_owned()),
            findings,
            next: vec![next],
            ..Problem::default()
        };
        (lines, problem)
    }

    fn problem(&self, message: &Message) -> Problem {
        Problem {
            exit_code: self.exit.number(),
            error: message.what.clone(),
            evidence: message.evidence.clone(),
            help: message.help.clone(),
            standing: Some(message.standing.clone()).filter(|standing| !standing.is_empty()),
            findings: Vec::new(),
            next: message.next.clone(),
        }
    }
}

/// What was found in a file, for a program.
pub(super) fn finding(severity: &'static str, mistake: &Mistake) -> Finding {
    Finding {
        severity,
        file: mistake.file.display().to_string(),
        line: mistake.place.as_ref().map(|place| place.line),
        column: mistake.place.as_ref().map(|place| place.column),
        message: mistake.what.clone(),
        help: mistake.help.clone(),
    }
}

impl From<Mistakes> for Refusal {
    fn from(mistakes: Mistakes) -> Self {
        Self { exit: Exit::Input, words: Words::Mistakes(mistakes, Vec::new()) }
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
    Refusal::input(error.to_string()).standing("nothing was done").help(suggested(
        &error.term,
        "known",
        known,
    ))
}

/// What was probably meant, and what there is.
pub(super) fn suggested(word: &str, what: &str, known: &[&str]) -> String {
    let close = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, word), name))
        .min()
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len());
    let suggestion = close.map(|(_, name)| format!("did you mean `{name}`? ")).unwrap_or_default();
    format!("{suggestion}{what}: {}", known.join(", "))
}
