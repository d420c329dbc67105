//! What another invocation finds: effects are remembered, checks are asked anew, and what an
//! earlier invocation left in the middle is said to be so.

use std::collections::BTreeSet;

use super::{ByNode, PhaseStatus, RunState, StepStatus, Taken, TurnStatus, UndoStatus};
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
            (_, Goal::Staged) if self.has_started() => return Err("the run is past its staging".to_owned()),
            _ => {}
        }
        self.request = request.clone();
        self.invocation += 1;
        self.stop = None;
        self.refused = None;
        self.end = None;
        self.question = None;
        self.waiting.clear();
        let undone = self.undone();
        self.settle_what_was_running();
        match &request.goal {
            Goal::Finished => self.go_forward(&undone),
            Goal::Staged => {
                self.stage_anew();
                self.go_forward(&undone);
            }
            Goal::RolledBack(turns) => {
                for turn in turns {
                    if self.turns.get(turn).is_some_and(|state| state.status != TurnStatus::RolledBack) {
                        self.begin_way_back(turn.phase, &turn.node)?;
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

    /// Steps whose undo has begun: what they changed is not to be relied on.
    fn undone(&self) -> BTreeSet<StepKey> {
        self.steps.iter().filter(|(_, step)| has_begun(&step.undo)).map(|(key, _)| key.clone()).collect()
    }

    fn settle_what_was_running(&mut self) {
        for (key, step) in &mut self.steps {
            let repeatable = self.plan.find(&key.step).is_some_and(|(_, planned)| planned.is_repeatable());
            match step.status {
                StepStatus::Running | StepStatus::Dangling | StepStatus::Unknown { .. } if repeatable => {
                    step.status = StepStatus::ToDo;
                }
                // However it ended, its undo has come after it.
                StepStatus::Unknown { .. } if has_begun(&step.undo) => step.status = StepStatus::ToDo,
                StepStatus::Running | StepStatus::Dangling if step.by_node != ByNode::Nothing => {
                    step.status = StepStatus::ToDo;
                    step.taken = Taken::ForNothing;
                }
                // Its node is asked again: it may be back.
                StepStatus::Running | StepStatus::Unknown { .. } => step.status = StepStatus::Dangling,
                StepStatus::Failed(_) => step.status = StepStatus::ToDo,
                _ => {}
            }
            match step.undo {
                // Its node's record says so already; nobody came to say that the undo has ended.
                UndoStatus::Running if step.by_node == ByNode::Undone => step.undone(),
                UndoStatus::Running | UndoStatus::Unknown { .. } => step.undo = UndoStatus::Dangling,
                UndoStatus::Failed { .. } => step.undo = UndoStatus::Due,
                _ => {}
            }
            step.spent = 0;
        }
    }

    fn go_forward(&mut self, undone: &BTreeSet<StepKey>) {
        let turns: Vec<Turn> = self.turns.keys().cloned().collect();
        for turn in &turns {
            if self.turns[turn].status == TurnStatus::Returning {
                self.abandon_way_back(turn, undone);
            }
        }
        for turn in self.turns.values_mut() {
            if matches!(turn.status, TurnStatus::Failed | TurnStatus::Returning) {
                turn.status = TurnStatus::Active;
            }
        }
        for phase in 0..self.phases.len() {
            if self.phases[phase].status == PhaseStatus::Done && self.has_work(phase) {
                self.phases[phase].status = PhaseStatus::Active;
            }
        }
        let active: Vec<Turn> =
            turns.into_iter().filter(|turn| self.turns[turn].status == TurnStatus::Active).collect();
        let again = self.make_temporary_changes_again(undone);
        for turn in active {
            self.ask_checks_anew(&turn, &again);
        }
    }

    /// What the way back took away is to be done again, and everything after it.
    fn abandon_way_back(&mut self, turn: &Turn, undone: &BTreeSet<StepKey>) {
        let changed = |step: &PlannedStep| self.step(&turn.key(&step.id)).is_some_and(|step| step.changed);
        let was_undone =
            |step: &PlannedStep| step.temporary().is_none() && undone.contains(&turn.key(&step.id));
        let steps = self.steps_of(turn);
        let first = if self.plan.phases[turn.phase].rollback.iter().any(changed) {
            Some(0)
        } else {
            steps.iter().position(was_undone)
        };
        let again: Vec<StepKey> =
            first.map_or(&[][..], |first| &steps[first..]).iter().map(|step| turn.key(&step.id)).collect();
        for key in again {
            if let Some(step) = self.steps.get_mut(&key)
                && step.is_settled()
            {
                step.status = StepStatus::ToDo;
            }
        }
    }

    /// Whether a phase that has begun has anything left to do but to end.
    fn has_work(&self, phase: usize) -> bool {
        let goes_on = |turn: &Turn| turn.phase == phase && self.goes_on(turn);
        self.turns.keys().any(goes_on) || !self.to_do(phase).is_empty()
    }

    fn goes_on(&self, turn: &Turn) -> bool {
        self.turns.get(turn).is_some_and(|state| state.status == TurnStatus::Active) && !self.is_through(turn)
    }

    fn scope_is_open(&self, scope: Scope, turn: &Turn) -> bool {
        match scope {
            Scope::Node => self.goes_on(turn),
            Scope::Phase => {
                self.phases[turn.phase].status == PhaseStatus::Active && self.has_work(turn.phase)
            }
            Scope::Run => (0..self.phases.len()).any(|phase| match self.phases[phase].status {
                PhaseStatus::Waiting => true,
                PhaseStatus::Active => self.has_work(phase),
                PhaseStatus::Done | PhaseStatus::Skipped => false,
            }),
        }
    }

    /// A stop undid them, and what follows stands on them: they are made again, first. Returns which.
    fn make_temporary_changes_again(&mut self, undone: &BTreeSet<StepKey>) -> BTreeSet<StepKey> {
        let is_wanted = |key: &&StepKey| {
            let Some((phase, planned)) = self.plan.find(&key.step) else { return false };
            let turn = Turn { phase, node: key.node.clone() };
            let was_kept = self
                .turns
                .get(&turn)
                .is_some_and(|turn| matches!(turn.status, TurnStatus::Active | TurnStatus::Done));
            was_kept && planned.temporary().is_some_and(|scope| self.scope_is_open(scope, &turn))
        };
        let again: BTreeSet<StepKey> = undone.iter().filter(is_wanted).cloned().collect();
        for key in &again {
            let Some((phase, _)) = self.plan.find(&key.step) else { continue };
            if let Some(step) = self.steps.get_mut(key)
                && step.is_settled()
            {
                step.status = StepStatus::ToDo;
            }
            if let Ok(turn) = self.turn_mut(phase, &key.node) {
                turn.status = TurnStatus::Active;
            }
            self.phases[phase].status = PhaseStatus::Active;
        }
        again
    }

    /// In a turn that goes on, the checks that guard an effect not yet begun are asked again (`TiUP`'s
    /// replay reuses stale ones, pingcap/tiup #2267). Those before a temporary change that is made
    /// again are not where what came after it is done: the node is not what they were written for.
    fn ask_checks_anew(&mut self, turn: &Turn, again: &BTreeSet<StepKey>) {
        let keys: Vec<StepKey> = self.steps_of(turn).iter().map(|step| turn.key(&step.id)).collect();
        for (number, key) in keys.iter().enumerate() {
            let is_to_begin = self.step(key).is_none_or(|step| step.status == StepStatus::ToDo);
            let is_past = again.contains(key)
                && keys[number + 1..].iter().any(|later| {
                    self.step(later).is_some_and(|step| step.changed && step.status != StepStatus::ToDo)
                });
            if is_to_begin && !is_past {
                self.ask_guards_anew(turn, key);
            }
        }
    }

    /// The checks right before a step of the way forward are asked again.
    pub(super) fn ask_guards_anew(&mut self, turn: &Turn, key: &StepKey) {
        let steps = self.steps_of(turn);
        let Some(number) = steps.iter().position(|step| step.id == key.step) else { return };
        let guards: Vec<StepKey> = steps[..number]
            .iter()
            .rev()
            .take_while(|step| !step.is_effect())
            .map(|step| turn.key(&step.id))
            .collect();
        for guard in guards {
            if !self.points_passed.contains(&guard)
                && let Some(step) = self.steps.get_mut(&guard)
                && step.is_settled()
            {
                step.status = StepStatus::ToDo;
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

/// Whether an undo was ever begun for the change as it was made last.
fn has_begun(undo: &UndoStatus) -> bool {
    !matches!(undo, UndoStatus::Nothing | UndoStatus::Due)
}
