//! Phases, batches and turns: how they begin and end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{PhaseStatus, RunState, StepStatus, TurnState, TurnStatus};
use crate::model::event::{Goal, Halt, Record, Stop, Turn, TurnEnd};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, StepKey};

impl RunState {
    pub(super) fn start_phase(&mut self, phase: usize, record: &Record) -> Result<(), String> {
        self.expect_phase(phase, PhaseStatus::Waiting)?;
        self.phases[phase].status = PhaseStatus::Active;
        let planned = &self.plan.phases[phase];
        if planned.kind != PhaseKind::Single && !planned.before.is_empty() {
            self.begin_turn(Turn { phase, node: NodeName::operator() }, record);
        }
        Ok(())
    }

    pub(super) fn skip_phase(&mut self, phase: usize) -> Result<(), String> {
        self.expect_phase(phase, PhaseStatus::Waiting)?;
        self.phases[phase].status = PhaseStatus::Skipped;
        Ok(())
    }

    pub(super) fn end_phase(&mut self, phase: usize) -> Result<(), String> {
        self.expect_phase(phase, PhaseStatus::Active)?;
        self.expect_no_open_turn(phase)?;
        if let Some(node) = self.to_do(phase).first() {
            return Err(format!("phase {phase} has {node} yet to do"));
        }
        self.phases[phase].status = PhaseStatus::Done;
        Ok(())
    }

    pub(super) fn form_batch(
        &mut self,
        phase: usize,
        nodes: &[NodeName],
        record: &Record,
    ) -> Result<(), String> {
        self.expect_phase(phase, PhaseStatus::Active)?;
        self.expect_no_open_turn(phase)?;
        let all = &self.plan.phases[phase].nodes;
        let is_to_do = |node: &NodeName| all.contains(node) && self.is_to_do(phase, node);
        if let Some(node) = nodes.iter().find(|node| !is_to_do(node)) {
            return Err(format!("{node} is not to do in phase {phase}"));
        }
        if nodes.is_empty() || nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            return Err(format!("a batch of phase {phase} has no node, or one twice"));
        }
        self.phases[phase].batches += 1;
        for node in nodes {
            self.begin_turn(Turn { phase, node: node.clone() }, record);
        }
        Ok(())
    }

    fn expect_phase(&mut self, phase: usize, status: PhaseStatus) -> Result<(), String> {
        match self.phase_mut(phase)?.status {
            found if found == status => Ok(()),
            found => Err(format!("phase {phase} is {found:?}")),
        }
    }

    fn expect_no_open_turn(&self, phase: usize) -> Result<(), String> {
        match self.turns.iter().find(|(turn, state)| turn.phase == phase && !state.status.is_over()) {
            Some((turn, _)) => Err(format!("the turn of {} in phase {phase} is not over", turn.node)),
            None => Ok(()),
        }
    }

    fn begin_turn(&mut self, turn: Turn, record: &Record) {
        let started_at = self.turns.get(&turn).map_or(record.at, |turn| turn.started_at);
        let state = TurnState {
            status: TurnStatus::Active,
            ended_in: None,
            started_at,
            since: record.at,
            took: Duration::ZERO,
            idle_before: self.idle,
        };
        self.turns.insert(turn, state);
    }

    pub(super) fn turn_mut(&mut self, phase: usize, node: &NodeName) -> Result<&mut TurnState, String> {
        self.turns
            .get_mut(&Turn { phase, node: node.clone() })
            .ok_or_else(|| format!("{node} has no turn in phase {phase}"))
    }

    pub(super) fn end_turn(&mut self, turn: &Turn, end: &TurnEnd, record: &Record) -> Result<(), String> {
        let status = self.turn_mut(turn.phase, &turn.node)?.status.clone();
        let fits = match end {
            TurnEnd::Done => status == TurnStatus::Active && self.is_through(turn),
            TurnEnd::Failed => status == TurnStatus::Active && self.trouble(turn).is_some(),
            TurnEnd::Skipped { .. } => matches!(status, TurnStatus::Leaving { .. }),
            TurnEnd::RolledBack => self.is_on_its_way_back(turn),
        };
        if !fits {
            return Err(format!("the turn of {} is {status:?} and cannot end as {end:?}", turn.node));
        }
        let in_flight = |key: &StepKey| self.step(key).is_some_and(super::StepState::is_in_flight);
        let all = &self.plan.phases[turn.phase];
        if let Some(key) = all.all_steps().map(|step| turn.key(&step.id)).find(in_flight) {
            return Err(format!("{key} is still running"));
        }
        let invocation = self.invocation;
        let idle = self.idle;
        let state = self.turn_mut(turn.phase, &turn.node)?;
        state.ended_in = Some(invocation);
        state.took = state.worked(idle, record.at);
        state.since = record.at;
        state.idle_before = idle;
        state.status = match end {
            TurnEnd::Done => TurnStatus::Done,
            TurnEnd::Failed => TurnStatus::Failed,
            TurnEnd::Skipped { reason } => TurnStatus::Skipped { reason: reason.clone() },
            TurnEnd::RolledBack => TurnStatus::RolledBack,
        };
        if *end == TurnEnd::RolledBack {
            self.forget_turn(turn);
            if self.request.goal == Goal::Finished {
                let why = format!("{} was rolled back", turn.node);
                self.request_stop(Stop { halt: Halt::Interrupted, why, key: None });
            }
        }
        Ok(())
    }

    /// Whether every step of a turn's way forward is settled.
    pub(super) fn is_through(&self, turn: &Turn) -> bool {
        self.steps_of(turn)
            .iter()
            .all(|step| self.step(&turn.key(&step.id)).is_some_and(super::StepState::is_settled))
    }

    /// Whether the steps of a turn's way back may be done now. What was staged is removed from nodes
    /// whose staging went well, too.
    pub(super) fn is_on_its_way_back(&self, turn: &Turn) -> bool {
        let is_staging = self.plan.phases[turn.phase].kind == PhaseKind::Staging;
        self.turns.get(turn).is_some_and(|state| match state.status {
            TurnStatus::Returning => true,
            TurnStatus::RolledBack | TurnStatus::Leaving { .. } => false,
            _ => is_staging && self.request.goal == Goal::Unstaged,
        })
    }

    /// A turn is taken back from its beginning: what an earlier way back has done counts no more.
    pub(super) fn begin_way_back(&mut self, phase: usize, node: &NodeName) -> Result<(), String> {
        let turn = Turn { phase, node: node.clone() };
        let state = self.turn_mut(phase, node)?;
        if state.status == TurnStatus::Returning {
            return Ok(());
        }
        state.status = TurnStatus::Returning;
        for step in &self.plan.phases[phase].rollback {
            if let Some(step) = self.steps.get_mut(&turn.key(&step.id))
                && !matches!(step.status, StepStatus::Running | StepStatus::Dangling)
            {
                step.status = StepStatus::ToDo;
                step.spent = 0;
                step.changed = false;
            }
        }
        Ok(())
    }

    /// A node that was taken back has everything before it again; attempts go on counting. What is
    /// temporary and still in force stays on the list, and so does what a node may yet undo by itself.
    fn forget_turn(&mut self, turn: &Turn) {
        let phase = &self.plan.phases[turn.phase];
        for planned in phase.all_steps() {
            if let Some(step) = self.steps.get_mut(&turn.key(&planned.id)) {
                step.status = StepStatus::ToDo;
                step.spent = 0;
                let is_left = planned.temporary().is_some() || step.armed.is_some();
                if !is_left || !step.is_in_force() {
                    step.forget_change();
                }
            }
        }
        let state = &mut self.phases[turn.phase];
        if state.status == PhaseStatus::Done {
            state.status = PhaseStatus::Active;
        }
        let is_done = |(other, state): (&Turn, &TurnState)| {
            other.phase == turn.phase && state.status == TurnStatus::Done
        };
        // With no node of the new version left the next one is the canary again.
        if !self.turns.iter().filter(|(turn, _)| !turn.node.is_operator()).any(is_done) {
            state.batches = 0;
        }
    }
}
