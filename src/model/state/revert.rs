//! Changes that their nodes undo by themselves unless somebody decides otherwise: what was said to the node, and
//! what its own record says became of that.

use std::time::Duration;

use super::{Armed, RunState, StepStatus, UndoStatus};
use crate::model::event::{Outcome, Record, Reverting};
use crate::model::plan::StepKey;

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
        // What another attempt is about to do is to be undone all the same.
        if step.attempts != attempt {
            step.changed_before = false;
            return Ok(());
        }
        // An undo that has begun ends as the node's own did.
        if step.undo == UndoStatus::Running {
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
