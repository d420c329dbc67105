//! Steps and undos that began and whose end nobody saw: what could still settle them, and what follows
//! when it has, or could not.

use super::{RunState, StepStatus, UndoStatus};
use crate::model::condition::Verdict;
use crate::model::event::{Decided, Failure, FailureKind, Goal, Operator, Outcome, Settlement, Turn};
use crate::model::plan::{Section, StepKey};
use crate::model::procedure::IfUnknown;
use crate::model::recovery::{Settling, settle};

impl RunState {
    /// Steps, and undos, whose end nobody has seen: what a human may decide about when the run goes on.
    pub fn undecided(&self) -> Vec<(StepKey, bool)> {
        let is_effect =
            |key: &StepKey| self.plan.find(&key.step).is_some_and(|(_, planned)| !planned.is_repeatable());
        let step = |status: &StepStatus| {
            matches!(status, StepStatus::Running | StepStatus::Dangling | StepStatus::Unknown { .. })
        };
        let undo = |status: &UndoStatus| {
            matches!(status, UndoStatus::Running | UndoStatus::Dangling | UndoStatus::Unknown { .. })
        };
        let steps = self.steps.iter().filter(|(key, state)| step(&state.status) && is_effect(key));
        let undos = self.steps.iter().filter(|(_, state)| undo(&state.undo));
        steps.map(|(key, _)| (key.clone(), false)).chain(undos.map(|(key, _)| (key.clone(), true))).collect()
    }

    /// Those of [`Self::undecided`] whose nodes have been asked, and could not say.
    pub fn unknown(&self) -> Vec<(StepKey, bool)> {
        let mut found = self.undecided();
        found.retain(|(key, undo)| {
            self.step(key).is_some_and(|step| match undo {
                false => matches!(step.status, StepStatus::Unknown { .. }),
                true => matches!(step.undo, UndoStatus::Unknown { .. }),
            })
        });
        found
    }

    /// What the operator has said of a step, or its undo, for the case that nobody knows.
    pub fn decision(&self, key: &StepKey, undo: bool) -> Option<&Decided> {
        self.request.decisions.iter().find(|decided| decided.key == *key && decided.undo == undo)
    }

    /// What comes next for an unknown step, or undo; `probed` is what `done_if` answered. Of an undo only a
    /// human can say anything: what a step declares is about the step.
    pub fn settling(&self, key: &StepKey, undo: bool, probed: Option<&Verdict>) -> Settling {
        let nothing = IfUnknown::default();
        let planned = self.plan.find(&key.step).and_then(|(_, planned)| planned.step());
        // What its node may yet undo is in no state that a check could read.
        let is_armed = self.step(key).is_some_and(|step| step.armed.is_some());
        let declared = planned.filter(|_| !undo && !is_armed).map_or(&nothing, |step| &step.if_unknown);
        let rebooted = self
            .step(key)
            .is_some_and(|step| matches!(step.status, StepStatus::Unknown { rebooted: true, .. }));
        settle(declared, rebooted, probed, self.decision(key, undo))
    }

    /// Whether it is unknown, nothing was tried about it in this invocation, and something could settle it.
    pub(in crate::model) fn may_be_settled(&self, key: &StepKey, undo: bool) -> bool {
        let Some(step) = self.step(key) else { return false };
        let is_untried = if undo {
            matches!(step.undo, UndoStatus::Unknown { tried: false, .. })
        } else {
            matches!(step.status, StepStatus::Unknown { tried: false, .. })
        };
        is_untried
            && (undo || self.matters(key) || self.decision(key, undo).is_some())
            && self.settling(key, undo, None) != Settling::AskHuman
    }

    /// On the way back it makes no difference how a step of the way forward ended.
    fn matters(&self, key: &StepKey) -> bool {
        matches!(self.request.goal, Goal::Finished | Goal::Staged)
            || self.plan.find(&key.step).is_some_and(|(_, step)| step.section == Section::Rollback)
    }

    /// Everything that [`Self::may_be_settled`].
    pub(in crate::model) fn to_settle(&self) -> Vec<(StepKey, bool)> {
        let mut found = self.unknown();
        found.retain(|(key, undo)| self.may_be_settled(key, *undo));
        found
    }

    /// At a terminal: an undo of which nobody knows whether it ran, and about which nobody was asked yet.
    pub(in crate::model) fn undo_to_ask_about(&self) -> Option<&StepKey> {
        let is_open = |undo: &UndoStatus| matches!(undo, UndoStatus::Unknown { settled: false, .. });
        self.steps.iter().find(|(_, step)| is_open(&step.undo)).map(|(key, _)| key)
    }

    pub(super) fn settle_step(
        &mut self,
        key: &StepKey,
        verdict: Settlement,
        by: Option<&Operator>,
        why: &str,
    ) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        let step = self.step_mut(key)?;
        if !matches!(step.status, StepStatus::Unknown { .. }) {
            return Err(format!("{key} is not unknown"));
        }
        match verdict {
            Settlement::Done => self.mark_done(key, &planned)?,
            Settlement::NotDone => {
                step.status = StepStatus::ToDo;
                step.spent = 0;
                self.ask_guards_anew(&Turn { phase, node: key.node.clone() }, key);
            }
            Settlement::Failed => {
                let failure = Failure {
                    kind: FailureKind::Script,
                    message: said(by, why),
                    tail: Vec::new(),
                    help: None,
                };
                step.status = StepStatus::Failed(failure.clone());
                // Whoever wants another attempt decides for one.
                step.spent = planned.retries().saturating_add(1);
                self.judge(key, phase, &planned, &Outcome::Failed(failure));
            }
        }
        Ok(())
    }

    pub(super) fn settle_undo(
        &mut self,
        key: &StepKey,
        verdict: Settlement,
        by: Option<&Operator>,
        why: &str,
    ) -> Result<(), String> {
        let step = self.step_mut(key)?;
        if !matches!(step.undo, UndoStatus::Unknown { .. }) {
            return Err(format!("the undo of {key} is not unknown"));
        }
        match verdict {
            Settlement::Done => step.take_as_undone(),
            Settlement::NotDone => step.undo = UndoStatus::Due,
            Settlement::Failed => self.undo_failed(key, &said(by, why))?,
        }
        Ok(())
    }

    /// Nothing that was declared could settle it.
    pub(super) fn leave_unknown(&mut self, key: &StepKey, undo: bool) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        let step = self.step_mut(key)?;
        match (&mut step.status, &mut step.undo) {
            (StepStatus::Unknown { tried, .. }, _) if !undo && !*tried => *tried = true,
            (_, UndoStatus::Unknown { tried, .. }) if undo && !*tried => *tried = true,
            _ => return Err(format!("{key} is not unknown, or was tried to be settled before")),
        }
        match step.status.bad_outcome() {
            _ if undo => self.judge_undo(key),
            Some(outcome) => self.judge(key, phase, &planned, &outcome),
            None => {}
        }
        Ok(())
    }

    /// Decides whether an undo that is unknown stops the run here and now.
    pub(super) fn judge_undo(&mut self, key: &StepKey) {
        if self.request.attended || self.may_be_settled(key, true) {
            return;
        }
        let Some(UndoStatus::Unknown { why, settled, .. }) =
            self.steps.get_mut(key).map(|step| &mut step.undo)
        else {
            return;
        };
        *settled = true;
        let why = format!("nobody knows whether it was done: {why}");
        self.stop_for_undo(key, &why);
    }
}

/// A decision in words.
fn said(by: Option<&Operator>, why: &str) -> String {
    match by {
        Some(by) if why.is_empty() => format!("{} decided that it failed", by.user),
        Some(by) => format!("{} decided that it failed: {why}", by.user),
        None => why.to_owned(),
    }
}
