//! Inventory × procedure → plan; and a run's history → its way back.

mod artifact;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::event::Turn;
use super::inventory::Inventory;
use super::name::NodeName;
use super::plan::{
    PhaseKind, Plan, PlannedArtifact, PlannedNode, PlannedPhase, PlannedRole, PlannedStep, Section, Sources,
    StepId, WayIn, Work,
};
use super::procedure::{Action, BatchSize, Phase, PhaseBody, Procedure, Rolling, Step};
use super::selector::NoMatch;
use super::state::{RunState, TurnStatus};
use super::template::{Unset, Vars};
use super::url::BadUrl;

pub use artifact::{ArtifactFacts, Located, locate};
use artifact::{planned_artifacts, staging_label};

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A selector names nobody.
    #[error("{place}: {source}")]
    Nobody {
        /// Where it is written.
        place: String,
        /// The term.
        source: NoMatch,
    },
    /// A variable that is needed beforehand is not set for the whole cluster.
    #[error("{place}: {source}")]
    Unset {
        /// Where it is written.
        place: String,
        /// The variable.
        source: Unset,
    },
    /// The file is not the one that the procedure names.
    #[error("{}: its sha256 is {found}, and the procedure wants {wanted}", file.display())]
    WrongSum {
        /// The file.
        file: PathBuf,
        /// What the procedure says.
        wanted: String,
        /// What the file has.
        found: String,
    },
    /// A node is to fetch from what is no address.
    #[error("{place}: what `{written}` becomes is no URL that a node can fetch: {source}")]
    BadUrl {
        /// Where it is written.
        place: String,
        /// What is written: what it becomes may have a password in it.
        written: String,
        /// What is wrong with it.
        source: BadUrl,
    },
    /// An address that no node is to fetch from.
    #[error(
        "{place}: what `{written}` becomes is a URL, and rollgate downloads nothing itself: write `fetch: node` \
         beside it, or download it and name the file"
    )]
    NotFetched {
        /// Where it is written.
        place: String,
        /// What is written.
        written: String,
    },
    /// A sum that is none.
    #[error("{place}: `{text}` is no SHA-256 sum, which has 64 hexadecimal digits")]
    BadSum {
        /// Where it is written.
        place: String,
        /// What it has become, escaped.
        text: String,
    },
    /// Two artifacts of the same node have the same file name.
    #[error("two artifacts are called `{name}`; a node has one directory for all")]
    SameName {
        /// The file name.
        name: String,
    },
}

/// Makes the plan. `artifacts` has the facts of the procedure's artifacts, in their order.
pub fn plan(
    inventory: &Inventory,
    procedure: &Procedure,
    sources: Sources,
    artifacts: &[ArtifactFacts],
) -> Result<Plan, PlanError> {
    let vars = cluster_vars(inventory);
    let to = procedure
        .to
        .as_ref()
        .map(|to| to.render(&vars))
        .transpose()
        .map_err(|source| PlanError::Unset { place: "to".to_owned(), source })?;
    let nodes = inventory
        .nodes
        .iter()
        .map(|node| PlannedNode {
            name: node.name.clone(),
            connection: node.connection.clone(),
            become_with: node.become_with,
            become_password: node.become_password.clone(),
            state_dir: node.state_dir.clone(),
            groups: node.groups.clone(),
            vars: inventory.vars_of(node),
        })
        .collect();
    let roles = procedure
        .roles
        .iter()
        .map(|(name, role)| {
            let of = role
                .of
                .resolve(inventory)
                .map_err(|source| PlanError::Nobody { place: format!("roles.{name}.of"), source })?;
            Ok((name.clone(), PlannedRole { check: role.check.clone(), of, exactly: role.exactly }))
        })
        .collect::<Result<_, PlanError>>()?;
    let artifacts = planned_artifacts(inventory, procedure, artifacts)?;
    let mut slugs = BTreeSet::from(["stage".to_owned()]);
    let mut phases: Vec<PlannedPhase> = staging(inventory, procedure, &artifacts).into_iter().collect();
    for phase in &procedure.phases {
        let slug = slug(phase.name.as_str(), &mut slugs);
        phases.push(planned_phase(inventory, procedure, phase, &slug)?);
    }
    Ok(Plan {
        cluster: inventory.cluster.clone(),
        procedure: procedure.name.clone(),
        to,
        sources,
        vars,
        secrets: inventory.secrets.clone(),
        notify: inventory.notify.clone(),
        nodes,
        version: procedure.version.clone(),
        checks: procedure.checks.clone(),
        roles,
        invariants: procedure.invariants.clone(),
        guards: procedure.guards.clone(),
        artifacts,
        windows: inventory.windows.clone(),
        phases,
    })
}

fn cluster_vars(inventory: &Inventory) -> Vars {
    inventory.vars.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// `Service nodes` becomes `service-nodes`; a second one `service-nodes-2`.
fn slug(name: &str, taken: &mut BTreeSet<String>) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let base = words.join("-");
    let mut slug = base.clone();
    let mut n = 2;
    while !taken.insert(slug.clone()) {
        slug = format!("{base}-{n}");
        n += 1;
    }
    slug
}

/// Steps of a phase with their ids; a point of no return becomes a question of its own before its step.
struct Numbering<'a> {
    slug: &'a str,
    counts: std::collections::BTreeMap<Section, usize>,
    steps: Vec<PlannedStep>,
}

impl<'a> Numbering<'a> {
    fn new(slug: &'a str) -> Self {
        Self { slug, counts: std::collections::BTreeMap::new(), steps: Vec::new() }
    }

    fn push(&mut self, section: Section, label: String, work: Work) {
        let n = self.counts.entry(section).or_insert(0);
        *n += 1;
        self.steps.push(PlannedStep { id: StepId::new(self.slug, section, *n), section, label, work });
    }

    fn section(&mut self, section: Section, steps: &[Step], procedure: &Procedure) {
        for step in steps {
            if let Some(point) = &step.point_of_no_return {
                let work = Work::PassPoint { point: point.clone(), when: step.when.clone() };
                self.push(section, "point of no return".to_owned(), work);
            }
            if let Some(work) = way_in(step) {
                self.push(section, format!("way in before \"{}\"", label(step, procedure)), work);
            }
            self.push(section, label(step, procedure), Work::Step(Box::new(step.clone())));
        }
    }
}

/// What is asked right before a step that restricts SSH.
fn way_in(step: &Step) -> Option<Work> {
    let check = step.restricts.as_ref()?.way_in.clone()?;
    let (on, name, when) = (step.on.clone(), step.name.clone(), step.when.clone());
    Some(Work::WayIn(Box::new(WayIn { check, on, name, when })))
}

/// What a step is called on screens: its name, or what it does in a few words.
fn label(step: &Step, procedure: &Procedure) -> String {
    if let Some(name) = &step.name {
        return name.to_string();
    }
    let check = |reference: &super::procedure::CheckRef| match reference {
        super::procedure::CheckRef::Named(name) => {
            procedure.checks.get(name).map_or_else(|| name.to_string(), |check| check.label.clone())
        }
        super::procedure::CheckRef::Inline(check) => check.label.clone(),
    };
    match &step.action {
        Action::Run(run) => first_line(&run.script.body),
        Action::Check(reference) => check(reference),
        Action::Wait(wait) => format!("wait for {}", check(&wait.check)),
        Action::Gate(_) => "gate".to_owned(),
        Action::Manual(manual) => first_line(manual.text.as_str()),
        Action::Reboot(_) => "reboot".to_owned(),
        Action::Put(put) => format!("put {}", put.to),
        Action::Get(get) => format!("get {}", get.from),
    }
}

/// The first line that says something, at most 40 characters.
pub fn first_line(text: &str) -> String {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("");
    if line.chars().count() > 40 {
        line.chars().take(37).chain("...".chars()).collect()
    } else {
        line.to_owned()
    }
}

/// The staging phase, where there is something to stage.
fn staging(
    inventory: &Inventory,
    procedure: &Procedure,
    artifacts: &[PlannedArtifact],
) -> Option<PlannedPhase> {
    let nodes: Vec<NodeName> = inventory
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .filter(|node| !procedure.stage.is_empty() || artifacts.iter().any(|file| file.nodes.contains(node)))
        .collect();
    if nodes.is_empty() {
        return None;
    }
    let mut forward = Numbering::new("stage");
    if !artifacts.is_empty() {
        forward.push(Section::Stage, staging_label(artifacts).to_owned(), Work::Stage);
    }
    forward.section(Section::Stage, &procedure.stage, procedure);
    let mut back = Numbering::new("stage");
    back.push(Section::Rollback, "remove what was staged".to_owned(), Work::Unstage);
    Some(PlannedPhase {
        name: "stage".to_owned(),
        slug: "stage".to_owned(),
        kind: PhaseKind::Staging,
        when: None,
        before: Vec::new(),
        batches: vec![nodes.len()],
        nodes,
        last: None,
        spread: None,
        max_failures: 0,
        steps: forward.steps,
        rollback: back.steps,
    })
}

fn planned_phase(
    inventory: &Inventory,
    procedure: &Procedure,
    phase: &Phase,
    slug: &str,
) -> Result<PlannedPhase, PlanError> {
    let mut before = Numbering::new(slug);
    if let Some(point) = &phase.point_of_no_return {
        let work = Work::PassPoint { point: point.clone(), when: None };
        before.push(Section::Before, "point of no return".to_owned(), work);
    }
    let mut back = Numbering::new(slug);
    back.section(Section::Rollback, &phase.rollback, procedure);
    let mut planned = PlannedPhase {
        name: phase.name.to_string(),
        slug: slug.to_owned(),
        kind: PhaseKind::Single,
        when: phase.when.clone(),
        before: Vec::new(),
        nodes: vec![NodeName::operator()],
        batches: vec![1],
        last: None,
        spread: None,
        max_failures: 0,
        steps: Vec::new(),
        rollback: Vec::new(),
    };
    match &phase.body {
        PhaseBody::Single(steps) => {
            let mut forward = before;
            forward.section(Section::Steps, steps, procedure);
            planned.steps = forward.steps;
        }
        PhaseBody::Rolling(rolling) => {
            let place = format!("phase \"{}\"", phase.name);
            planned.kind = PhaseKind::Rolling;
            planned.nodes =
                rolling.nodes.resolve(inventory).map_err(|source| PlanError::Nobody { place, source })?;
            planned.batches =
                rolling.batch.iter().map(|size| batch_size(*size, planned.nodes.len())).collect();
            planned.last.clone_from(&rolling.last);
            planned.spread.clone_from(&rolling.spread);
            planned.max_failures = rolling.max_failures;
            planned.before = before.steps;
            planned.steps = turn_steps(slug, rolling, procedure);
            if procedure.version.is_some() {
                back.push(Section::Rollback, "runs the old version".to_owned(), Work::VersionRestored);
            }
        }
    }
    planned.rollback = back.steps;
    Ok(planned)
}

fn turn_steps(slug: &str, rolling: &Rolling, procedure: &Procedure) -> Vec<PlannedStep> {
    let mut steps = Numbering::new(slug);
    if !procedure.invariants.is_empty() {
        steps.push(Section::Precheck, "invariants on the other nodes".to_owned(), Work::Invariants);
    }
    for (section, written) in [
        (Section::Precheck, &rolling.precheck),
        (Section::Drain, &rolling.drain),
        (Section::Upgrade, &rolling.upgrade),
        (Section::Verify, &rolling.verify),
        (Section::Undrain, &rolling.undrain),
    ] {
        steps.section(section, written, procedure);
    }
    if let Some(soak) = &rolling.soak {
        steps.push(Section::Soak, "soak".to_owned(), Work::Soak(soak.clone()));
    }
    steps.steps
}

fn batch_size(size: BatchSize, nodes: usize) -> usize {
    match size {
        BatchSize::Nodes(count) => count.max(1),
        BatchSize::Percent(percent) => (nodes * usize::from(percent) / 100).max(1),
    }
}

/// Why a run cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// No node was changed, or none of those asked for.
    #[error("no node was changed by run {run}")]
    NothingChanged {
        /// The run.
        run: String,
    },
    /// A point of no return was passed.
    #[error("a point of no return was passed: {text}")]
    PointOfNoReturn {
        /// Its text.
        text: String,
    },
    /// A step has neither an undo nor a `rollback` section.
    #[error("{node}: phase \"{phase}\" has no `rollback` section, and step \"{label}\" has no `undo`")]
    NoUndo {
        /// The node.
        node: NodeName,
        /// The phase.
        phase: String,
        /// The step.
        label: String,
    },
}

/// The turns that changed something, the latest first: the order in which they are taken back.
/// `limit` leaves only the turns of those nodes.
pub fn way_back(state: &RunState, limit: Option<&[NodeName]>) -> Result<Vec<Turn>, NoWayBack> {
    let mut turns: Vec<(u64, Turn)> = state
        .turns
        .keys()
        .filter(|turn| state.plan.phases[turn.phase].kind != PhaseKind::Staging)
        .filter(|turn| limit.is_none_or(|limit| limit.contains(&turn.node)))
        .filter(|turn| {
            // A turn whose way back was interrupted goes on with it, to its last check.
            state.has_changed(turn) || state.turns[turn].status == TurnStatus::Returning
        })
        .map(|turn| (latest_start(state, turn), turn.clone()))
        .collect();
    if turns.is_empty() {
        return Err(NoWayBack::NothingChanged { run: state.run.to_string() });
    }
    if let Some(text) = state.no_return() {
        return Err(NoWayBack::PointOfNoReturn { text });
    }
    for (_, turn) in &turns {
        let phase = &state.plan.phases[turn.phase];
        if phase.rollback.iter().any(|step| step.work != Work::VersionRestored) {
            continue;
        }
        let without_undo = state.steps_of(turn).iter().find(|step| {
            step.is_effect()
                && !step.has_undo()
                && !matches!(step.step().map(|step| &step.action), Some(Action::Manual(_)))
                && state.step(&turn.key(&step.id)).is_some_and(|state| state.changed)
        });
        if let Some(step) = without_undo {
            return Err(NoWayBack::NoUndo {
                node: turn.node.clone(),
                phase: phase.name.clone(),
                label: step.label.clone(),
            });
        }
    }
    turns.sort_by(|a, b| b.cmp(a));
    Ok(turns.into_iter().map(|(_, turn)| turn).collect())
}

/// When a turn last changed its node. A temporary change may have been made again much later than
/// what it was made for, so it counts only where there is nothing else.
fn latest_start(state: &RunState, turn: &Turn) -> u64 {
    let latest = |temporary: bool| {
        state
            .steps_of(turn)
            .iter()
            .filter(|step| step.temporary().is_some() == temporary)
            .filter_map(|step| state.step(&turn.key(&step.id)))
            .filter(|step| step.changed)
            .map(|step| step.started_seq)
            .max()
    };
    latest(false).or_else(|| latest(true)).unwrap_or(0)
}
