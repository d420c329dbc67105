//! The fold: a run's records, one after the other, give its state. The engine, the screen and
//! `status` all use this one; there is no second way to know where a run stands.

mod fold;
mod pending;
mod resume;
mod revert;
mod settling;
mod steps;
mod trouble;
mod turns;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::condition::Verdict;
use super::duration::between;
use super::event::{Failure, Question, Reading, Request, RunEnd, RunId, Stop, Turn};
use super::fence::{Broken, Fence};
use super::name::{CheckName, NodeName, RoleName};
use super::plan::{Plan, StepKey};
use super::window::Outside;

pub use fold::Illegal;
pub use pending::{Asked, Pending};
pub use view::RunStatus;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// Its name.
    pub run: RunId,
    /// Tells it from one of the same name that was begun on another machine.
    pub token: String,
    /// What it executes.
    pub plan: Arc<Plan>,
    /// The directory that relative paths of the procedure start from, on the machine that works on it now.
    pub base: PathBuf,
    /// What the first invocation was asked.
    pub opened: Request,
    /// What the latest invocation was asked.
    pub request: Request,
    /// How many invocations there were.
    pub invocation: u32,
    /// When the journal begins.
    pub opened_at: Timestamp,
    /// When the latest record was written.
    pub latest_at: Timestamp,
    /// The number of the latest record.
    pub latest_seq: u64,
    /// How long nobody worked on it: the time between invocations.
    pub idle: Duration,
    /// The highest number of a lock that the run had, by node; all nodes that it was ever brought to.
    pub epochs: BTreeMap<NodeName, u64>,
    /// Whether the run was begun on another machine and this one has not locked its nodes yet.
    pub adopting: bool,
    /// The record since which this machine works on it; 0 for the machine that began it.
    pub adopted_at: u64,
    /// Locks that were taken from others for this run.
    pub broke: Vec<Broken>,
    /// Turns that began outside of a window, once for each reason given.
    pub outside: Vec<Outside>,
    /// Who has the lock that the latest invocation was refused.
    pub refused: Option<(NodeName, Fence)>,
    /// What the invariants answered before anything was touched.
    pub baseline: BTreeMap<(CheckName, NodeName), Verdict>,
    /// Roles as they were at the start.
    pub pinned: BTreeMap<RoleName, Vec<NodeName>>,
    /// Versions as read on the nodes.
    pub versions: BTreeMap<NodeName, Versions>,
    /// Captured values by the lane that captured them; `None` is a secret.
    pub captures: BTreeMap<NodeName, BTreeMap<String, Option<String>>>,
    /// Phases, as many as the plan has.
    pub phases: Vec<PhaseState>,
    /// Turns that have begun.
    pub turns: BTreeMap<Turn, TurnState>,
    /// Steps that have begun.
    pub steps: BTreeMap<StepKey, StepState>,
    /// Points of no return that were passed.
    pub points_passed: BTreeSet<StepKey>,
    /// A question that holds everything up.
    pub question: Option<Question>,
    /// Questions that hold up their own step only.
    pub waiting: BTreeSet<StepKey>,
    /// The latest question about each step, answered or not.
    pub asked: BTreeMap<StepKey, Asked>,
    /// Why no new step begins.
    pub stop: Option<Stop>,
    /// How the latest invocation ended; `None` while it lasts or after it died.
    pub end: Option<RunEnd>,
}

/// A node's version before the run and by the latest reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Before the run.
    pub before: String,
    /// The latest.
    pub now: String,
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhaseState {
    /// Begun, ended, skipped, or none of these.
    pub status: PhaseStatus,
    /// How many batches were formed.
    pub batches: usize,
}

/// The states of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PhaseStatus {
    /// To do.
    #[default]
    Waiting,
    /// Begun.
    Active,
    /// Ended.
    Done,
    /// Its `when` did not hold.
    Skipped,
}

/// Where a turn stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnState {
    /// See [`TurnStatus`].
    pub status: TurnStatus,
    /// In which invocation it ended.
    pub ended_in: Option<u32>,
    /// When it first began.
    pub started_at: Timestamp,
    /// When it last began or ended.
    pub since: Timestamp,
    /// How long it was worked on until then, without the time between invocations.
    pub took: Duration,
    /// How long nobody had worked on the run by then.
    idle_before: Duration,
}

/// The states of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnStatus {
    /// On its way.
    Active,
    /// The operator goes on without the node; what is temporary is yet to be undone.
    Leaving {
        /// Why.
        reason: String,
    },
    /// On its way back.
    Returning,
    /// Every step is done.
    Done,
    /// Failed, and the phase allows for it.
    Failed,
    /// The operator went on without the node.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Taken back.
    RolledBack,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// See [`StepStatus`].
    pub status: StepStatus,
    /// Attempts in all; never reset, for they name log files and jobs.
    pub attempts: u32,
    /// Attempts since the budget was last renewed.
    pub spent: u32,
    /// The machines where the latest attempt was made.
    pub on: Vec<NodeName>,
    /// The record with which the latest attempt began: the order for undoing.
    pub started_seq: u64,
    /// When the latest attempt began.
    pub started_at: Timestamp,
    /// How long the attempts took that have ended, without those that found nothing to do.
    pub took: Duration,
    /// Whether an attempt has changed something, or may have, that was not taken back since.
    pub changed: bool,
    /// The same before the latest attempt: what holds if that one never began.
    changed_before: bool,
    /// Its undo.
    pub undo: UndoStatus,
    /// Attempts to undo it; never reset.
    pub undo_attempts: u32,
    /// What its node was told about undoing it by itself, until it is known what became of that.
    pub armed: Option<Armed>,
    /// What its node has undone by itself of the latest attempt.
    pub by_node: ByNode,
    /// What somebody took it for while it was armed.
    pub taken: Taken,
    /// The latest readings of its checks.
    pub readings: Vec<Reading>,
}

/// A change that its node undoes by itself unless somebody decides otherwise in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Armed {
    /// The attempt that makes it.
    pub attempt: u32,
    /// When the node was told.
    pub at: Timestamp,
    /// How long it waits.
    pub after: Duration,
}

/// What a node has done about undoing a change by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByNode {
    /// It was told nothing, or that the change stays, or that somebody else undoes it.
    #[default]
    Nothing,
    /// It has undone it.
    Undone,
    /// It has begun to undo it, and that failed, or nobody knows how it ended.
    Begun {
        /// The attempt that it was to undo.
        attempt: u32,
    },
}

/// What somebody decided about a change that its node may yet undo. It counts when that is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taken {
    /// Nobody has decided anything.
    #[default]
    ForNothing,
    /// It was done: a new login is to confirm it.
    ForDone,
    /// It was undone: the node is to do so no more.
    ForUndone,
}

/// The states of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStatus {
    /// Not begun, or to be done again.
    ToDo,
    /// Begun, and somebody follows it.
    Running,
    /// Begun by an invocation that is gone.
    Dangling,
    /// Done.
    Done,
    /// Not needed.
    Skipped {
        /// Why.
        why: String,
    },
    /// Failed.
    Failed(Failure),
    /// How it ended cannot be established.
    Unknown {
        /// Why.
        why: String,
        /// Whether its machine was booted since it began.
        rebooted: bool,
        /// Whether this invocation has tried what could settle it.
        tried: bool,
    },
}

/// The states of an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoStatus {
    /// There is nothing to undo.
    Nothing,
    /// The change was made or may have been made.
    Due,
    /// The undo has begun, and somebody follows it.
    Running,
    /// Begun by an invocation that is gone.
    Dangling,
    /// Undone.
    Done,
    /// It could not be undone.
    Failed {
        /// Why.
        why: String,
        /// Whether the operator has been asked, or there is nobody to ask.
        settled: bool,
    },
    /// It began, and nobody knows whether it was undone. It is never begun again unseen.
    Unknown {
        /// Why.
        why: String,
        /// Whether this invocation has tried what could settle it.
        tried: bool,
        /// Whether the operator has been asked, or there is nobody to ask.
        settled: bool,
    },
}

impl StepState {
    fn begun_at(at: Timestamp) -> Self {
        Self {
            status: StepStatus::ToDo,
            attempts: 0,
            spent: 0,
            on: Vec::new(),
            started_seq: 0,
            started_at: at,
            took: Duration::ZERO,
            changed: false,
            changed_before: false,
            undo: UndoStatus::Nothing,
            undo_attempts: 0,
            armed: None,
            by_node: ByNode::Nothing,
            taken: Taken::ForNothing,
            readings: Vec::new(),
        }
    }

    /// Whether nothing more is to be done about the step on the way forward.
    pub fn is_settled(&self) -> bool {
        matches!(self.status, StepStatus::Done | StepStatus::Skipped { .. })
    }

    /// Whether the change may be in force and there is a way to undo it.
    pub fn is_in_force(&self) -> bool {
        !matches!(self.undo, UndoStatus::Nothing | UndoStatus::Done)
    }

    /// Whether somebody follows the step or its undo.
    pub fn is_in_flight(&self) -> bool {
        self.status == StepStatus::Running || self.undo == UndoStatus::Running
    }
}

impl TurnState {
    /// How long it has been worked on by now, where the run has been idle for so long.
    pub fn worked(&self, idle: Duration, now: Timestamp) -> Duration {
        let meanwhile = between(self.since, now);
        self.took + meanwhile.saturating_sub(idle.saturating_sub(self.idle_before))
    }
}

impl TurnStatus {
    /// Whether the turn is over and nothing more is to be done in it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped { .. } | Self::RolledBack)
    }
}
