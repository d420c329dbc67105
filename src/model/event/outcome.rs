//! How steps, turns and invocations end, and what was read on the way.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::condition::{Value, Verdict};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
        /// Whether its machine was booted since it began.
        #[serde(default)]
        rebooted: bool,
    },
}

/// What went wrong in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
    /// It is in a state that the procedure has no meaning for.
    UnknownState,
    /// The node could not be reached; nothing began.
    Unreachable,
    /// Something on the operator's machine.
    Local,
    /// The step cannot be done as written: an unset variable, a role that nobody has.
    Input,
}

/// One reading of one check on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// The class, which decides the exit code.
    pub halt: Halt,
    /// In words.
    pub why: String,
    /// The step, where it is about one.
    pub key: Option<StepKey>,
}

/// Classes of stops, the mildest first; of several the last one counts (`product.md` §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// The nodes asked for are done; others remain.
    LimitReached,
    /// Something on the operator's machine.
    Local,
    /// The input turned out not to fit.
    Input,
    /// A gate stayed closed until its timeout.
    GateClosed,
    /// The window is closed, or closes before the next turn would end.
    WindowClosed,
    /// An answer was needed and there was none, or it was no.
    NoAnswer,
    /// A pre-check, guard or invariant does not hold.
    CheckFailed,
    /// A node cannot be reached.
    Unreachable,
    /// Another run holds the cluster.
    Held,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
