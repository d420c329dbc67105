//! Changes that their nodes undo by themselves unless somebody decides otherwise: what was said to the node, and
//! what its own record says became of that.

use std::time::Duration;

use super::{Armed, ByNode, RunState, StepState, StepStatus, TurnStatus, UndoStatus};
use crate::model::event::{Goal, Halt, Outcome, Record, Reverting, Stop, Turn};
use crate::model::plan::{Section, StepKey};

impl RunState {
    /// Changes whose nodes may yet undo them by themselves, or have and nobody has heard of it.
    pub fn armed(&self) -> impl Iterator<Item = (&StepKey, Armed)> {
        self.steps.iter().filter_map(|(key, step)| Some((key, step.armed?)))
    }

    /// A restriction of SSH that failed, or after which nobody could log in, and that is in force: it is undone
    /// before anything else begins.
    pub(in crate::model) fn failed_restrictions(&self) -> Vec<StepKey> {
        let is_one = |key: &StepKey| {
            self.plan.find(&key.step).is_some_and(|(_, planned)| planned.restriction().is_some())
        };
        let failed = self.steps.iter().filter(|(_, step)| matches!(step.status, StepStatus::Failed(_)));
        let in_force = failed.filter(|(key, step)| step.is_in_force() && is_one(key));
        in_force.map(|(key, _)| key.clone()).collect()
    }

    /// Changes that their nodes may yet undo, and that nobody goes on with: nobody will confirm them, so they are
    /// undone before anything else begins.
    pub(in crate::model) fn given_up_restrictions(&self) -> Vec<StepKey> {
        let is_one = |key: &StepKey, step: &StepState| {
            let is_open = matches!(step.status, StepStatus::Running | StepStatus::Dangling);
            step.armed.is_some() && step.is_in_force() && !is_open && !self.goes_on_with(key)
        };
        self.steps.iter().filter(|(key, step)| is_one(key, step)).map(|(key, _)| key.clone()).collect()
    }

    /// Whether the run is yet to come to the end of a step, on whichever way it is now.
    fn goes_on_with(&self, key: &StepKey) -> bool {
        let Some((phase, planned)) = self.plan.find(&key.step) else { return false };
        let turn = Turn { phase, node: key.node.clone() };
        if planned.section == Section::Rollback {
            return self.is_on_its_way_back(&turn);
        }
        matches!(self.request.goal, Goal::Finished | Goal::Staged)
            && self.turns.get(&turn).is_some_and(|turn| turn.status == TurnStatus::Active)
    }

    /// Why a run cannot be over: a node may yet undo something by itself.
    pub(in crate::model) fn is_yet_to_be_reverted(&self) -> Option<Stop> {
        let (key, _) = self.armed().next()?;
        let label = self.plan.find(&key.step).map_or("", |(_, planned)| planned.label.as_str());
        let why =
            format!("{}: {label}: it may yet be undone by its node, and nobody has confirmed it", key.node);
        Some(Stop { halt: Halt::Unknown, why, key: Some(key.clone()) })
    }

    pub(super) fn arm(
        &mut self,
        key: &StepKey,
        attempt: u32,
        after: Duration,
        record: &Record,
    ) -> Result<(), String> {
        let (_, planned) = self.planned(key)?;
        if planned.restriction().and_then(|restriction| restriction.revert_after).is_none() {
            return Err(format!("{key} is not undone by its node"));
        }
        let step = self.step_mut(key)?;
        if step.status != StepStatus::Running || step.attempts != attempt {
            return Err(format!("{key} attempt {attempt} is not running"));
        }
        if step.armed.is_some() {
            return Err(format!("it is not known yet what became of an earlier attempt of {key}"));
        }
        step.armed = Some(Armed { attempt, at: record.at, after });
        Ok(())
    }

    /// What a node has undone by itself was undone: nobody undoes it a second time.
    pub(super) fn end_revert(&mut self, key: &StepKey, attempt: u32, end: &Reverting) -> Result<(), String> {
        let step = self.step_mut(key)?;
        match step.armed.take() {
            Some(armed) if armed.attempt == attempt => {}
            _ => return Err(format!("the node of {key} was not told to undo attempt {attempt}")),
        }
        let Reverting::Reverted { outcome } = end else { return Ok(()) };
        // An undo that has begun ends as the node's own did, also when nobody is left to say so.
        let ends_undo = step.undo == UndoStatus::Running;
        if ends_undo || step.attempts == attempt {
            let is_undone = matches!(outcome, Outcome::Done | Outcome::Skipped { .. });
            step.by_node = if is_undone { ByNode::Undone } else { ByNode::Begun { attempt } };
        }
        // What another attempt is about to do is to be undone all the same.
        if step.attempts != attempt {
            step.changed_before = false;
            return Ok(());
        }
        if ends_undo {
            return Ok(());
        }
        match outcome {
            Outcome::Done | Outcome::Skipped { .. } => step.undone(),
            Outcome::Unknown { why, .. } => {
                step.undo = UndoStatus::Unknown { why: why.clone(), tried: false, settled: false };
                self.judge_undo(key);
            }
            Outcome::Failed(failure) => self.undo_failed(key, &failure.message)?,
            Outcome::Interrupted => return Err(format!("the node of {key} was not interrupted by anybody")),
        }
        Ok(())
    }
}
