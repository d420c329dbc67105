//! The one loop. Work, answers and signals come in one after the other; what follows from them is the
//! scheduler's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::desk::{Desk, Message};
use super::ledger::Ledger;
use super::pool::Changing;
use super::signals::{Arrived, Signals};
use super::site::Site;
use super::worker::{self, Assignment, GateWord};
use super::{EngineError, Screen};
use super::{opening, scene, watching};
use crate::journal::Journal;
use crate::model::event::{
    Control, Decision, Event, Failure, FailureKind, Goal, Halt, How, Inquiry, Notice, Outcome, Question,
    Report, RunEnd, Stop, Turn, TurnEnd,
};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, StepKey};
use crate::model::procedure::Target;
use crate::model::schedule::{self, Move};
use crate::model::state::{RunState, StepStatus, UndoStatus};

/// Work that must be done before the event it leads to can be committed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Errand {
    Place(StepKey),
    ReadLast(usize),
    Recover(StepKey, bool),
    ReadTurn(Turn),
}

/// Executes a run until its invocation ends.
pub async fn drive<J: Journal>(
    ledger: Ledger<J>,
    site: Arc<Site<Changing>>,
    screen: Screen,
    controls: mpsc::UnboundedReceiver<Control>,
    signals: Signals,
) -> Result<RunEnd, EngineError> {
    let (loop_, inbox) = mpsc::unbounded_channel();
    let (stop, _) = watch::channel(false);
    let mut driver = Driver {
        ledger,
        desk: Desk::new(loop_, screen),
        site,
        inbox,
        controls,
        signals,
        stop,
        errands: BTreeSet::new(),
        questions: BTreeMap::new(),
        gates: BTreeMap::new(),
        terminal: None,
        interrupts: 0,
        screen_is_gone: false,
        at_choices: false,
    };
    driver.open().await?;
    let end = driver.run().await;
    driver.site.pool.close().await;
    end
}

struct Driver<J> {
    ledger: Ledger<J>,
    desk: Desk,
    site: Arc<Site<Changing>>,
    inbox: mpsc::UnboundedReceiver<Message>,
    controls: mpsc::UnboundedReceiver<Control>,
    signals: Signals,
    stop: watch::Sender<bool>,
    errands: BTreeSet<Errand>,
    questions: BTreeMap<StepKey, oneshot::Sender<(Decision, How)>>,
    gates: BTreeMap<StepKey, mpsc::UnboundedSender<GateWord>>,
    terminal: Option<(StepKey, oneshot::Sender<()>)>,
    interrupts: u32,
    screen_is_gone: bool,
    at_choices: bool,
}

impl<J: Journal> Driver<J> {
    fn state(&self) -> Arc<RunState> {
        Arc::clone(self.ledger.state())
    }

    fn commit(&mut self, event: Event) -> Result<(), EngineError> {
        self.ledger.commit(event)?;
        if self.ledger.state().stop.is_some() {
            self.stop.send_replace(true);
        }
        Ok(())
    }

    /// What a first start rests on is read before its first step.
    async fn open(&mut self) -> Result<(), EngineError> {
        let state = self.state();
        let is_first = state.request.goal == Goal::Finished
            && !state.has_started()
            && state.pinned.is_empty()
            && state.versions.is_empty();
        if !is_first {
            return Ok(());
        }
        let found = tokio::select! {
            found = opening::open(&self.site, &state) => found,
            signal = self.signals.next() => Err(interrupted(signal)),
        };
        match found {
            Ok(events) => events.into_iter().try_for_each(|event| self.commit(event)),
            Err(stop) => self.commit(Event::StopRequested { stop }),
        }
    }

    async fn run(&mut self) -> Result<RunEnd, EngineError> {
        loop {
            while self.make_moves()? {}
            if let Some(end) = self.state().end.clone() {
                return Ok(end);
            }
            if !self.is_waiting_for_something() {
                return Err(EngineError::Stuck);
            }
            tokio::select! {
                Some(message) = self.inbox.recv() => self.hear(message)?,
                control = self.controls.recv(), if !self.screen_is_gone => self.obey(control)?,
                signal = self.signals.next() => {
                    if let Some(end) = self.signalled(signal)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn is_waiting_for_something(&self) -> bool {
        let state = self.ledger.state();
        state.is_busy() || state.question.is_some() || !self.errands.is_empty()
    }

    /// Makes every move that the scheduler names now; whether any was made.
    fn make_moves(&mut self) -> Result<bool, EngineError> {
        let mut made = false;
        for next in schedule::next(&self.state()) {
            made |= self.make(next)?;
        }
        Ok(made)
    }

    /// Makes one move. An errand under way is no new move.
    fn make(&mut self, next: Move) -> Result<bool, EngineError> {
        match next {
            Move::OpenPhase { phase } => self.open_phase(phase)?,
            Move::FormBatch { phase } => return self.form_batch(phase),
            Move::Begin { key, attempt } => return self.begin(key, attempt),
            Move::Recover { key, undo } => return Ok(self.recover(key, undo)),
            Move::Undo { key, attempt } => self.undo(key, attempt)?,
            Move::Ask(question) => self.ask_trouble(question)?,
            Move::EndTurn { turn, end } => return self.end_turn(turn, end),
            Move::EndPhase { phase } => self.commit(Event::PhaseEnded { phase })?,
            Move::Stop(stop) => self.commit(Event::StopRequested { stop })?,
            Move::Close(verdict) => self.commit(Event::RunClosed { verdict })?,
        }
        Ok(true)
    }

    fn open_phase(&mut self, phase: usize) -> Result<(), EngineError> {
        let state = self.state();
        let skipped = match &state.plan.phases[phase].when {
            None => Ok(None),
            Some(when) => worker::holds(when, &state.vars_of(&NodeName::operator())),
        };
        match skipped {
            Ok(None) => self.commit(Event::PhaseStarted { phase }),
            Ok(Some(why)) => self.commit(Event::PhaseSkipped { phase, why }),
            Err(why) => {
                let why = format!("phase \"{}\": {why}", state.plan.phases[phase].name);
                self.commit(Event::StopRequested { stop: Stop { halt: Halt::Input, why, key: None } })
            }
        }
    }

    fn form_batch(&mut self, phase: usize) -> Result<bool, EngineError> {
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

    fn commit_batch(&mut self, phase: usize, last: Vec<NodeName>) -> Result<(), EngineError> {
        let state = self.state();
        let nodes = schedule::choose_batch(&state, phase, &last);
        let batch = state.phases[phase].batches;
        self.commit(Event::BatchFormed { phase, batch, nodes, last })
    }

    /// Finds the machine of a step, then begins it. Only a live role takes a question to nodes.
    fn begin(&mut self, key: StepKey, attempt: u32) -> Result<bool, EngineError> {
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
    fn start(&mut self, key: StepKey, attempt: u32, on: Vec<NodeName>) -> Result<(), EngineError> {
        self.commit(Event::StepStarted { key: key.clone(), attempt, on: on.clone() })?;
        let (word, words) = mpsc::unbounded_channel();
        self.gates.insert(key.clone(), word);
        tokio::spawn(self.assignment(key, attempt, on, words).perform());
        Ok(())
    }

    fn undo(&mut self, key: StepKey, attempt: u32) -> Result<(), EngineError> {
        let on = self.state().step(&key).map(|step| step.on.clone()).unwrap_or_default();
        self.commit(Event::UndoStarted { key: key.clone(), attempt })?;
        let (_, words) = mpsc::unbounded_channel();
        tokio::spawn(worker::undo(self.assignment(key, attempt, on, words)));
        Ok(())
    }

    fn assignment(
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
            stop: self.stop.subscribe(),
            words,
        }
    }

    /// A node whose turn is done is asked for its version once more: `status` shows what it runs.
    fn end_turn(&mut self, turn: Turn, end: TurnEnd) -> Result<bool, EngineError> {
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

    fn turn_read(&mut self, turn: Turn, end: TurnEnd, version: Option<String>) -> Result<(), EngineError> {
        if let Some(version) = version {
            self.commit(Event::VersionRead { node: turn.node.clone(), version })?;
        }
        // The run may have stopped meanwhile; the turn is done all the same.
        self.commit(Event::TurnEnded { turn, end })
    }

    /// Asks the node what became of a step that an earlier invocation began.
    fn recover(&mut self, key: StepKey, undo: bool) -> bool {
        if !self.errands.insert(Errand::Recover(key.clone(), undo)) {
            return false;
        }
        let state = self.state();
        let (site, desk) = (Arc::clone(&self.site), self.desk.clone());
        tokio::spawn(async move {
            let outcome = super::recovery::recover(&site, &state, &key, undo).await;
            desk.send(Message::Recovered { key, undo, outcome });
        });
        false
    }

    fn ask_trouble(&mut self, question: Question) -> Result<(), EngineError> {
        let inquiry = trouble(&self.state(), &question);
        self.commit(Event::Asked { question })?;
        self.desk.report(Report::Ask(Box::new(inquiry)));
        Ok(())
    }

    fn hear(&mut self, message: Message) -> Result<(), EngineError> {
        match message {
            Message::Commit { event, durable } => {
                self.commit(*event)?;
                // A worker that no longer listens has been given up.
                let _ = durable.send(());
            }
            Message::Ask { inquiry, answer } => self.ask(*inquiry, answer)?,
            Message::Withdraw(question) => {
                if self.questions.remove(question.key()).is_some() {
                    self.desk.report(Report::Withdraw(question));
                }
            }
            Message::Ended { key, attempt, undo: false, outcome } => {
                self.gates.remove(&key);
                if let Some(answer) = self.questions.remove(&key) {
                    drop(answer);
                    self.desk.report(Report::Withdraw(Question::Gate { key: key.clone() }));
                }
                self.commit(Event::StepEnded { key, attempt, outcome })?;
            }
            Message::Ended { key, attempt, undo: true, outcome } => {
                self.commit(Event::UndoEnded { key, attempt, outcome })?;
            }
            Message::NeedTerminal { key, free } => {
                self.terminal = Some((key.clone(), free));
                self.desk.report(Report::Yield(key));
            }
            Message::Placed { key, attempt, on } => {
                self.errands.remove(&Errand::Place(key.clone()));
                self.placed(key, attempt, on)?;
            }
            Message::LastRead { phase, last } => {
                self.errands.remove(&Errand::ReadLast(phase));
                self.last_read(phase, last)?;
            }
            Message::TurnRead { turn, end, version } => {
                self.errands.remove(&Errand::ReadTurn(turn.clone()));
                self.turn_read(turn, end, version)?;
            }
            Message::Recovered { key, undo, outcome } => {
                self.errands.remove(&Errand::Recover(key.clone(), undo));
                self.recovered(key, undo, outcome)?;
            }
        }
        Ok(())
    }

    fn placed(
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

    fn last_read(&mut self, phase: usize, last: Result<Vec<NodeName>, String>) -> Result<(), EngineError> {
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

    fn recovered(&mut self, key: StepKey, undo: bool, outcome: Outcome) -> Result<(), EngineError> {
        let state = self.state();
        let Some(step) = state.step(&key) else { return Ok(()) };
        if undo && step.undo == UndoStatus::Dangling {
            return self.commit(Event::UndoEnded { key, attempt: step.undo_attempts, outcome });
        }
        if !undo && step.status == StepStatus::Dangling {
            return self.commit(Event::StepEnded { key, attempt: step.attempts, outcome });
        }
        Ok(())
    }

    /// A question of a worker. Where nobody can be asked the answer is no.
    fn ask(&mut self, inquiry: Inquiry, answer: oneshot::Sender<(Decision, How)>) -> Result<(), EngineError> {
        let question = inquiry.question.clone();
        self.commit(Event::Asked { question: question.clone() })?;
        if self.ledger.state().request.attended && !self.screen_is_gone {
            self.questions.insert(question.key().clone(), answer);
            self.desk.report(Report::Ask(Box::new(inquiry)));
            return Ok(());
        }
        self.answered(&question, Decision::No, How::Nobody, inquiry.readings)?;
        drop(answer.send((Decision::No, How::Nobody)));
        Ok(())
    }

    fn answered(
        &mut self,
        question: &Question,
        decision: Decision,
        how: How,
        readings: Vec<crate::model::event::Reading>,
    ) -> Result<(), EngineError> {
        let by = self.ledger.state().request.by.clone();
        self.commit(Event::Answered { question: question.clone(), decision, how, by, readings })
    }

    fn obey(&mut self, control: Option<Control>) -> Result<(), EngineError> {
        let Some(control) = control else {
            self.screen_is_gone = true;
            return self.request_stop(Halt::Interrupted, "the screen is gone");
        };
        self.at_choices = false;
        match control {
            Control::Answer { question, decision } => self.take_answer(&question, decision)?,
            Control::Open { key, reason } => self.tell_gate(&key, GateWord::Open { reason }),
            Control::ReadNow { key } => self.tell_gate(&key, GateWord::ReadNow),
            Control::Stop => self.request_stop(Halt::Interrupted, "stopped by the operator")?,
            Control::Yielded(key) => {
                if let Some((_, free)) = self.terminal.take_if(|(waiting, _)| *waiting == key) {
                    let _ = free.send(());
                }
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, question: &Question, decision: Decision) -> Result<(), EngineError> {
        let state = self.state();
        if state.question.as_ref() == Some(question) {
            return self.answered(question, decision, How::Terminal, Vec::new());
        }
        // An answer to a question that was withdrawn meanwhile is void.
        let Some(answer) = self.questions.remove(question.key()) else { return Ok(()) };
        let readings = state.step(question.key()).map(|step| step.readings.clone()).unwrap_or_default();
        self.answered(question, decision.clone(), How::Terminal, readings)?;
        drop(answer.send((decision, How::Terminal)));
        Ok(())
    }

    fn tell_gate(&self, key: &StepKey, word: GateWord) {
        if let Some(gate) = self.gates.get(key) {
            drop(gate.send(word));
        }
    }

    fn request_stop(&mut self, halt: Halt, why: &str) -> Result<(), EngineError> {
        if self.ledger.state().stop.is_some() {
            return Ok(());
        }
        if let Some(question) = self.ledger.state().question.clone() {
            self.desk.report(Report::Withdraw(question));
        }
        self.commit(Event::StopRequested { stop: Stop { halt, why: why.to_owned(), key: None } })
    }

    /// Once: finish what runs, undo, stop. Ctrl-C or SIGTERM again: stop now. At a closed gate Ctrl-C
    /// offers the choices first.
    fn signalled(&mut self, signal: Arrived) -> Result<Option<RunEnd>, EngineError> {
        let state = self.state();
        if signal == Arrived::Interrupt
            && state.stop.is_none()
            && !self.at_choices
            && let Some(key) = closed_gate(&state)
        {
            self.at_choices = true;
            self.desk.report(Report::Choices(key));
            return Ok(None);
        }
        if signal != Arrived::HangUp {
            self.interrupts += 1;
        }
        if self.interrupts >= 2 && state.is_busy() {
            let stop = Stop {
                halt: Halt::Killed,
                why: format!("{} a second time, inside a step", signal.words()),
                key: state.steps.iter().find(|(_, step)| step.is_in_flight()).map(|(key, _)| key.clone()),
            };
            let end = RunEnd::Stopped(stop);
            self.commit(Event::RunClosed { verdict: end.clone() })?;
            return Ok(Some(end));
        }
        self.request_stop(Halt::Interrupted, signal.words())?;
        let text = if state.is_busy() {
            format!(
                "{}: finishing what runs, then undoing what is temporary, then stopping; once more stops now",
                signal.words()
            )
        } else {
            format!("{}: stopping", signal.words())
        };
        self.desk.notify(Notice::Said { node: None, text });
        Ok(None)
    }
}

/// The gate that the run waits at, when it waits at nothing else and somebody is there.
fn closed_gate(state: &RunState) -> Option<StepKey> {
    if !state.request.attended || !state.waiting.is_empty() || state.question.is_some() {
        return None;
    }
    let mut running = state.steps.iter().filter(|(_, step)| step.is_in_flight());
    let (key, _) = running.next()?;
    let is_gate = state.plan.find(&key.step).is_some_and(|(_, step)| step.is_gate());
    (running.next().is_none() && is_gate).then(|| key.clone())
}

fn interrupted(signal: Arrived) -> Stop {
    Stop { halt: Halt::Interrupted, why: signal.words().to_owned(), key: None }
}

/// The question about a step, or its undo, that went wrong.
fn trouble(state: &RunState, question: &Question) -> Inquiry {
    let key = question.key();
    let label = state.plan.find(&key.step).map_or("", |(_, step)| step.label.as_str());
    let unknown = |why: &str| Failure {
        kind: FailureKind::Script,
        message: format!("nobody knows how it ended: {why}"),
        tail: Vec::new(),
        help: None,
    };
    let (what, failure) = match (question, state.step(key)) {
        (Question::Trouble { undo: true, .. }, Some(step)) => match &step.undo {
            UndoStatus::Failed { why, .. } => ("undo of ", unknown(why)),
            _ => ("undo of ", unknown("")),
        },
        (_, Some(step)) => match &step.status {
            StepStatus::Failed(failure) => ("", failure.clone()),
            StepStatus::Unknown { why } => ("", unknown(why)),
            _ => ("", unknown("")),
        },
        (_, None) => ("", unknown("")),
    };
    let message = match question {
        Question::Trouble { undo: true, .. } => {
            failure.message.trim_start_matches("nobody knows how it ended: ").to_owned()
        }
        _ => failure.message.clone(),
    };
    let mut text = format!("{what}\"{label}\" on {} failed: {message}", key.node);
    for line in &failure.tail {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if let Some(help) = &failure.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let can_roll_back = matches!(question, Question::Trouble { undo: false, .. })
        && state.request.goal == Goal::Finished
        && state.plan.find(&key.step).is_some_and(|(phase, step)| {
            step.section != crate::model::plan::Section::Rollback
                && !state.plan.phases[phase].rollback.is_empty()
        });
    Inquiry {
        question: question.clone(),
        text,
        consequence: String::new(),
        typed: None,
        readings: Vec::new(),
        can_roll_back,
    }
}
