//! What another invocation finds: effects are remembered, checks are asked anew, and what an
//! earlier invocation left in the middle is said to be so.

use super::{PhaseStatus, RunState, StepStatus, TurnStatus, UndoStatus};
use crate::model::event::{Goal, Request, RunEnd, Turn};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, PlannedStep, StepKey, Work};
use crate::model::procedure::Scope;

impl RunState {
    pub(super) fn resume(&mut self, request: &Request) -> Result<(), String> {
        match (&self.end, &request.goal) {
            (Some(RunEnd::Unstaged), _) => return Err("the run is over: it was unstaged".to_owned()),
            (Some(RunEnd::Finished), Goal::Finished | Goal::Staged) => {
                return Err("the run is finished".to_owned());
            }
            _ => {}
        }
        self.request = request.clone();
        self.invocation += 1;
        self.stop = None;
        self.end = None;
        self.question = None;
        self.waiting.clear();
        self.settle_what_was_running();
        match &request.goal {
            Goal::Finished | Goal::Staged => {
                if request.goal == Goal::Staged {
                    self.stage_anew();
                }
                self.reopen_failed_turns();
                self.make_temporary_changes_again();
                self.ask_checks_anew();
            }
            Goal::RolledBack(turns) => {
                for turn in turns {
                    if let Some(state) = self.turns.get_mut(turn) {
                        state.status = TurnStatus::Returning;
                    }
                }
            }
            Goal::Unstaged => {}
        }
        Ok(())
    }

    /// `stage` again looks at every node again: a copy may have gone missing, and looking costs a
    /// round trip. What its steps ran is not run again.
    fn stage_anew(&mut self) {
        let Some(phase) = self.plan.phases.first().filter(|phase| phase.kind == PhaseKind::Staging) else {
            return;
        };
        for step in phase.steps.iter().filter(|step| step.work == Work::Stage) {
            for node in &phase.nodes {
                let turn = Turn { phase: 0, node: node.clone() };
                if let Some(step) = self.steps.get_mut(&turn.key(&step.id)) {
                    step.status = StepStatus::ToDo;
                    if let Some(turn) = self.turns.get_mut(&turn)
                        && turn.status == TurnStatus::Done
                    {
                        turn.status = TurnStatus::Active;
                    }
                }
            }
        }
        if self.phases[0].status == PhaseStatus::Done {
            self.phases[0].status = PhaseStatus::Active;
        }
    }

    fn settle_what_was_running(&mut self) {
        for (key, step) in &mut self.steps {
            let repeatable = self.plan.find(&key.step).is_some_and(|(_, planned)| planned.is_repeatable());
            match step.status {
                StepStatus::Running | StepStatus::Dangling if repeatable => step.status = StepStatus::ToDo,
                StepStatus::Running => step.status = StepStatus::Dangling,
                StepStatus::Failed(_) => step.status = StepStatus::ToDo,
                _ => {}
            }
            match step.undo {
                UndoStatus::Running => step.undo = UndoStatus::Dangling,
                UndoStatus::Failed { .. } => step.undo = UndoStatus::Due,
                _ => {}
            }
            step.spent = 0;
        }
    }

    fn reopen_failed_turns(&mut self) {
        for turn in self.turns.values_mut() {
            if matches!(turn.status, TurnStatus::Failed | TurnStatus::Returning) {
                turn.status = TurnStatus::Active;
            }
        }
    }

    /// A stop undid them, and what follows stands on them: they are made again, first.
    fn make_temporary_changes_again(&mut self) {
        let undone: Vec<StepKey> = self
            .steps
            .iter()
            .filter(|(_, step)| step.undo == UndoStatus::Done)
            .map(|(key, _)| key.clone())
            .collect();
        for key in undone {
            let Some((phase, planned)) = self.plan.find(&key.step) else { continue };
            let Some(scope) = planned.temporary() else { continue };
            let turn = Turn { phase, node: key.node.clone() };
            let scope_is_open = match scope {
                Scope::Node => self.turns.get(&turn).is_some_and(|turn| !turn.status.is_over()),
                Scope::Phase => self.phases[phase].status == PhaseStatus::Active,
                Scope::Run => true,
            };
            if !scope_is_open {
                continue;
            }
            if let Some(step) = self.steps.get_mut(&key) {
                step.status = StepStatus::ToDo;
            }
            if let Some(turn) = self.turns.get_mut(&turn)
                && turn.status == TurnStatus::Done
            {
                turn.status = TurnStatus::Active;
            }
            if self.phases[phase].status == PhaseStatus::Done {
                self.phases[phase].status = PhaseStatus::Active;
            }
        }
    }

    /// In every turn that goes on, the checks that guard an effect not yet begun are asked again
    /// (`TiUP`'s replay reuses stale ones, pingcap/tiup #2267).
    fn ask_checks_anew(&mut self) {
        let active: Vec<Turn> = self
            .turns
            .iter()
            .filter(|(_, state)| state.status == TurnStatus::Active)
            .map(|(turn, _)| turn.clone())
            .collect();
        for turn in active {
            let steps: Vec<(StepKey, bool)> =
                self.steps_of(&turn).iter().map(|step| (turn.key(&step.id), step.is_effect())).collect();
            let unsettled =
                |(key, _): &(StepKey, bool)| !self.steps.get(key).is_some_and(super::StepState::is_settled);
            let Some(first) = steps.iter().position(unsettled) else { continue };
            let guards = steps[..first].iter().rev().take_while(|(_, is_effect)| !is_effect).count();
            for (key, is_effect) in &steps[first - guards..] {
                if let Some(step) = self.steps.get_mut(key)
                    && !is_effect
                    && !self.points_passed.contains(key)
                {
                    step.status = StepStatus::ToDo;
                }
            }
        }
    }

    /// What a turn goes through on its way forward.
    pub fn steps_of(&self, turn: &Turn) -> &[PlannedStep] {
        let phase = &self.plan.phases[turn.phase];
        if turn.node == NodeName::operator() && phase.kind != PhaseKind::Single {
            &phase.before
        } else {
            &phase.steps
        }
    }
}
