//! What follows from a state: questions that the scheduler, the engine and the screens ask of it.

use super::{RunState, StepState, StepStatus, TurnState, TurnStatus, UndoStatus};
use crate::model::event::{Goal, Halt, Reading, RunEnd, Stop, Turn};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, StepId, StepKey};
use crate::model::template::Vars;

/// The states of a run (`product.md` §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Everything is on the nodes.
    Staged,
    /// An invocation is at work, or died at it.
    Working,
    /// It waits at a gate or a question.
    Waiting,
    /// It can go on; every node is whole.
    Stopped,
    /// Every phase is done.
    Finished,
    /// It can go on; a node needs somebody.
    Failed,
    /// Nodes are being taken back.
    RollingBack,
    /// Nodes were taken back.
    RolledBack,
    /// Over.
    Unstaged,
}

impl RunStatus {
    /// The word for it on screens and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
            Self::Unstaged => "unstaged",
        }
    }
}

impl RunState {
    /// The run's name on the nodes, where runs of several machines meet.
    pub fn key(&self) -> String {
        format!("{}-{}", self.run, self.token)
    }

    /// The run's state in one word.
    pub fn status(&self) -> RunStatus {
        match &self.end {
            Some(RunEnd::Staged) => RunStatus::Staged,
            Some(RunEnd::Finished) => RunStatus::Finished,
            Some(RunEnd::Unstaged) => RunStatus::Unstaged,
            Some(RunEnd::RolledBack) => RunStatus::RolledBack,
            Some(RunEnd::Stopped(stop)) if stop.halt >= Halt::UndoFailed => RunStatus::Failed,
            Some(RunEnd::Stopped(_)) => RunStatus::Stopped,
            None if self.question.is_some() || !self.waiting.is_empty() => RunStatus::Waiting,
            None if matches!(self.request.goal, Goal::RolledBack(_)) => RunStatus::RollingBack,
            None => RunStatus::Working,
        }
    }

    /// Whether another invocation may go on with it towards its end.
    pub fn is_open(&self) -> bool {
        match &self.end {
            Some(RunEnd::Finished | RunEnd::Unstaged) => false,
            Some(RunEnd::RolledBack) => self.is_on_the_new_version_somewhere(),
            _ => true,
        }
    }

    fn is_on_the_new_version_somewhere(&self) -> bool {
        self.turns.iter().any(|(turn, state)| {
            self.plan.phases[turn.phase].kind != PhaseKind::Staging
                && (state.status == TurnStatus::Returning || self.has_changed(turn))
        })
    }

    /// Whether anything but staging has begun.
    pub fn has_started(&self) -> bool {
        self.turns.keys().any(|turn| self.plan.phases[turn.phase].kind != PhaseKind::Staging)
    }

    /// The state of a step, if it has begun.
    pub fn step(&self, key: &StepKey) -> Option<&StepState> {
        self.steps.get(key)
    }

    /// The turns of a node that have begun, phase by phase. Looked up and not looked for: of thousands of nodes this is
    /// asked of each.
    pub fn turns_of(&self, node: &NodeName) -> impl Iterator<Item = (&Turn, &TurnState)> {
        let node = node.clone();
        (0..self.plan.phases.len())
            .filter_map(move |phase| self.turns.get_key_value(&Turn { phase, node: node.clone() }))
    }

    /// The steps of a node's turns that have begun.
    pub fn steps_in_turns_of<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (&'a StepKey, &'a StepState)> {
        let first = StepKey { node: node.clone(), step: StepId::before_all() };
        self.steps.range(first..).take_while(move |(key, _)| key.node == *node)
    }

    /// The latest readings of a step's checks.
    pub fn readings_of(&self, key: &StepKey) -> Vec<Reading> {
        self.step(key).map(|step| step.readings.clone()).unwrap_or_default()
    }

    /// The step of a turn that failed or is unknown and was not settled: of its way back where it is
    /// on it, else of its way forward.
    pub fn trouble(&self, turn: &Turn) -> Option<StepKey> {
        let steps = if self.is_on_its_way_back(turn) {
            &self.plan.phases[turn.phase].rollback
        } else {
            self.steps_of(turn)
        };
        steps
            .iter()
            .map(|step| turn.key(&step.id))
            .find(|key| self.step(key).is_some_and(|step| step.status.bad_outcome().is_some()))
    }

    /// The nodes of a phase whose turn has not come, or that were taken back. A node that was given up
    /// in an earlier phase is not touched again.
    pub fn to_do(&self, phase: usize) -> Vec<NodeName> {
        let nodes = self.plan.phases[phase].nodes.iter();
        nodes.filter(|node| self.is_to_do(phase, node)).cloned().collect()
    }

    /// Whether a node of a phase is one of those.
    pub(super) fn is_to_do(&self, phase: usize, node: &NodeName) -> bool {
        let is_given_up =
            |turn: &TurnState| matches!(turn.status, TurnStatus::Failed | TurnStatus::Skipped { .. });
        let turn = Turn { phase, node: node.clone() };
        let mut earlier = self.turns_of(node).take_while(|(turn, _)| turn.phase < phase);
        (node.is_operator() || !earlier.any(|(_, turn)| is_given_up(turn)))
            && self.turns.get(&turn).is_none_or(|turn| turn.status == TurnStatus::RolledBack)
    }

    /// The gravest stop that the nodes mean which were left behind in their phases.
    pub(in crate::model) fn left_behind(&self) -> Option<Stop> {
        self.turns
            .iter()
            .filter(|(_, state)| state.status == TurnStatus::Failed)
            .filter_map(|(turn, _)| self.stop_for(&self.trouble(turn)?))
            .max_by_key(|stop| stop.halt)
    }

    /// Temporary changes that are in force, the latest first: the order in which they are undone.
    pub fn outstanding(&self) -> Vec<&StepKey> {
        let mut keys: Vec<_> = self
            .steps
            .iter()
            .filter(|(key, step)| step.is_in_force() && self.is_temporary(key))
            .map(|(key, step)| (step.started_seq, key))
            .collect();
        keys.sort_by(|a, b| b.cmp(a));
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn is_temporary(&self, key: &StepKey) -> bool {
        self.plan.find(&key.step).is_some_and(|(_, step)| step.temporary().is_some())
    }

    /// Steps and undos of invocations that are gone.
    pub fn dangling(&self) -> Vec<(StepKey, bool)> {
        let steps = self.steps.iter().filter(|(_, step)| step.status == StepStatus::Dangling);
        let undos = self.steps.iter().filter(|(_, step)| step.undo == UndoStatus::Dangling);
        steps.map(|(key, _)| (key.clone(), false)).chain(undos.map(|(key, _)| (key.clone(), true))).collect()
    }

    /// Whether anything is being followed.
    pub fn is_busy(&self) -> bool {
        self.steps.values().any(StepState::is_in_flight)
    }

    /// Whether a turn has changed something that has not been undone.
    pub fn has_changed(&self, turn: &Turn) -> bool {
        self.steps_of(turn).iter().any(|step| self.step(&turn.key(&step.id)).is_some_and(|step| step.changed))
    }

    /// The text of a point of no return that was passed and leaves no way back.
    pub fn no_return(&self) -> Option<String> {
        self.points_passed.iter().find_map(|key| {
            let (_, step) = self.plan.find(&key.step)?;
            match &step.work {
                crate::model::plan::Work::PassPoint { point, .. } if !point.rollback_possible => {
                    Some(point.text.render_known(&self.vars_of(&key.node)))
                }
                _ => None,
            }
        })
    }

    /// The variables that the steps of a lane see, but for those that only a connection can tell and
    /// for secrets: the node's own, captured values, and rollgate's.
    pub fn vars_of(&self, lane: &NodeName) -> Vars {
        let plan = &self.plan;
        let mut vars = plan.node(lane).map_or_else(|| plan.vars.clone(), |node| node.vars.clone());
        let operator = NodeName::operator();
        let captured = [&operator, lane].into_iter().filter_map(|lane| self.captures.get(lane));
        for (name, value) in captured.flatten() {
            if let Some(value) = value {
                vars.insert(name.clone(), value.clone());
            }
        }
        vars.insert("ROLLGATE_NODE".to_owned(), lane.to_string());
        vars.insert("ROLLGATE_CLUSTER".to_owned(), plan.cluster.to_string());
        if let Some(node) = plan.node(lane) {
            let host = match &node.connection {
                crate::model::host::Connection::Ssh(target) => target.host.as_str(),
                crate::model::host::Connection::Local => "localhost",
            };
            vars.insert("ROLLGATE_HOST".to_owned(), host.to_owned());
        }
        vars.insert("ROLLGATE_TO".to_owned(), plan.to.clone().unwrap_or_default());
        let from = self.versions.get(lane).map(|versions| versions.before.clone()).unwrap_or_default();
        vars.insert("ROLLGATE_FROM".to_owned(), from);
        let alone = if self.goes_back_alone(lane) { "yes" } else { "" };
        vars.insert("ROLLGATE_ALONE".to_owned(), alone.to_owned());
        for (role, nodes) in &self.pinned {
            let names: Vec<_> = nodes.iter().map(NodeName::as_str).collect();
            vars.insert(format!("ROLLGATE_PINNED_{}", role.as_str().to_uppercase()), names.join(" "));
        }
        vars
    }

    /// Whether a node is on its way back while others stay as the run has made them: it was chosen at a failure,
    /// or named by `rollback --limit`. What is taken back with the whole, such as the upgrade of a platform, stays
    /// then (`StarlingX`: a host that is downgraded is another thing than an upgrade that is aborted).
    fn goes_back_alone(&self, lane: &NodeName) -> bool {
        let returns = |turn: &Turn| self.turns[turn].status == TurnStatus::Returning;
        let stays = |turn: &Turn| match &self.request.goal {
            Goal::RolledBack(turns) => !turns.contains(turn),
            _ => turn.node != *lane,
        };
        let is_phase = |turn: &&Turn| self.plan.phases[turn.phase].kind != PhaseKind::Staging;
        self.turns_of(lane).any(|(turn, _)| returns(turn))
            && self.turns.keys().filter(is_phase).any(|turn| stays(turn) && self.has_changed(turn))
    }
}
