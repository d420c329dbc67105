//! What the operator is asked, and how an answer came about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::plan::StepKey;

/// Something to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Typed at a terminal.
    Terminal,
    /// `rollgate approve`, from another process.
    Approved,
    /// `--yes`, for a gate that was open.
    YesFlag,
    /// `--override GATE=REASON`.
    OverrideFlag,
    /// `--confirm CLUSTER`.
    ConfirmFlag,
    /// Nobody could be asked.
    Nobody,
}
