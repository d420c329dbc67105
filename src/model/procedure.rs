//! What is done: artifacts, checks, gates, roles, phases, rollback. As written, before it meets an
//! inventory; [`super::planner`] makes a plan of both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::duration;
use super::host::{Become, Shell};
use super::name::{CheckName, GroupName, NodeName, PhaseName, RoleName, StepName, VarName};
use super::selector::Selector;
use super::template::Template;

/// A whole procedure.
#[derive(Debug, Clone, PartialEq)]
pub struct Procedure {
    /// What it is called on screens and in reports.
    pub name: String,
    /// Programs that must be found on the operator's machine before anything else.
    pub required_tools: Vec<String>,
    /// How a node's installed version is read.
    pub version: Option<Script>,
    /// The version that the procedure leads to.
    pub to: Option<Template>,
    /// Files that `stage` copies.
    pub artifacts: Vec<Artifact>,
    /// Named checks.
    pub checks: BTreeMap<CheckName, Check>,
    /// Roles.
    pub roles: BTreeMap<RoleName, Role>,
    /// Checks asked of the other nodes before each node is touched.
    pub invariants: Vec<CheckName>,
    /// Checks of which none may hold.
    pub guards: Vec<Guard>,
    /// Steps that `stage` runs on every node after the artifacts are there.
    pub stage: Vec<Step>,
    /// Phases in order.
    pub phases: Vec<Phase>,
}

impl Procedure {
    /// Every step: of `stage`, then of each phase, its way back first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let phases = self.phases.iter().flat_map(|phase| {
            let sections: Vec<&[Step]> = match &phase.body {
                PhaseBody::Single(single) => vec![single],
                PhaseBody::Rolling(body) => {
                    vec![&body.precheck, &body.drain, &body.upgrade, &body.verify, &body.undrain]
                }
            };
            phase.rollback.iter().chain(sections.into_iter().flatten())
        });
        self.stage.iter().chain(phases)
    }

    /// What `--override` can name: gates, what a human does, and steps that ask for the way in first.
    pub fn gates(&self) -> impl Iterator<Item = &StepName> {
        let asking = self.steps().filter(|step| {
            matches!(step.action, Action::Gate(_) | Action::Manual(_))
                || step.restricts.as_ref().is_some_and(|restriction| restriction.way_in.is_some())
        });
        asking.filter_map(|step| step.name.as_ref())
    }
}

/// A script and how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Script {
    /// The body, byte for byte.
    pub body: String,
    /// The shell that reads it.
    pub shell: Shell,
    /// How it gains rights, where that differs from the node's.
    pub become_with: Option<Become>,
}

/// Which machine a step or check is asked of or runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The node whose turn it is; in a single phase the operator's machine.
    #[default]
    Itself,
    /// The operator's machine.
    Operator,
    /// A certain node.
    Node(NodeName),
    /// Every node of a group (checks only).
    Group(GroupName),
    /// The node that had the role when the run started.
    Pinned(RoleName),
    /// The node that has the role now.
    Live(RoleName),
}

/// A read-only question with the condition that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What it is called: its own name, or that of the step in which it stands.
    pub label: String,
    /// The command.
    pub script: Script,
    /// Where it is asked.
    pub on: Target,
    /// What must hold.
    pub condition: Condition,
    /// What the number counts.
    pub unit: Option<String>,
    /// Run and shown when the condition does not hold.
    pub evidence: Option<String>,
    /// What to do about it.
    pub remedy: Option<Template>,
    /// Names of the columns of a `lines` value; `None` is not shown.
    pub columns: Vec<Option<String>>,
    /// How long one reading may take.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub timeout: Duration,
}

/// A check by name, or written in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckRef {
    /// Named under `checks:`.
    Named(CheckName),
    /// Written where it is used.
    Inline(Box<Check>),
}

/// A named check asked of every node of a set; the nodes for which it holds have the role.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// The question.
    pub check: Check,
    /// The set.
    pub of: Selector,
    /// How many nodes must have it, where that matters.
    pub exactly: Option<usize>,
}

/// When its check holds there is no run at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guard {
    /// The check; asked of every node unless it says `on:`.
    pub check: CheckRef,
    /// Why there is no run.
    pub because: Template,
}

/// A file that `stage` brings to nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it comes from.
    pub source: Source,
    /// Which nodes get it.
    pub nodes: Selector,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file on the operator's machine, which is copied.
    File {
        /// Its path, absolute, or a template that becomes one.
        path: Template,
        /// The directory that a relative path starts from.
        base: PathBuf,
        /// Its sum, 64 hexadecimal digits; taken from the file itself when absent.
        sha256: Option<Template>,
    },
    /// An address from which each node fetches it itself.
    Url {
        /// The address.
        url: Template,
        /// The sum of what is fetched, 64 hexadecimal digits: nothing else says what it must be.
        sha256: Template,
    },
}

impl Source {
    /// The path or address as written.
    pub fn written(&self) -> &Template {
        match self {
            Self::File { path, .. } => path,
            Self::Url { url, .. } => url,
        }
    }

    /// The sum as written.
    pub fn sha256(&self) -> Option<&Template> {
        match self {
            Self::File { sha256, .. } => sha256.as_ref(),
            Self::Url { sha256, .. } => Some(sha256),
        }
    }
}

/// Whether a text is the hexadecimal form of a SHA-256 sum.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A part of the procedure.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: PhaseName,
    /// Whether it is done at all.
    pub when: Option<When>,
    /// A mark asked for before the phase begins.
    pub point_of_no_return: Option<PointOfNoReturn>,
    /// Rolling or single.
    pub body: PhaseBody,
    /// The way back.
    pub rollback: Vec<Step>,
}

/// The two shapes of a phase.
#[derive(Debug, Clone, PartialEq)]
pub enum PhaseBody {
    /// Takes nodes through sections, batch by batch.
    Rolling(Box<Rolling>),
    /// Runs once.
    Single(Vec<Step>),
}

/// A rolling phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Rolling {
    /// Which nodes.
    pub nodes: Selector,
    /// How many at a time, batch by batch; the last one repeats.
    pub batch: Vec<BatchSize>,
    /// Nodes that have this role go last.
    pub last: Option<RoleName>,
    /// At most one node per value of this variable in a batch.
    pub spread: Option<VarName>,
    /// How many nodes may fail before the run stops.
    pub max_failures: usize,
    /// Is it fit to be touched?
    pub precheck: Vec<Step>,
    /// Take it out of service.
    pub drain: Vec<Step>,
    /// Change it.
    pub upgrade: Vec<Step>,
    /// Is it well?
    pub verify: Vec<Step>,
    /// Put it back into service.
    pub undrain: Vec<Step>,
    /// How long it must stay well before the next.
    pub soak: Option<Soak>,
}

/// A size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// So many nodes, at least one.
    Nodes(usize),
    /// So many hundredths of the phase's nodes, rounded down, at least one node.
    Percent(u8),
}

/// A time during which checks must keep holding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    /// How long.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub length: Duration,
    /// How often they are asked.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub every: Duration,
    /// The checks.
    pub checks: Vec<CheckRef>,
}

/// A mark after which rollback is refused, unless it is said to be possible all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PointOfNoReturn {
    /// What it means to pass it.
    pub text: Template,
    /// Whether the `rollback` sections lead back even from beyond it.
    pub rollback_possible: bool,
}

/// Whether a step or phase is done, by the value of a variable or capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct When {
    /// The variable.
    pub var: VarName,
    /// What must hold of it, read as text.
    pub condition: Condition,
}

/// One thing done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its name; gates and manual steps always have one.
    pub name: Option<StepName>,
    /// Whether it is done.
    pub when: Option<When>,
    /// Where it is done.
    pub on: Target,
    /// How long it may take; per attempt.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub timeout: Duration,
    /// How often it is tried again after a failure, without asking.
    pub retries: u32,
    /// A check that says that it is done already.
    pub skip_if: Option<CheckRef>,
    /// The way to undo it.
    pub undo: Option<Undo>,
    /// The end of the scope at which it must be undone.
    pub temporary: Option<Scope>,
    /// A value kept for later steps.
    pub capture: Option<Capture>,
    /// A mark asked for before the step.
    pub point_of_no_return: Option<PointOfNoReturn>,
    /// What settles how it ended when its machine cannot say.
    #[serde(default)]
    pub if_unknown: IfUnknown,
    /// What keeps it from shutting out whoever does it, where it decides who may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricts: Option<Restriction>,
    /// What is done.
    pub action: Action,
}

/// A step that restricts SSH. It has an undo, a script: a new login must work after it, else it is undone at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restriction {
    /// The check that must hold right before it: that the way in by which one comes stays open.
    pub way_in: Option<CheckRef>,
    /// How long the node waits for a new login that confirms the change, before it undoes it by itself.
    #[serde(with = "duration::maybe_seconds")]
    #[schemars(with = "Option<f64>")]
    pub revert_after: Option<Duration>,
}

/// What a step says for the case that it began and nobody can tell how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct IfUnknown {
    /// Restarting its machine is what it is for: after a new boot it is done.
    pub reboots: bool,
    /// A check that says whether it was done.
    pub done_if: Option<CheckRef>,
    /// Whether doing it again does no harm.
    pub retry_is_safe: bool,
}

/// The end of a temporary change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of the node's turn.
    Node,
    /// Of the phase.
    Phase,
    /// Of the run.
    Run,
}

/// How a step is undone, on the machine where it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// By a script.
    Run(Script),
    /// By a human, who is told this.
    Manual(Template),
}

/// The eight kinds of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A script that changes something.
    Run(Run),
    /// A read-only check that fails the section when it does not hold.
    Check(CheckRef),
    /// A check asked again until it holds.
    Wait(Wait),
    /// Checks and a question to the operator.
    Gate(Gate),
    /// Text for a human, a confirmation, an optional check.
    Manual(Manual),
    /// A command that restarts the machine, then a wait for a new boot and a login.
    Reboot(Script),
    /// A file to the node.
    Put(Put),
    /// A file from the node.
    Get(Get),
}

/// A script that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The script.
    pub script: Script,
    /// What it reads on standard input; nothing by default.
    pub stdin: Option<Template>,
    /// The directory in which it starts.
    pub cwd: Option<Template>,
    /// Further variables.
    pub env: BTreeMap<VarName, Template>,
    /// Exit statuses that mean success.
    pub ok_codes: Vec<i32>,
    /// Whether it is given the operator's terminal.
    pub interactive: bool,
    /// Checks watched while it runs.
    pub during: Option<During>,
}

/// Checks watched while a step runs; the operator is asked when one stops holding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct During {
    /// How often.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub every: Duration,
    /// The checks.
    pub checks: Vec<CheckRef>,
}

/// A check asked again until it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// The check.
    pub check: CheckRef,
    /// How often.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub every: Duration,
    /// How many readings in a row must hold.
    pub steady: u32,
    /// What must not hold of the value: a word that means that it never will.
    pub fail_when: Option<Condition>,
    /// What must hold of a value that is not the awaited one yet. What is neither is unknown, and is never
    /// taken for failed or done.
    #[serde(default)]
    pub on_its_way: Option<Condition>,
    /// A command; whenever it says something new the time begins again.
    #[serde(default)]
    pub per: Option<Script>,
    /// A command whose new lines are shown while waiting.
    pub show: Option<Script>,
}

/// Checks plus a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// All must hold for the gate to be open. None: a plain question.
    pub checks: Vec<CheckRef>,
    /// The question; by default whether to go on.
    pub question: Option<Template>,
    /// How many readings in a row must hold.
    pub steady: u32,
    /// How often it is read.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub every: Duration,
    /// Whether the cluster's name must be typed.
    pub typed: bool,
}

/// Something that only a human can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manual {
    /// What to do.
    pub text: Template,
    /// How to see that it was done.
    pub check: Option<CheckRef>,
}

/// A file to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Put {
    /// The file here; relative paths start at the procedure's directory.
    pub source: Template,
    /// The absolute path there.
    pub to: Template,
    /// Its permissions, 0600 by default.
    pub mode: u32,
}

/// A file from the node, into the run's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Get {
    /// The absolute path there.
    pub from: Template,
    /// The name here, below the run's directory.
    pub to: Template,
}

/// A value kept for later steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// The variable.
    pub name: VarName,
    /// How it is read from a script's output; a check's own form counts for checks.
    pub form: super::condition::Form,
    /// Whether there must be exactly one line.
    pub exactly_one: bool,
    /// Whether it must not be empty.
    pub not_empty: bool,
    /// Words it may be, after `map`.
    pub one_of: Vec<String>,
    /// Replacements of whole values.
    pub map: BTreeMap<String, String>,
    /// Whether it is kept out of journal and screens and read again on resume. Checks only.
    pub secret: bool,
}
