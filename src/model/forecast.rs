//! What a dry run found: of every step whether it would run, is done already, or cannot be known.

use std::collections::BTreeMap;

use super::event::{Failure, FailureKind, Halt, Reading, Stop};
use super::fence::Fence;
use super::name::NodeName;
use super::plan::{Section, StepKey};
use super::url::Url;

/// A dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Nodes that do not answer. A run would not even begin; what the others say is in the turns.
    pub silent: BTreeMap<NodeName, Failure>,
    /// The locks of the nodes that answer, also those that are in nobody's way.
    pub locks: BTreeMap<NodeName, Fence>,
    /// Why else a run would not even begin: a guard, a role. The turns have versions and what is staged then,
    /// and no more.
    pub refused: Option<Stop>,
    /// Turns in the order in which they would come, by the roles as they are now.
    pub turns: Vec<TurnForecast>,
}

/// One node's way through one phase.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnForecast {
    /// The phase's name.
    pub phase: String,
    /// The node.
    pub node: NodeName,
    /// Its version now, where it can be read.
    pub version: Option<String>,
    /// Its steps in order.
    pub steps: Vec<StepForecast>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepForecast {
    /// Which.
    pub key: StepKey,
    /// What it is called.
    pub label: String,
    /// Where it stands.
    pub section: Section,
    /// What would become of it.
    pub outlook: Outlook,
    /// What its checks read today.
    pub readings: Vec<Reading>,
}

/// What would become of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// It would run; a dry run changes nothing.
    WouldRun,
    /// It would run, and its node would fetch these itself.
    WouldFetch {
        /// From where.
        urls: Vec<Url>,
    },
    /// It is done already, or its `when` does not hold.
    NotNeeded {
        /// Why.
        why: String,
    },
    /// Its checks hold now.
    Holds,
    /// A check does not hold now, or cannot be read: the run would stop here.
    WouldStop(Failure),
    /// A gate that is open now; the operator would be asked.
    WouldAsk,
    /// A gate that is closed now; the run would wait.
    WouldWait(Failure),
    /// It rests on something that an earlier step brings about.
    CannotKnow {
        /// On what.
        why: String,
    },
}

impl Forecast {
    /// What would stop the run, the gravest class first to decide the exit code; `None` when nothing would.
    pub fn halt(&self) -> Option<Halt> {
        let steps = self.turns.iter().flat_map(|turn| &turn.steps).filter_map(|step| match &step.outlook {
            Outlook::WouldStop(failure) if failure.kind == FailureKind::Unreachable => {
                Some(Halt::Unreachable)
            }
            Outlook::WouldStop(_) => Some(Halt::CheckFailed),
            Outlook::WouldWait(_) => Some(Halt::GateClosed),
            _ => None,
        });
        let silent = self.silent.values().map(|failure| match failure.kind {
            FailureKind::Unreachable => Halt::Unreachable,
            FailureKind::Input => Halt::Input,
            FailureKind::Local => Halt::Local,
            _ => Halt::CheckFailed,
        });
        self.refused.iter().map(|stop| stop.halt).chain(silent).chain(steps).max()
    }

    /// Whether anything is to be done.
    pub fn is_pending(&self) -> bool {
        self.turns.iter().flat_map(|turn| &turn.steps).any(|step| {
            let outlook = &step.outlook;
            matches!(outlook, Outlook::WouldRun | Outlook::WouldFetch { .. } | Outlook::CannotKnow { .. })
        })
    }
}

impl TurnForecast {
    /// Whether everything staged is there; absent for a turn that stages nothing.
    pub fn staged(&self) -> Option<bool> {
        let mut steps = self.steps.iter().filter(|step| step.section == Section::Stage).peekable();
        steps.peek()?;
        Some(steps.all(|step| matches!(step.outlook, Outlook::NotNeeded { .. })))
    }
}

impl Outlook {
    /// Whether it is about a gate.
    pub fn is_gate(&self) -> bool {
        matches!(self, Self::WouldAsk | Self::WouldWait(_))
    }

    /// Whether it is about a gate that is closed now.
    pub fn is_closed_gate(&self) -> bool {
        matches!(self, Self::WouldWait(_))
    }
}
