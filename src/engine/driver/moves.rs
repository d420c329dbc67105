//! The scheduler's moves, made: what can be committed at once is, what takes a question to nodes first
//! is sent on an errand.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Driver, Errand, trouble};
use crate::engine::ahead::Part;
use crate::engine::desk::Message;
use crate::engine::worker::{self, Assignment, GateWord};
use crate::engine::{EngineError, recovery, scene, settling, watching};
use crate::journal::Journal;
use crate::model::event::{
    Decision, Event, Halt, How, Notice, Outcome, Question, Report, Stop, Turn, TurnEnd,
};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, StepKey};
use crate::model::procedure::Target;
use crate::model::schedule::{self, Move};
use crate::model::state::{StepStatus, UndoStatus};

impl<J: Journal> Driver<J> {
    /// Makes every move that the scheduler names now; whether any was made.
    pub(super) fn make_moves(&mut self) -> Result<bool, EngineError> {
        let mut made = false;
        for next in schedule::next(&self.state()) {
            made |= self.make(next)?;
        }
        Ok(made)
    }

    /// Makes one move. An errand under way is no new move.
    pub(super) fn make(&mut self, next: Move) -> Result<bool, EngineError> {
        match next {
            Move::OpenPhase { phase } => self.open_phase(phase)?,
            Move::FormBatch { phase } => return self.form_batch(phase),
            Move::Begin { key, attempt } => return self.begin(key, attempt),
            Move::Recover { key, undo } => return Ok(self.recover(key, undo)),
            Move::Settle { key, undo } => return Ok(self.settle(key, undo)),
            Move::Undo { key, attempt } => self.undo(key, attempt)?,
            Move::Ask(question) => self.ask_trouble(question)?,
            Move::EndTurn { turn, end } => return self.end_turn(turn, end),
            Move::EndPhase { phase } => self.commit(Event::PhaseEnded { phase })?,
            Move::Stop(stop) => self.commit(Event::StopRequested { stop })?,
            Move::Close(verdict) => self.commit(Event::RunClosed { verdict })?,
        }
        Ok(true)
    }

    pub(super) fn open_phase(&mut self, phase: usize) -> Result<(), EngineError> {
        let state = self.state();
        let skipped = match &state.plan.phases[phase].when {
            None => Ok(None),
            Some(when) => worker::holds(when, &state.vars_of(&NodeName::operator())),
        };
        match skipped {
            // What comes before the first batch is the phase's first turn.
            Ok(None) if !state.plan.phases[phase].before.is_empty() && self.is_held_up(phase)? => Ok(()),
            Ok(None) => self.commit(Event::PhaseStarted { phase }),
            Ok(Some(why)) => self.commit(Event::PhaseSkipped { phase, why }),
            Err(why) => {
                let why = format!("phase \"{}\": {why}", state.plan.phases[phase].name);
                self.commit(Event::StopRequested { stop: Stop { halt: Halt::Input, why, key: None } })
            }
        }
    }

    pub(super) fn form_batch(&mut self, phase: usize) -> Result<bool, EngineError> {
        let state = self.state();
        let Some(role) = state.plan.phases[phase].last.clone() else {
            self.commit_batch(phase, Vec::new())?;
            return Ok(true);
        };
        if !self.errands.insert(Errand::ReadLast(phase)) {
            return Ok(false);
        }
        let (site, desk) = (Arc::clone(&self.site), self.desk.clone());
        tokio::spawn(async move {
            let last = scene::holders(&site, &state, &role).await.map_err(|failure| failure.message);
            desk.send(Message::LastRead { phase, last });
        });
        Ok(false)
    }

    pub(super) fn commit_batch(&mut self, phase: usize, last: Vec<NodeName>) -> Result<(), EngineError> {
        if self.is_held_up(phase)? {
            return Ok(());
        }
        let state = self.state();
        let nodes = schedule::choose_batch(&state, phase, &last);
        let batch = state.phases[phase].batches;
        self.commit(Event::BatchFormed { phase, batch, nodes, last })
    }

    /// Finds the machine of a step, then begins it. Only a live role takes a question to nodes.
    pub(super) fn begin(&mut self, key: StepKey, attempt: u32) -> Result<bool, EngineError> {
        let state = self.state();
        let target = state
            .plan
            .find(&key.step)
            .and_then(|(_, planned)| planned.step().map(|step| step.on.clone()))
            .unwrap_or_default();
        if target == Target::Itself {
            self.start(key.clone(), attempt, vec![key.node])?;
            return Ok(true);
        }
        if !self.errands.insert(Errand::Place(key.clone())) {
            return Ok(false);
        }
        let (site, desk) = (Arc::clone(&self.site), self.desk.clone());
        tokio::spawn(async move {
            let on = scene::place(&site, &state, &key.node, &target).await;
            let on = on.map(|node| vec![node]).map_err(Outcome::Failed);
            desk.send(Message::Placed { key, attempt, on });
        });
        Ok(false)
    }

    /// Intent before effect: `StepStarted` is durable before anything is sent.
    pub(super) fn start(&mut self, key: StepKey, attempt: u32, on: Vec<NodeName>) -> Result<(), EngineError> {
        self.commit(Event::StepStarted { key: key.clone(), attempt, on: on.clone() })?;
        let (word, words) = mpsc::unbounded_channel();
        self.gates.insert(key.clone(), word);
        let part = self.ahead.part(&self.state(), &key);
        tokio::spawn(Assignment { part, ..self.assignment(key, attempt, on, words) }.perform());
        Ok(())
    }

    pub(super) fn undo(&mut self, key: StepKey, attempt: u32) -> Result<(), EngineError> {
        let on = self.state().step(&key).map(|step| step.on.clone()).unwrap_or_default();
        self.commit(Event::UndoStarted { key: key.clone(), attempt })?;
        let (_, words) = mpsc::unbounded_channel();
        tokio::spawn(worker::undo(self.assignment(key, attempt, on, words)));
        Ok(())
    }

    pub(super) fn assignment(
        &self,
        key: StepKey,
        attempt: u32,
        on: Vec<NodeName>,
        words: mpsc::UnboundedReceiver<GateWord>,
    ) -> Assignment {
        Assignment {
            site: Arc::clone(&self.site),
            desk: self.desk.clone(),
            state: self.state(),
            key,
            attempt,
            on,
            part: Part::Alone,
            stop: self.stop.subscribe(),
            words,
        }
    }

    /// A node whose turn is done is asked for its version once more: `status` shows what it runs.
    pub(super) fn end_turn(&mut self, turn: Turn, end: TurnEnd) -> Result<bool, EngineError> {
        let state = self.state();
        let has_version =
            state.plan.version.is_some() && state.plan.phases[turn.phase].kind == PhaseKind::Rolling;
        if end != TurnEnd::Done || !has_version || turn.node.is_operator() {
            self.commit(Event::TurnEnded { turn, end })?;
            return Ok(true);
        }
        if !self.errands.insert(Errand::ReadTurn(turn.clone())) {
            return Ok(false);
        }
        let (site, desk) = (Arc::clone(&self.site), self.desk.clone());
        tokio::spawn(async move {
            let read = watching::versions(&site, &state, std::slice::from_ref(&turn.node)).await;
            let version = read.into_iter().find_map(|(_, version)| version.ok());
            desk.send(Message::TurnRead { turn, end, version });
        });
        Ok(false)
    }

    pub(super) fn turn_read(
        &mut self,
        turn: Turn,
        end: TurnEnd,
        version: Option<String>,
    ) -> Result<(), EngineError> {
        if let Some(version) = version {
            self.commit(Event::VersionRead { node: turn.node.clone(), version })?;
        }
        // The run may have stopped meanwhile; the turn is done all the same.
        self.commit(Event::TurnEnded { turn, end })
    }

    /// Asks the node what became of a step that an earlier invocation began.
    pub(super) fn recover(&mut self, key: StepKey, undo: bool) -> bool {
        if !self.errands.insert(Errand::Recover(key.clone(), undo)) {
            return false;
        }
        let state = self.state();
        let (attempt, on) = match state.step(&key) {
            Some(step) if undo => (step.undo_attempts, step.on.clone()),
            Some(step) => (step.attempts, step.on.clone()),
            None => (0, Vec::new()),
        };
        let (_, words) = mpsc::unbounded_channel();
        let assignment = self.assignment(key.clone(), attempt, on, words);
        let desk = self.desk.clone();
        tokio::spawn(async move {
            let outcome = recovery::recover(&assignment, undo).await;
            desk.send(Message::Recovered { key, undo, outcome });
        });
        false
    }

    /// Finds out what became of a step that its node cannot tell the end of.
    pub(super) fn settle(&mut self, key: StepKey, undo: bool) -> bool {
        if !self.errands.insert(Errand::Settle(key.clone(), undo)) {
            return false;
        }
        let state = self.state();
        let (site, desk) = (Arc::clone(&self.site), self.desk.clone());
        tokio::spawn(async move {
            let event = Box::new(settling::settle(&site, &state, &key, undo).await);
            desk.send(Message::Settled { key, undo, event });
        });
        false
    }

    pub(super) fn settled(&mut self, key: &StepKey, undo: bool, event: Event) -> Result<(), EngineError> {
        if let Some(text) = settling::passed_over(&self.state(), key, undo, &event) {
            self.desk.notify(Notice::Said { node: Some(key.node.clone()), text });
        }
        self.commit(event)
    }

    pub(super) fn ask_trouble(&mut self, question: Question) -> Result<(), EngineError> {
        let inquiry = trouble::inquiry(&self.state(), &question);
        self.commit(Event::Asked { question })?;
        if self.screen_is_gone {
            return self.answered(&inquiry.question, Decision::No, How::Nobody, Vec::new());
        }
        self.desk.report(Report::Ask(Box::new(inquiry)));
        Ok(())
    }

    pub(super) fn placed(
        &mut self,
        key: StepKey,
        attempt: u32,
        on: Result<Vec<NodeName>, Outcome>,
    ) -> Result<(), EngineError> {
        // The run may have stopped meanwhile; then the step does not begin.
        let wanted = Move::Begin { key: key.clone(), attempt };
        if !schedule::next(&self.state()).contains(&wanted) {
            return Ok(());
        }
        match on {
            Ok(on) => self.start(key, attempt, on),
            Err(outcome) => {
                self.commit(Event::StepStarted { key: key.clone(), attempt, on: Vec::new() })?;
                self.commit(Event::StepEnded { key, attempt, outcome })
            }
        }
    }

    pub(super) fn last_read(
        &mut self,
        phase: usize,
        last: Result<Vec<NodeName>, String>,
    ) -> Result<(), EngineError> {
        if !schedule::next(&self.state()).contains(&Move::FormBatch { phase }) {
            return Ok(());
        }
        match last {
            Ok(last) => self.commit_batch(phase, last),
            Err(why) => {
                self.commit(Event::StopRequested { stop: Stop { halt: Halt::CheckFailed, why, key: None } })
            }
        }
    }

    pub(super) fn recovered(
        &mut self,
        key: StepKey,
        undo: bool,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        let state = self.state();
        let Some(step) = state.step(&key) else { return Ok(()) };
        if let Some(text) = settling::not_needed(&state, &key, undo, &outcome) {
            self.desk.notify(Notice::Said { node: Some(key.node.clone()), text });
        }
        if undo && step.undo == UndoStatus::Dangling {
            return self.commit(Event::UndoEnded { key, attempt: step.undo_attempts, outcome });
        }
        if !undo && step.status == StepStatus::Dangling {
            return self.commit(Event::StepEnded { key, attempt: step.attempts, outcome });
        }
        Ok(())
    }
}
