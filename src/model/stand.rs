//! Where a node stands, read off a run's state.

use super::event::RunEnd;
use super::name::NodeName;
use super::plan::PhaseKind;
use super::state::{RunState, StepStatus, TurnStatus};

use super::run;

/// Where a node stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Its turn has not come.
    ToDo,
    /// It is being worked on.
    Working,
    /// Its turn was stopped half-way, and can go on.
    Stopped,
    /// It waits at a gate.
    Gate,
    /// A step failed.
    Failed,
    /// Nobody knows how a step ended.
    Unknown,
    /// It has every phase behind it.
    Done,
    /// The operator went on without it.
    Skipped,
    /// It was taken back.
    RolledBack,
}

impl Stand {
    /// Reads it off a run's state.
    pub fn of(state: &RunState, node: &NodeName) -> Self {
        if run::is_done(state, node) {
            return Self::Done;
        }
        let turns =
            state.turns_of(node).filter(|(turn, _)| state.plan.phases[turn.phase].kind != PhaseKind::Staging);
        let Some((turn, latest)) = turns.max_by_key(|(turn, state)| (state.since, turn.phase)) else {
            return Self::ToDo;
        };
        match &latest.status {
            TurnStatus::Done => Self::ToDo,
            TurnStatus::Failed => Self::Failed,
            TurnStatus::Skipped { .. } | TurnStatus::Leaving { .. } => Self::Skipped,
            TurnStatus::RolledBack => Self::RolledBack,
            TurnStatus::Returning => Self::Working,
            TurnStatus::Active => {
                let trouble = state.trouble(turn).and_then(|key| state.step(&key));
                match trouble.map(|step| &step.status) {
                    Some(StepStatus::Unknown { .. }) => Self::Unknown,
                    _ if Self::stopped_gate(state, node) => Self::Gate,
                    Some(_) => Self::Failed,
                    // Left while it ran, and not asked about since.
                    None if state.end.is_some()
                        && state.undecided().iter().any(|(key, _)| key.node == *node) =>
                    {
                        Self::Unknown
                    }
                    None if state.end.is_some() => Self::Stopped,
                    None => Self::Working,
                }
            }
        }
    }

    /// Whether what holds the node up is a gate: one that waits, or one that has stopped the run.
    fn stopped_gate(state: &RunState, node: &NodeName) -> bool {
        let stopped = match &state.end {
            Some(RunEnd::Stopped(stop)) => stop.key.as_ref(),
            _ => None,
        };
        let in_flight = run::in_flight_of(state, node);
        let stopped = stopped.into_iter().filter(|key| key.node == *node);
        stopped
            .chain(in_flight.iter().map(|flight| &flight.key))
            .any(|key| state.plan.find(&key.step).is_some_and(|(_, step)| step.is_gate()))
    }

    /// The word for eyes.
    pub fn word(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Working => "working",
            Self::Stopped => "stopped",
            Self::Gate => "at gate",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Skipped => "left out",
            Self::RolledBack => "rolled back",
        }
    }

    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::ToDo => "pending",
            Self::Working => "working",
            Self::Stopped => "stopped",
            Self::Gate => "gate",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::RolledBack => "rolled_back",
        }
    }
}
