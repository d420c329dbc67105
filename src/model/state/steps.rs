//! Steps and their undos: how they begin and end, and what that says about the machine.

use super::{ByNode, RunState, StepState, StepStatus, Taken, TurnStatus, UndoStatus};
use crate::model::duration::between;
use crate::model::event::{FailureKind, Outcome, Record, Turn};
use crate::model::name::NodeName;
use crate::model::plan::{PlannedStep, Section, StepKey};

impl RunState {
    pub(super) fn start_step(
        &mut self,
        key: &StepKey,
        attempt: u32,
        on: &[NodeName],
        record: &Record,
    ) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        let turn = Turn { phase, node: key.node.clone() };
        let is_its_time = if planned.section == Section::Rollback {
            self.is_on_its_way_back(&turn)
        } else {
            self.turns.get(&turn).is_some_and(|turn| turn.status == TurnStatus::Active)
        };
        if !is_its_time {
            return Err(format!("{key} cannot begin: it is not its turn"));
        }
        let step = self.steps.entry(key.clone()).or_insert_with(|| StepState::begun_at(record.at));
        match &step.status {
            StepStatus::ToDo | StepStatus::Failed(_) => {}
            StepStatus::Unknown { .. } | StepStatus::Dangling if planned.is_repeatable() => {}
            other => return Err(format!("{key} cannot begin while it is {other:?}")),
        }
        if attempt != step.attempts + 1 {
            return Err(format!("{key} begins with attempt {attempt} after {}", step.attempts));
        }
        step.status = StepStatus::Running;
        step.attempts = attempt;
        step.spent += 1;
        step.on = on.to_vec();
        step.started_seq = record.seq;
        step.started_at = record.at;
        step.by_node = ByNode::Nothing;
        step.changed_before = step.changed;
        step.changed |= planned.changes_something();
        if planned.has_undo() {
            step.undo = UndoStatus::Due;
        }
        self.asked.remove(key);
        Ok(())
    }

    pub(super) fn end_step(
        &mut self,
        key: &StepKey,
        attempt: u32,
        outcome: &Outcome,
        record: &Record,
    ) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        self.waiting.remove(key);
        let is_stopping = self.stop.is_some();
        let step = self.step_mut(key)?;
        if !matches!(step.status, StepStatus::Running | StepStatus::Dangling) || step.attempts != attempt {
            return Err(format!("{key} attempt {attempt} is not running"));
        }
        if step.armed.is_some() && matches!(outcome, Outcome::Done | Outcome::Skipped { .. }) {
            return Err(format!("{key} is done, and its node undoes it"));
        }
        let was_taken_as_done = std::mem::take(&mut step.taken) == Taken::ForDone;
        let was_dangling = step.status == StepStatus::Dangling;
        if *outcome == Outcome::Interrupted && !was_dangling && !is_stopping {
            return Err(format!("{key} is interrupted, and the run does not stop"));
        }
        if !was_taken_as_done && !matches!(outcome, Outcome::Skipped { .. }) {
            step.took += between(step.started_at, record.at);
        }
        // What a node may undo by itself is not left behind before that is settled.
        if never_began(&planned, outcome) && step.armed.is_none() {
            step.changed = step.changed_before;
            if !step.changed && step.undo == UndoStatus::Due {
                step.undo = UndoStatus::Nothing;
            }
        }
        step.status = match outcome {
            Outcome::Done => StepStatus::Done,
            Outcome::Skipped { why } => StepStatus::Skipped { why: why.clone() },
            Outcome::Failed(failure) => StepStatus::Failed(failure.clone()),
            Outcome::Interrupted => StepStatus::ToDo,
            Outcome::Unknown { why, rebooted } => {
                // What was decided has been tried.
                StepStatus::Unknown { why: why.clone(), rebooted: *rebooted, tried: was_taken_as_done }
            }
        };
        if was_dangling && matches!(outcome, Outcome::Failed(_) | Outcome::Interrupted) {
            self.ask_guards_anew(&Turn { phase, node: key.node.clone() }, key);
        }
        self.judge(key, phase, &planned, outcome);
        Ok(())
    }

    pub(super) fn start_undo(&mut self, key: &StepKey, attempt: u32) -> Result<(), String> {
        let step = self.step_mut(key)?;
        match step.undo {
            UndoStatus::Due | UndoStatus::Failed { .. } => {}
            _ => return Err(format!("{key} has nothing to undo")),
        }
        if step.status == StepStatus::Running {
            return Err(format!("{key} is running and cannot be undone"));
        }
        if attempt != step.undo_attempts + 1 {
            return Err(format!(
                "the undo of {key} begins with attempt {attempt} after {}",
                step.undo_attempts
            ));
        }
        step.undo = UndoStatus::Running;
        step.by_node = ByNode::Nothing;
        step.undo_attempts = attempt;
        Ok(())
    }

    pub(super) fn end_undo(&mut self, key: &StepKey, attempt: u32, outcome: &Outcome) -> Result<(), String> {
        let step = self.step_mut(key)?;
        if !matches!(step.undo, UndoStatus::Running | UndoStatus::Dangling) || step.undo_attempts != attempt {
            return Err(format!("the undo of {key} is not running"));
        }
        if step.armed.is_some() && matches!(outcome, Outcome::Done | Outcome::Skipped { .. }) {
            return Err(format!("{key} is undone, and its node undoes it"));
        }
        let was_taken_as_undone = std::mem::take(&mut step.taken) == Taken::ForUndone;
        let why = match outcome {
            Outcome::Done | Outcome::Skipped { .. } => {
                step.undone();
                return Ok(());
            }
            Outcome::Unknown { why, .. } => {
                let tried = was_taken_as_undone;
                step.undo = UndoStatus::Unknown { why: why.clone(), tried, settled: false };
                self.judge_undo(key);
                return Ok(());
            }
            // It never began, says the node.
            Outcome::Interrupted if step.undo == UndoStatus::Dangling => {
                step.undo = UndoStatus::Due;
                return Ok(());
            }
            Outcome::Failed(failure) => failure.message.clone(),
            Outcome::Interrupted => "it was interrupted".to_owned(),
        };
        self.undo_failed(key, &why)
    }

    /// At a terminal somebody is asked about it, else the run stops.
    pub(super) fn undo_failed(&mut self, key: &StepKey, why: &str) -> Result<(), String> {
        let attended = self.request.attended;
        self.step_mut(key)?.undo = UndoStatus::Failed { why: why.to_owned(), settled: !attended };
        if !attended {
            self.stop_for_undo(key, why);
        }
        Ok(())
    }
}

/// Whether an attempt that ended like this has left everything as it was. What a human did before
/// saying no is not known.
fn never_began(planned: &PlannedStep, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Skipped { .. } => true,
        Outcome::Failed(failure) => matches!(failure.kind, FailureKind::Unreachable | FailureKind::Input),
        Outcome::Interrupted => !planned.is_gate(),
        Outcome::Done | Outcome::Unknown { .. } => false,
    }
}

impl StepState {
    /// Takes it as undone, by somebody's word. Where its node may yet do so as well, that is settled first.
    pub(super) fn take_as_undone(&mut self) {
        if self.armed.is_some() {
            self.taken = Taken::ForUndone;
            self.undo = UndoStatus::Dangling;
        } else {
            self.undone();
        }
    }

    /// What was changed was taken back.
    pub(super) fn undone(&mut self) {
        self.undo = UndoStatus::Done;
        self.changed = false;
        self.changed_before = false;
        self.taken = Taken::ForNothing;
    }

    /// What was changed is as if it had never been.
    pub(super) fn forget_change(&mut self) {
        self.undo = UndoStatus::Nothing;
        self.changed = false;
    }
}
