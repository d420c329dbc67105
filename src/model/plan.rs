//! The plan: inventory × procedure, resolved. It is data: shown, confirmed, stored, executed, and
//! frozen when staged. Steps are kept once per phase; a node's values come to them as variables.

mod artifact;
mod step;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::host::{Become, Connection};
use super::inventory::{Notify, SecretSource};
use super::name::{CheckName, ClusterName, GroupName, NodeName, RoleName, VarName};
use super::procedure::{Check, CheckRef, Guard, Script, Target, When};
use super::template::Vars;
use super::window::Window;

pub use artifact::{Origin, PlannedArtifact};
pub use step::{PlannedStep, Section, StepId, StepKey, WayIn, Work};

/// What a run executes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterName,
    /// The procedure's name.
    pub procedure: String,
    /// The version it leads to.
    pub to: Option<String>,
    /// The files it was made of.
    pub sources: Sources,
    /// Variables of the whole cluster, for steps that belong to no node.
    pub vars: Vars,
    /// Secrets, by where they come from.
    pub secrets: BTreeMap<VarName, SecretSource>,
    /// What tells people of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The nodes in the order of the inventory.
    pub nodes: Vec<PlannedNode>,
    /// How a node's installed version is read.
    pub version: Option<Script>,
    /// Named checks.
    pub checks: BTreeMap<CheckName, Check>,
    /// Roles.
    pub roles: BTreeMap<RoleName, PlannedRole>,
    /// Checks asked of the other nodes before each node is touched.
    pub invariants: Vec<CheckName>,
    /// Checks of which none may hold.
    pub guards: Vec<Guard>,
    /// Files that nodes get.
    pub artifacts: Vec<PlannedArtifact>,
    /// The hours in which turns may begin; at any time where there are none.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// Phases in order; the first is the staging, where there is something to stage.
    pub phases: Vec<PlannedPhase>,
}

/// The files of which a plan was made, to notice that they changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sources {
    /// The inventory file.
    pub inventory: PathBuf,
    /// Its sum.
    pub inventory_sha256: String,
    /// The procedure file; the inventory itself when it is written inline.
    pub procedure: PathBuf,
    /// Its sum.
    pub procedure_sha256: String,
}

/// A node with everything that is known of it beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedNode {
    /// Its name.
    pub name: NodeName,
    /// How it is reached.
    pub connection: Connection,
    /// How commands gain rights there.
    pub become_with: Become,
    /// The name of the secret that is the password for sudo there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub become_password: Option<VarName>,
    /// rollgate's own directory there, where the inventory names one.
    pub state_dir: Option<PathBuf>,
    /// Its groups.
    pub groups: Vec<GroupName>,
    /// Its variables, the nearest having won.
    pub vars: Vars,
}

/// A role with its set resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRole {
    /// The question.
    pub check: Check,
    /// Who is asked.
    pub of: Vec<NodeName>,
    /// How many nodes must have it.
    pub exactly: Option<usize>,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPhase {
    /// Its name as shown.
    pub name: String,
    /// Its name in step ids: lower case, no blanks.
    pub slug: String,
    /// Which of the three shapes it has.
    pub kind: PhaseKind,
    /// Whether it is done at all.
    pub when: Option<When>,
    /// Steps of the operator's lane before the first batch.
    pub before: Vec<PlannedStep>,
    /// Its nodes; for a single phase the operator's lane alone.
    pub nodes: Vec<NodeName>,
    /// Sizes of the batches; the last one repeats.
    pub batches: Vec<usize>,
    /// Nodes that have this role go last.
    pub last: Option<RoleName>,
    /// At most one node per value of this variable in a batch.
    pub spread: Option<VarName>,
    /// How many nodes may fail before the run stops.
    pub max_failures: usize,
    /// What each node goes through, in order.
    pub steps: Vec<PlannedStep>,
    /// The way back, in order.
    pub rollback: Vec<PlannedStep>,
}

/// The shapes of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// Copies artifacts to all nodes and runs `stage:` steps; restarts nothing.
    Staging,
    /// Takes nodes through sections.
    Rolling,
    /// Runs once.
    Single,
}

impl Plan {
    /// Who is asked a guard or an invariant that names nobody: every node; where there is none this machine,
    /// for a guard that nobody is asked lets everything pass.
    pub fn everybody(&self) -> Vec<NodeName> {
        if self.nodes.is_empty() {
            return vec![NodeName::operator()];
        }
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// The node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&PlannedNode> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// Where a step stands: its phase's number and the step itself.
    pub fn find(&self, id: &StepId) -> Option<(usize, &PlannedStep)> {
        self.phases.iter().enumerate().find_map(|(number, phase)| {
            phase.all_steps().find(|step| step.id == *id).map(|step| (number, step))
        })
    }

    /// The check that a reference means. References are resolved when the files are read.
    pub fn check<'a>(&'a self, reference: &'a CheckRef) -> &'a Check {
        match reference {
            CheckRef::Named(name) => {
                self.checks.get(name).expect("the configuration refuses a name that no check has")
            }
            CheckRef::Inline(check) => check,
        }
    }

    /// Where the check of a way in is asked: where it says itself, else where the step is done.
    pub fn place_of<'a>(&'a self, way_in: &'a WayIn) -> &'a Target {
        match &self.check(&way_in.check).on {
            Target::Itself => &way_in.on,
            elsewhere => elsewhere,
        }
    }

    /// The artifacts of a node.
    pub fn artifacts_of<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a PlannedArtifact> {
        self.artifacts.iter().filter(move |artifact| artifact.nodes.contains(node))
    }

    /// The name of the directory that holds a node's artifacts: the same content, the same name, so a
    /// second `stage` finds what the first one left. `None` for a node that gets none.
    pub fn staging_set(&self, node: &NodeName) -> Option<String> {
        let mut sum = Sha256::new();
        let mut any = false;
        for artifact in self.artifacts_of(node) {
            sum.update(format!("{} {}\n", artifact.sha256, artifact.name));
            any = true;
        }
        any.then(|| {
            format!(
                "{:016x}",
                sum.finalize().iter().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
            )
        })
    }

    /// The nodes of a group in the order of the inventory.
    pub fn group<'a>(&'a self, group: &'a GroupName) -> impl Iterator<Item = &'a NodeName> {
        self.nodes.iter().filter(move |node| node.groups.contains(group)).map(|node| &node.name)
    }

    /// Whether there is anything to stage.
    pub fn has_staging(&self) -> bool {
        self.phases.first().is_some_and(|phase| phase.kind == PhaseKind::Staging)
    }
}

impl PlannedPhase {
    /// Every step of the phase: before, forward, back.
    pub fn all_steps(&self) -> impl Iterator<Item = &PlannedStep> {
        self.before.iter().chain(&self.steps).chain(&self.rollback)
    }

    /// The size of the n-th batch, from 0.
    pub fn batch_size(&self, number: usize) -> usize {
        self.batches.get(number).or(self.batches.last()).copied().unwrap_or(1)
    }
}
