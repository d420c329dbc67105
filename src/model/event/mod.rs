//! What happens in a run. An [`Event`] is journaled, in the past tense; a [`Notice`] is only shown.

mod approval;
mod exchange;
mod masked;
mod outcome;
mod question;
mod settling;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Verdict;
use super::duration;
use super::fence::{Broken, Fence};
use super::name::{CheckName, NodeName, RoleName, StepName, VarName};
use super::pace::Past;
use super::plan::{Plan, StepId, StepKey};
use super::window::Outside;

pub use approval::{Approval, Reception};
pub use exchange::{Control, Inquiry, Notice, Report};
pub use outcome::{Failure, FailureKind, Halt, Outcome, Reading, RunEnd, Stop, TurnEnd};
pub use question::{Decision, How, Question};
pub use settling::{Decided, Means, Reverting, Settlement, subject};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(pub String);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operator {
    /// Login name; behind sudo the one who called it.
    pub user: String,
    /// The operator's machine.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// What one invocation was asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// How far it is to go.
    pub goal: Goal,
    /// Who asked.
    pub by: Operator,
    /// Whether there is somebody who can be asked: at the terminal, or with `approve`.
    pub attended: bool,
    /// Whether it goes on without a terminal, and only `approve` answers.
    #[serde(default)]
    pub detached: bool,
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
    #[serde(with = "duration::maybe_seconds")]
    #[schemars(with = "Option<f64>")]
    pub gate_timeout: Option<Duration>,
    /// How the nodes' locks are taken.
    pub lock: LockTerms,
    /// Ticket or change number.
    pub change: Option<String>,
    /// What the operator says of steps whose outcome nobody knows.
    #[serde(default)]
    pub decisions: Vec<Decided>,
    /// Why turns begin though the window is closed, or closes before they end.
    #[serde(default)]
    pub outside_window: Option<String>,
    /// How long turns took in earlier runs of the procedure.
    #[serde(default)]
    pub earlier: Past,
    /// What others could have changed of the files that it rests on; absent unless such files were allowed.
    #[serde(default)]
    pub insecure_files: Option<Vec<String>>,
    /// The command line, for the report.
    pub args: Vec<String>,
}

impl Request {
    /// What is asked where nothing more is said: nobody attends, nothing is agreed to, four copies at a time.
    pub fn new(goal: Goal, by: Operator) -> Self {
        Self {
            goal,
            by,
            attended: false,
            detached: false,
            yes: false,
            confirm: None,
            overrides: BTreeMap::new(),
            limit: None,
            pause_after: None,
            parallel: 4,
            gate_timeout: None,
            decisions: Vec::new(),
            outside_window: None,
            earlier: Past::default(),
            insecure_files: None,
            lock: LockTerms::default(),
            change: None,
            args: Vec::new(),
        }
    }
}

/// How an invocation takes the locks of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LockTerms {
    /// Tells the state directory that the run is recorded in from those of other operators.
    pub seat: String,
    /// How long somebody else is waited for.
    #[serde(with = "duration::maybe_seconds")]
    #[schemars(with = "Option<f64>")]
    pub wait: Option<Duration>,
    /// Why a lock of somebody else is taken from him.
    pub break_for: Option<String>,
}

/// How far an invocation goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The number of the phase.
    pub phase: usize,
    /// The node.
    pub node: NodeName,
}

/// What a run's journal holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first record of every journal.
    RunOpened {
        /// The run's name.
        run: RunId,
        /// Tells it from a run of the same name that was begun on another machine: eight hexadecimal digits.
        token: String,
        /// What is executed.
        plan: Box<Plan>,
        /// What was asked.
        request: Request,
    },
    /// The run was taken over by another machine, with what the nodes could prove of it. What they could not
    /// is asked anew.
    Adopted {
        /// The nodes that had any of the journal.
        from: Vec<NodeName>,
        /// How many records they proved.
        records: u64,
        /// Where the files of the procedure are on this machine.
        base: PathBuf,
        /// By whom.
        by: Operator,
    },
    /// Another invocation goes on with the run.
    RunResumed {
        /// What was asked.
        request: Request,
    },
    /// The nodes of the invocation are locked for it.
    LockTaken {
        /// The number of the lock on each; every job carries it.
        epochs: BTreeMap<NodeName, u64>,
        /// Whose lock was taken from him, where somebody had it.
        broke: Option<Broken>,
    },
    /// Somebody else has the lock of a node, and the invocation changes nothing.
    LockRefused {
        /// The node.
        node: NodeName,
        /// The lock.
        by: Fence,
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
    /// The next turns begin though the window stands in their way.
    WindowPassed {
        /// The phase's number.
        phase: usize,
        /// What stood in the way, and why it did not count.
        outside: Outside,
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
        /// Of `step_started`.
        attempt: u32,
        /// How.
        outcome: Outcome,
    },
    /// The node of a step is about to be told to undo it by itself, unless a new login confirms it in time.
    /// Written before it is told, and it is told before the step begins.
    RevertArmed {
        /// Which.
        key: StepKey,
        /// Of `step_started`.
        attempt: u32,
        /// How long it waits, in seconds.
        #[serde(with = "duration::seconds")]
        #[schemars(with = "f64")]
        after: Duration,
    },
    /// The node's own record says what became of that.
    RevertEnded {
        /// Which.
        key: StepKey,
        /// Of `revert_armed`.
        attempt: u32,
        /// What.
        end: Reverting,
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
        /// Of `undo_started`.
        attempt: u32,
        /// How.
        outcome: Outcome,
    },
    /// It was established what became of a step, or its undo, that nobody knew the end of.
    Settled {
        /// Which.
        key: StepKey,
        /// Whether it is the undo.
        undo: bool,
        /// What became of it.
        verdict: Settlement,
        /// What established it.
        how: Means,
        /// Who decided it, where somebody did.
        by: Option<Operator>,
        /// In words: what was read, or the reason given.
        why: String,
    },
    /// Nothing that was declared could establish it: that is left to a human.
    LeftUnknown {
        /// Which.
        key: StepKey,
        /// Whether it is the undo.
        undo: bool,
        /// Why.
        why: String,
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

impl Event {
    /// The step that the event is about.
    pub fn key(&self) -> Option<&StepKey> {
        match self {
            Self::StepStarted { key, .. }
            | Self::StepEnded { key, .. }
            | Self::RevertArmed { key, .. }
            | Self::RevertEnded { key, .. }
            | Self::UndoStarted { key, .. }
            | Self::UndoEnded { key, .. }
            | Self::Settled { key, .. }
            | Self::LeftUnknown { key, .. }
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
