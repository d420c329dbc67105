//! What happens in a run. An [`Event`] is journaled, in the past tense; a [`Notice`] is only shown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::{Value, Verdict};
use super::name::{CheckName, NodeName, RoleName, StepName, VarName};
use super::plan::{Plan, StepId, StepKey};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Dense from 0.
    #[serde(rename = "n")]
    pub seq: u64,
    /// When it was written, by the operator's clock. Shown, never decided upon.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A run's name: `2026-11-21.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Login name; behind sudo the one who called it.
    pub user: String,
    /// The operator's machine.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// What one invocation was asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// How far it is to go.
    pub goal: Goal,
    /// Who asked.
    pub by: Operator,
    /// Whether there is somebody at a terminal who can be asked.
    pub attended: bool,
    /// Whether open gates are answered with yes.
    pub yes: bool,
    /// The cluster's name as given on the command line, for typed questions.
    pub confirm: Option<String>,
    /// Reasons to open gates that stay closed, by gate.
    pub overrides: BTreeMap<StepName, String>,
    /// Only these nodes; the others stay to do.
    pub limit: Option<Vec<NodeName>>,
    /// A safe stop after this node.
    pub pause_after: Option<NodeName>,
    /// How many nodes are staged at the same time.
    pub parallel: usize,
    /// How long a gate may stay closed, where the command line says so.
    pub gate_timeout: Option<Duration>,
    /// Ticket or change number.
    pub change: Option<String>,
    /// The command line, for the report.
    pub args: Vec<String>,
}

/// How far an invocation goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Everything is on the nodes, nothing is restarted.
    Staged,
    /// Every phase is done.
    Finished,
    /// What is temporary is undone and what was staged is removed.
    Unstaged,
    /// These turns are taken back, in this order.
    RolledBack(Vec<Turn>),
}

/// One node's way through one phase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Turn {
    /// The number of the phase.
    pub phase: usize,
    /// The node.
    pub node: NodeName,
}

/// What a run's journal holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The first record of every journal.
    RunOpened {
        /// The run's name.
        run: RunId,
        /// What is executed.
        plan: Box<Plan>,
        /// What was asked.
        request: Request,
    },
    /// Another invocation goes on with the run.
    RunResumed {
        /// What was asked.
        request: Request,
    },
    /// An invariant was asked of a node before anything was touched.
    BaselineTaken {
        /// The invariant.
        check: CheckName,
        /// Who was asked.
        node: NodeName,
        /// What it answered.
        verdict: Verdict,
    },
    /// A role was read at the start; it stays what it was.
    RolePinned {
        /// The role.
        role: RoleName,
        /// Who had it.
        nodes: Vec<NodeName>,
    },
    /// A node's installed version was read.
    VersionRead {
        /// The node.
        node: NodeName,
        /// Its version.
        version: String,
    },
    /// A phase began.
    PhaseStarted {
        /// Its number.
        phase: usize,
    },
    /// A phase's `when` did not hold.
    PhaseSkipped {
        /// Its number.
        phase: usize,
        /// Why.
        why: String,
    },
    /// The next nodes were chosen, by the roles as they were at that moment.
    BatchFormed {
        /// The phase's number.
        phase: usize,
        /// The batch's number, from 0.
        batch: usize,
        /// Its nodes.
        nodes: Vec<NodeName>,
        /// Who had the role that goes last, where there is one.
        last: Vec<NodeName>,
    },
    /// A step is about to begin. Written before anything is sent to a node.
    StepStarted {
        /// Which.
        key: StepKey,
        /// From 1; never used twice, for it names log files and jobs.
        attempt: u32,
        /// The machines where it is done; the undo goes to the same ones.
        on: Vec<NodeName>,
    },
    /// A step came to an end.
    StepEnded {
        /// Which.
        key: StepKey,
        /// Of `StepStarted`.
        attempt: u32,
        /// How.
        outcome: Outcome,
    },
    /// The undo of a step is about to begin.
    UndoStarted {
        /// Whose undo.
        key: StepKey,
        /// From 1; never used twice.
        attempt: u32,
    },
    /// The undo of a step came to an end.
    UndoEnded {
        /// Whose undo.
        key: StepKey,
        /// Of `UndoStarted`.
        attempt: u32,
        /// How.
        outcome: Outcome,
    },
    /// A value was kept for later steps.
    Captured {
        /// By which step.
        key: StepKey,
        /// The variable.
        name: VarName,
        /// The value; `None` when it is secret.
        value: Option<String>,
    },
    /// The checks of a gate, wait or soak were read and something had changed.
    ReadingTaken {
        /// Whose checks.
        key: StepKey,
        /// What they read.
        readings: Vec<Reading>,
    },
    /// The operator was asked.
    Asked {
        /// What.
        question: Question,
    },
    /// The operator, a flag, or the lack of both answered.
    Answered {
        /// What was asked.
        question: Question,
        /// What was answered.
        decision: Decision,
        /// How it came about.
        how: How,
        /// Who.
        by: Operator,
        /// What was on the screen.
        readings: Vec<Reading>,
    },
    /// A point of no return was passed.
    PointPassed {
        /// The question before it.
        key: StepKey,
    },
    /// A node's way through a phase ended.
    TurnEnded {
        /// Which.
        turn: Turn,
        /// How.
        end: TurnEnd,
    },
    /// A phase ended.
    PhaseEnded {
        /// Its number.
        phase: usize,
    },
    /// No new step begins.
    StopRequested {
        /// Why.
        stop: Stop,
    },
    /// An invocation ended.
    RunClosed {
        /// How.
        verdict: RunEnd,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not needed.
    Skipped {
        /// Why.
        why: String,
    },
    /// It was done and failed, or could not be done.
    Failed(Failure),
    /// It changes nothing and was given up because the run stops.
    Interrupted,
    /// It began, and how it ended cannot be established. Never guessed.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What went wrong in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its class.
    pub kind: FailureKind,
    /// In words, for the operator.
    pub message: String,
    /// The last lines of output, masked.
    pub tail: Vec<String>,
    /// What may help.
    pub help: Option<String>,
}

/// Classes of failure; together with the section they decide the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A condition does not hold, or could not be read.
    Check,
    /// A gate stayed closed until its timeout.
    GateClosed,
    /// The answer was no, or none could be had.
    NoAnswer,
    /// A script ended with a status that does not mean success.
    Script,
    /// It took too long.
    Timeout,
    /// The node could not be reached; nothing began.
    Unreachable,
    /// Something on the operator's machine.
    Local,
    /// The step cannot be done as written: an unset variable, a role that nobody has.
    Input,
}

/// One reading of one check on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The check's label.
    pub check: String,
    /// Who was asked.
    pub node: NodeName,
    /// What was read.
    pub value: Option<Value>,
    /// What follows.
    pub verdict: Verdict,
    /// What it needs, in words: `<= 100`.
    pub needs: String,
    /// What the number counts.
    pub unit: Option<String>,
    /// Rows of evidence, shortened: lines of the value or of the evidence command.
    pub evidence: Vec<String>,
    /// What to do when it does not hold.
    pub remedy: Option<String>,
    /// When it was read, by the operator's clock.
    pub at: Timestamp,
}

/// Something to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Whether to pass a gate, a manual step or a point of no return.
    Gate {
        /// Which.
        key: StepKey,
    },
    /// What to do about a step, or its undo, that failed or is unknown.
    Trouble {
        /// Which.
        key: StepKey,
        /// Whether it is the undo.
        undo: bool,
    },
    /// Whether to go on though a check stopped holding while a step runs.
    During {
        /// Which step.
        key: StepKey,
    },
}

impl Question {
    /// The step that it is about.
    pub fn key(&self) -> &StepKey {
        match self {
            Self::Gate { key } | Self::Trouble { key, .. } | Self::During { key } => key,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Go on.
    Yes,
    /// Stop here.
    No,
    /// Go on though the gate is closed.
    Override {
        /// Why.
        reason: String,
    },
    /// Try the step again.
    Retry,
    /// Take the step as done.
    MarkDone {
        /// Why.
        reason: String,
    },
    /// Leave the node as it is and go on without it.
    SkipNode {
        /// Why.
        reason: String,
    },
    /// Take this node back, then stop.
    RollBack,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Typed at a terminal.
    Terminal,
    /// `--yes`, for a gate that was open.
    YesFlag,
    /// `--override GATE=REASON`.
    OverrideFlag,
    /// `--confirm CLUSTER`.
    ConfirmFlag,
    /// Nobody could be asked.
    Nobody,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnEnd {
    /// Every step is done.
    Done,
    /// A step failed, and the phase allows for it.
    Failed,
    /// The operator goes on without the node.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was taken back.
    RolledBack,
}

/// Why a run stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The class, which decides the exit code.
    pub halt: Halt,
    /// In words.
    pub why: String,
    /// The step, where it is about one.
    pub key: Option<StepKey>,
}

/// Classes of stops, the mildest first; of several the last one counts (`product.md` §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Halt {
    /// The nodes asked for are done; others remain.
    LimitReached,
    /// Something on the operator's machine.
    Local,
    /// The input turned out not to fit.
    Input,
    /// A gate stayed closed until its timeout.
    GateClosed,
    /// An answer was needed and there was none, or it was no.
    NoAnswer,
    /// A pre-check, guard or invariant does not hold.
    CheckFailed,
    /// A node cannot be reached.
    Unreachable,
    /// Drain did not finish.
    DrainFailed,
    /// Ctrl-C, SIGTERM, SIGHUP, `--pause-after`.
    Interrupted,
    /// A temporary change could not be undone.
    UndoFailed,
    /// The upgrade step failed.
    UpgradeFailed,
    /// Verify failed.
    VerifyFailed,
    /// Contact lost inside a step.
    Unknown,
    /// The rollback of a node failed.
    RollbackFailed,
    /// Killed inside a step.
    Killed,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunEnd {
    /// Everything is staged.
    Staged,
    /// Every phase is done.
    Finished,
    /// It stopped and can go on.
    Stopped(Stop),
    /// What was staged is removed; the run is over.
    Unstaged,
    /// The turns asked for were taken back.
    RolledBack,
}

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

impl Event {
    /// The step that the event is about.
    pub fn key(&self) -> Option<&StepKey> {
        match self {
            Self::StepStarted { key, .. }
            | Self::StepEnded { key, .. }
            | Self::UndoStarted { key, .. }
            | Self::UndoEnded { key, .. }
            | Self::Captured { key, .. }
            | Self::ReadingTaken { key, .. }
            | Self::PointPassed { key } => Some(key),
            Self::Asked { question } | Self::Answered { question, .. } => Some(question.key()),
            _ => None,
        }
    }
}

impl Turn {
    /// The key of one of the turn's steps.
    pub fn key(&self, step: &StepId) -> StepKey {
        StepKey { node: self.node.clone(), step: step.clone() }
    }
}
