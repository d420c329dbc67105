//! What a bad outcome leads to: a question, a stop, or a node less.

use super::{ByNode, RunState, StepStatus, Taken, TurnStatus, UndoStatus};
use crate::model::condition::Verdict;
use crate::model::event::{Decision, FailureKind, Goal, Halt, Outcome, Question, Reading, Stop, Turn};
use crate::model::plan::{PhaseKind, PlannedStep, Section, StepKey, Work};

impl RunState {
    /// Decides whether a bad outcome stops the run here and now. At a terminal the operator is asked
    /// instead, but for an answer already given.
    pub(super) fn judge(&mut self, key: &StepKey, phase: usize, planned: &PlannedStep, outcome: &Outcome) {
        let (kind, why) = match outcome {
            Outcome::Failed(failure) => (Some(failure.kind), failure.message.clone()),
            Outcome::Unknown { why, .. } => (None, why.clone()),
            _ => return,
        };
        // What can still be settled is no trouble yet.
        if kind.is_none() && self.may_be_settled(key, false) {
            return;
        }
        let answered = matches!(kind, Some(FailureKind::GateClosed | FailureKind::NoAnswer));
        // On the way back, what went wrong on the way forward is no news.
        let is_forward = matches!(self.request.goal, Goal::Finished | Goal::Staged);
        if !is_forward && planned.section != Section::Rollback {
            return;
        }
        // Where the run stops already there is neither another attempt nor a question.
        let goes_on = self.stop.is_none() && !answered;
        let budget_left = kind.is_some() && self.steps[key].spent <= planned.retries();
        if goes_on && (budget_left || self.request.attended) {
            return;
        }
        if answered || !self.tolerates(key, phase, planned) {
            self.request_stop(self.stop_of(key, planned, outcome, &why));
        }
    }

    /// Whether the phase goes on without the node of a step that failed.
    pub(in crate::model) fn tolerates(&self, key: &StepKey, phase: usize, planned: &PlannedStep) -> bool {
        let has_failed = self.step(key).is_some_and(|step| matches!(step.status, StepStatus::Failed(_)));
        let phase_state = &self.plan.phases[phase];
        has_failed
            && planned.section != Section::Rollback
            && phase_state.kind == PhaseKind::Rolling
            && !key.node.is_operator()
            && self.failures(phase) <= phase_state.max_failures
    }

    /// The stop that a step in trouble means when nobody can be asked about it.
    pub(in crate::model) fn stop_for(&self, key: &StepKey) -> Option<Stop> {
        let (_, planned) = self.plan.find(&key.step)?;
        let outcome = self.step(key)?.status.bad_outcome()?;
        let why = match &outcome {
            Outcome::Failed(failure) => failure.message.clone(),
            Outcome::Unknown { why, .. } => why.clone(),
            _ => String::new(),
        };
        Some(self.stop_of(key, planned, &outcome, &why))
    }

    fn stop_of(&self, key: &StepKey, planned: &PlannedStep, outcome: &Outcome, why: &str) -> Stop {
        let turn = self.plan.find(&key.step).map(|(phase, _)| Turn { phase, node: key.node.clone() });
        let begun = planned.is_effect() || turn.is_some_and(|turn| self.has_changed(&turn));
        let why = format!("{}: {}: {why}", key.node, planned.label);
        Stop { halt: halt_of(planned, begun, outcome), why, key: Some(key.clone()) }
    }

    /// How many nodes of a phase have failed, counting those that are in trouble now.
    fn failures(&self, phase: usize) -> usize {
        self.turns
            .iter()
            .filter(|(turn, state)| {
                turn.phase == phase
                    && (state.status == TurnStatus::Failed
                        || state.status == TurnStatus::Active && self.trouble(turn).is_some())
            })
            .count()
    }

    pub(super) fn stop_for_undo(&mut self, key: &StepKey, why: &str) {
        let rolling_back = matches!(self.request.goal, Goal::RolledBack(_));
        let halt = if rolling_back { Halt::RollbackFailed } else { Halt::UndoFailed };
        let label = self.plan.find(&key.step).map_or("", |(_, step)| step.label.as_str());
        let why = format!("{}: undo of \"{label}\": {why}", key.node);
        self.request_stop(Stop { halt, why, key: Some(key.clone()) });
    }

    pub(super) fn ask(&mut self, question: &Question) -> Result<(), String> {
        match question {
            Question::Trouble { .. } if self.question.is_some() => {
                return Err("another question is open".to_owned());
            }
            Question::Trouble { key, undo } => {
                let step = self.step_mut(key)?;
                let in_trouble = if *undo {
                    matches!(step.undo, UndoStatus::Failed { .. } | UndoStatus::Unknown { .. })
                } else {
                    step.status.bad_outcome().is_some()
                };
                if !in_trouble {
                    return Err(format!("{key} is in no trouble"));
                }
                self.question = Some(question.clone());
            }
            Question::Gate { key } | Question::During { key } => {
                if !self.step_mut(key)?.is_in_flight() {
                    return Err(format!("{key} is not running"));
                }
                self.waiting.insert(key.clone());
            }
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        question: &Question,
        decision: &Decision,
        readings: &[Reading],
    ) -> Result<(), String> {
        match question {
            Question::Gate { key } => {
                self.waiting.remove(key);
            }
            Question::During { key } => {
                self.waiting.remove(key);
                if *decision == Decision::No {
                    let (_, planned) = self.planned(key)?;
                    let why = format!("{}: {}: {}", key.node, planned.label, no_longer(readings));
                    self.request_stop(Stop { halt: Halt::NoAnswer, why, key: Some(key.clone()) });
                }
            }
            Question::Trouble { .. } if self.question.as_ref() != Some(question) => {
                return Err("nobody asked".to_owned());
            }
            Question::Trouble { key, undo } => {
                self.question = None;
                if *undo { self.answer_undo(key, decision)? } else { self.answer_step(key, decision)? }
            }
        }
        Ok(())
    }

    fn answer_undo(&mut self, key: &StepKey, decision: &Decision) -> Result<(), String> {
        let step = self.step_mut(key)?;
        let (UndoStatus::Failed { why, settled } | UndoStatus::Unknown { why, settled, .. }) = &mut step.undo
        else {
            return Err(format!("the undo of {key} is in no trouble"));
        };
        match decision {
            Decision::Retry => step.undo = UndoStatus::Due,
            Decision::MarkDone { .. } => step.take_as_undone(),
            _ => {
                *settled = true;
                let why = why.clone();
                self.stop_for_undo(key, &why);
            }
        }
        Ok(())
    }

    fn answer_step(&mut self, key: &StepKey, decision: &Decision) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        let turn = Turn { phase, node: key.node.clone() };
        let meant = self.stop_for(key).ok_or_else(|| format!("{key} is in no trouble"))?;
        let step = self.step_mut(key)?;
        match decision {
            Decision::Retry => {
                let was_unknown = matches!(step.status, StepStatus::Unknown { .. });
                step.status = StepStatus::ToDo;
                step.spent = 0;
                if was_unknown {
                    self.ask_guards_anew(&turn, key);
                }
            }
            Decision::MarkDone { .. } => self.mark_done(key, &planned)?,
            // The questions before a phase belong to no node that could be left out.
            Decision::SkipNode { reason } if planned.section != Section::Before => {
                let reason = reason.clone();
                self.turn_mut(phase, &key.node)?.status = TurnStatus::Leaving { reason };
            }
            Decision::RollBack if planned.section == Section::Rollback => {
                return Err(format!("{} is on its way back already", key.node));
            }
            Decision::RollBack => self.begin_way_back(phase, &key.node)?,
            Decision::SkipNode { .. } | Decision::Yes | Decision::No | Decision::Override { .. } => {
                self.request_stop(meant);
            }
        }
        Ok(())
    }

    /// Takes a step as done. Whoever did it has made the change that the step stands for. What its node may yet undo
    /// is not done by anybody's word: the node is asked first.
    pub(super) fn mark_done(&mut self, key: &StepKey, planned: &PlannedStep) -> Result<(), String> {
        let step = self.step_mut(key)?;
        (step.status, step.taken) = match step.armed {
            Some(_) => (StepStatus::Dangling, Taken::ForDone),
            None => (StepStatus::Done, Taken::ForNothing),
        };
        step.by_node = ByNode::Nothing;
        step.changed |= planned.changes_something();
        if planned.has_undo() {
            step.undo = UndoStatus::Due;
        }
        if matches!(planned.work, Work::PassPoint { .. }) {
            self.points_passed.insert(key.clone());
        }
        Ok(())
    }

    /// Several reasons to stop: the gravest one counts.
    pub(super) fn request_stop(&mut self, stop: Stop) {
        self.question = None;
        if self.stop.as_ref().is_none_or(|present| present.halt < stop.halt) {
            self.stop = Some(stop);
        }
    }
}

impl StepStatus {
    /// The outcome that the step came to, where it was a bad one.
    pub(super) fn bad_outcome(&self) -> Option<Outcome> {
        match self {
            Self::Failed(failure) => Some(Outcome::Failed(failure.clone())),
            Self::Unknown { why, rebooted, .. } => {
                Some(Outcome::Unknown { why: why.clone(), rebooted: *rebooted })
            }
            _ => None,
        }
    }
}

/// What stopped holding while a step ran, in words.
fn no_longer(readings: &[Reading]) -> String {
    let fallen: Vec<String> = readings
        .iter()
        .filter_map(|reading| match &reading.verdict {
            Verdict::Holds => None,
            Verdict::DoesNotHold { why } => Some(format!("{} on {}: {why}", reading.check, reading.node)),
            Verdict::Unreadable { why } => {
                Some(format!("{} on {}: unreadable: {why}", reading.check, reading.node))
            }
        })
        .collect();
    format!("stopped holding while it ran: {}", fallen.join("; "))
}

/// The class of a bad outcome, by where it happened (`product.md` §7). A node that was touched and
/// is out of service outranks the reason why. A single phase has no sections: there `begun` says whether the
/// check comes before any change, as a pre-check would, or judges one.
fn halt_of(step: &PlannedStep, begun: bool, outcome: &Outcome) -> Halt {
    let Outcome::Failed(failure) = outcome else { return Halt::Unknown };
    if step.work == Work::Unstage {
        return if failure.kind == FailureKind::Unreachable { Halt::Unreachable } else { Halt::CheckFailed };
    }
    if matches!(step.work, Work::WayIn(_)) && step.section.is_before_the_change() {
        return if failure.kind == FailureKind::Unreachable { Halt::Unreachable } else { Halt::CheckFailed };
    }
    match (step.section, failure.kind) {
        (_, FailureKind::GateClosed) => Halt::GateClosed,
        (_, FailureKind::NoAnswer) => Halt::NoAnswer,
        (Section::Rollback, _) => Halt::RollbackFailed,
        (_, FailureKind::UnknownState) => Halt::Unknown,
        (Section::Upgrade, _) => Halt::UpgradeFailed,
        (Section::Verify | Section::Undrain | Section::Soak, _) => Halt::VerifyFailed,
        (_, FailureKind::Unreachable) => Halt::Unreachable,
        (_, FailureKind::Local) => Halt::Local,
        (Section::Drain, _) => Halt::DrainFailed,
        (Section::Steps, _) if begun => Halt::UpgradeFailed,
        (_, FailureKind::Input) => Halt::Input,
        (Section::Stage | Section::Before | Section::Precheck | Section::Steps, _) => Halt::CheckFailed,
    }
}
