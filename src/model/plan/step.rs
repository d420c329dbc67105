//! A step in its place: which section it stands in, what it is called in a journal, and what it does.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::name::{NodeName, StepName};
use crate::model::procedure::{
    Action, CheckRef, PointOfNoReturn, Restriction, Scope, Soak, Step, Target, When,
};

/// The part of a turn in which a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Before a restart of anything: copies, image pulls.
    Stage,
    /// Before the first batch of a phase.
    Before,
    /// Is everything fit for it?
    Precheck,
    /// Out of service.
    Drain,
    /// The change.
    Upgrade,
    /// Is it well?
    Verify,
    /// Back into service.
    Undrain,
    /// Does it stay well?
    Soak,
    /// The steps of a single phase.
    Steps,
    /// The way back.
    Rollback,
}

impl Section {
    /// Whether its steps look at what an earlier one has changed: before the change they say nothing.
    pub fn is_after_the_change(self) -> bool {
        matches!(self, Self::Verify | Self::Undrain | Self::Soak)
    }

    /// Whether its steps come before a node is changed.
    pub fn is_before_the_change(self) -> bool {
        matches!(self, Self::Stage | Self::Before | Self::Precheck | Self::Drain)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stage => "stage",
            Self::Before => "before",
            Self::Precheck => "precheck",
            Self::Drain => "drain",
            Self::Upgrade => "upgrade",
            Self::Verify => "verify",
            Self::Undrain => "undrain",
            Self::Soak => "soak",
            Self::Steps => "steps",
            Self::Rollback => "rollback",
        })
    }
}

/// A step's name within a plan: `brokers.upgrade.1`. Stable, and fit for file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// Names the n-th step (from 1) of a section.
    pub fn new(phase: &str, section: Section, n: usize) -> Self {
        Self(format!("{phase}.{section}.{n}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// No step's name, and before every one of them.
    pub(in crate::model) fn before_all() -> Self {
        Self(String::new())
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One step of one node: the word for it in the journal, on screens, in file names and on nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct StepKey {
    /// Whose turn it belongs to.
    pub node: NodeName,
    /// Which step.
    pub step: StepId,
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.step)
    }
}

impl TryFrom<String> for StepKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (node, step) = text.split_once('/').ok_or_else(|| format!("`{text}` is not NODE/STEP"))?;
        let node = NodeName::parse(node).map_err(|error| error.to_string())?;
        Ok(Self { node, step: StepId(step.to_owned()) })
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> String {
        key.to_string()
    }
}

/// A step in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    /// Its name within the plan.
    pub id: StepId,
    /// Where it stands.
    pub section: Section,
    /// What it is called on screens.
    pub label: String,
    /// What is done.
    pub work: Work,
}

/// What a planned step does: something written in the procedure, or something that follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A step of the procedure.
    Step(Box<Step>),
    /// The artifacts of the node are copied and their sums verified there.
    Stage,
    /// What was staged is removed from the node.
    Unstage,
    /// The invariants are asked of every other node and compared with the run's baseline.
    Invariants,
    /// Checks must keep holding for a while.
    Soak(Soak),
    /// The typed question before a point of no return.
    PassPoint {
        /// The mark.
        point: PointOfNoReturn,
        /// The condition of the step that it guards.
        when: Option<When>,
    },
    /// The check before a step that restricts SSH.
    WayIn(Box<WayIn>),
    /// After a rollback: the node runs the version that it ran before.
    VersionRestored,
}

/// What must hold right before a step that restricts SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WayIn {
    /// That the way in by which one comes stays open.
    pub check: CheckRef,
    /// Where the step is done, and the check asked unless it says another place.
    pub on: Target,
    /// The step's name, by which `--override` passes the check.
    pub name: Option<StepName>,
    /// The condition of the step.
    pub when: Option<When>,
}

impl PlannedStep {
    /// The step of the procedure, if it is one.
    pub fn step(&self) -> Option<&Step> {
        match &self.work {
            Work::Step(step) => Some(step),
            _ => None,
        }
    }

    /// Whether it can change something. What cannot is asked anew after a resume and may be
    /// interrupted at any time.
    pub fn is_effect(&self) -> bool {
        match &self.work {
            Work::Step(step) => {
                matches!(step.action, Action::Run(_) | Action::Reboot(_) | Action::Put(_) | Action::Get(_))
                    || matches!(step.action, Action::Manual(_))
            }
            Work::Stage | Work::Unstage => true,
            Work::Invariants
            | Work::Soak(_)
            | Work::PassPoint { .. }
            | Work::WayIn(_)
            | Work::VersionRestored => false,
        }
    }

    /// Whether it changes a machine, so that there is something to take back. Fetching a file does not.
    pub fn changes_something(&self) -> bool {
        self.is_effect() && !matches!(self.step(), Some(Step { action: Action::Get(_), .. }))
    }

    /// Whether it asks the operator.
    pub fn is_gate(&self) -> bool {
        match &self.work {
            Work::Step(step) => matches!(step.action, Action::Gate(_) | Action::Manual(_)),
            Work::PassPoint { .. } => true,
            _ => false,
        }
    }

    /// Whether running it again is harmless by nature: it changes nothing, or only what has a sum.
    pub fn is_repeatable(&self) -> bool {
        !self.is_effect()
            || self.is_gate()
            || matches!(self.work, Work::Stage | Work::Unstage)
            || matches!(self.step(), Some(Step { action: Action::Get(_) | Action::Put(_), .. }))
    }

    /// The end of the scope at which it must be undone.
    pub fn temporary(&self) -> Option<Scope> {
        self.step().and_then(|step| step.temporary)
    }

    /// Its condition.
    pub fn when(&self) -> Option<&When> {
        match &self.work {
            Work::Step(step) => step.when.as_ref(),
            Work::WayIn(way_in) => way_in.when.as_ref(),
            Work::PassPoint { when, .. } => when.as_ref(),
            _ => None,
        }
    }

    /// What it says where it restricts SSH.
    pub fn restriction(&self) -> Option<&Restriction> {
        self.step().and_then(|step| step.restricts.as_ref())
    }

    /// Whether there is a way to undo it.
    pub fn has_undo(&self) -> bool {
        self.step().is_some_and(|step| step.undo.is_some())
    }

    /// How often it is tried again without asking.
    pub fn retries(&self) -> u32 {
        self.step().map_or(0, |step| step.retries)
    }

    /// The name under which `--override` knows it.
    pub fn gate_name(&self) -> Option<&StepName> {
        self.step().and_then(|step| step.name.as_ref())
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        match &self.work {
            Work::Step(step) => step.timeout,
            Work::Soak(soak) => soak.length,
            Work::Stage => Duration::from_hours(1),
            Work::Unstage | Work::Invariants | Work::WayIn(_) | Work::VersionRestored => {
                Duration::from_mins(1)
            }
            Work::PassPoint { .. } => Duration::from_mins(30),
        }
    }
}
