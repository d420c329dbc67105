//! What passes between the engine and the screen, and is never journaled by itself.

use std::path::PathBuf;
use std::time::Duration;

use super::{Decision, Question, Reading, Record};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;

/// Shown while it lasts, never journaled.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A connection is being made.
    Connecting {
        /// To whom.
        node: NodeName,
    },
    /// A node answers.
    Connected {
        /// Who.
        node: NodeName,
    },
    /// A line that a step printed, raw: the screen escapes it.
    Output {
        /// Whose.
        key: StepKey,
        /// The line without its end.
        line: Vec<u8>,
    },
    /// The checks of a gate, wait or soak as they are now.
    Watching {
        /// Whose.
        key: StepKey,
        /// What was read.
        readings: Vec<Reading>,
        /// How many readings in a row hold, of how many.
        steady: (u32, u32),
        /// How long until the next reading.
        every: Duration,
        /// How long it has waited.
        waited: Duration,
        /// How long it waits at most.
        limit: Duration,
    },
    /// A gate is open and waits for an answer that was asked for, or is closed again.
    GateMoved {
        /// Which.
        key: StepKey,
        /// Whether it is open.
        open: bool,
    },
    /// Bytes of a copy.
    Copying {
        /// Whose.
        key: StepKey,
        /// Copied.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Something to know.
    Said {
        /// About whom.
        node: Option<NodeName>,
        /// In words.
        text: String,
    },
    /// What an attempt's output is kept in.
    Transcript {
        /// Whose.
        key: StepKey,
        /// The file.
        path: PathBuf,
    },
}

/// What the screen is sent.
#[derive(Debug, Clone)]
pub enum Report {
    /// A record, once it is durable.
    Record(Box<Record>),
    /// Something that passes.
    Notice(Notice),
    /// A question for the operator; the screen answers with [`Control::Answer`].
    Ask(Box<Inquiry>),
    /// The question is void: the gate closed again, or the run stops.
    Withdraw(Question),
    /// Ctrl-C while the run waits at a closed gate: offer the choices (keep waiting, read now, open
    /// anyway, stop). The answer is [`Control::ReadNow`], [`Control::Open`], [`Control::Stop`] or nothing.
    Choices(StepKey),
    /// Show how far everything is.
    Progress,
    /// A step needs the terminal for itself; the screen lets go of it, says [`Control::Yielded`], and
    /// stays silent until [`Report::Restore`].
    Yield(StepKey),
    /// A step gave the terminal back.
    Restore(StepKey),
}

/// A question with what is needed to put it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inquiry {
    /// What.
    pub question: Question,
    /// The question in words.
    pub text: String,
    /// What a yes will do.
    pub consequence: String,
    /// The word that must be typed, where it is not `yes`.
    pub typed: Option<String>,
    /// The readings it rests on.
    pub readings: Vec<Reading>,
    /// Whether rolling this node back can be offered.
    pub can_roll_back: bool,
    /// Whether it is about something of which nobody knows how it ended.
    pub is_unknown: bool,
}

/// What the screen sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// An answer to a question.
    Answer {
        /// Which.
        question: Question,
        /// What.
        decision: Decision,
    },
    /// At a closed gate: open it anyway.
    Open {
        /// Which.
        key: StepKey,
        /// Why.
        reason: String,
    },
    /// Read a gate now and show what its commands say.
    ReadNow {
        /// Which.
        key: StepKey,
    },
    /// Stop at the next safe point.
    Stop,
    /// The terminal is free for this step.
    Yielded(StepKey),
}
