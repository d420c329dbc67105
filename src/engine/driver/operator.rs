//! The operator's side of the loop: questions and answers, Ctrl-C and other signals, a screen that is gone.

use tokio::sync::oneshot;

use super::approving::is_open;
use super::{Driver, Standing};
use crate::engine::EngineError;
use crate::engine::signals::Arrived;
use crate::engine::worker::GateWord;
use crate::journal::Journal;
use crate::model::event::{
    Control, Decision, Event, Halt, How, Inquiry, Notice, Operator, Outcome, Question, Reading, Report,
    RunEnd, Stop,
};
use crate::model::plan::StepKey;
use crate::model::state::RunState;

impl<J: Journal> Driver<J> {
    /// A question of a worker. Where nobody can be asked the answer is no.
    pub(super) fn ask(
        &mut self,
        inquiry: Inquiry,
        answer: oneshot::Sender<(Decision, How)>,
    ) -> Result<(), EngineError> {
        let question = inquiry.question.clone();
        self.commit(Event::Asked { question: question.clone() })?;
        if self.ledger.state().request.attended && !self.screen_is_gone {
            let (typed, number) = (inquiry.typed.clone(), self.ledger.state().latest_seq);
            self.questions.insert(question.key().clone(), Standing { question, typed, number, answer });
            self.desk.report(Report::Ask(Box::new(inquiry)));
            return Ok(());
        }
        self.answered(&question, Decision::No, How::Nobody, inquiry.readings)?;
        drop(answer.send((Decision::No, How::Nobody)));
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        question: &Question,
        decision: Decision,
        how: How,
        readings: Vec<Reading>,
    ) -> Result<(), EngineError> {
        let by = self.ledger.state().request.by.clone();
        self.answered_by(question, decision, (how, by), readings)
    }

    pub(super) fn answered_by(
        &mut self,
        question: &Question,
        decision: Decision,
        (how, by): (How, Operator),
        readings: Vec<Reading>,
    ) -> Result<(), EngineError> {
        self.commit(Event::Answered { question: question.clone(), decision, how, by, readings })
    }

    pub(super) fn obey(&mut self, control: Option<Control>) -> Result<(), EngineError> {
        let Some(control) = control else {
            self.screen_is_gone = true;
            return self.request_stop(Halt::Interrupted, "the screen is gone");
        };
        self.at_choices = false;
        match control {
            Control::Answer { question, decision } => self.take_answer(&question, decision)?,
            Control::Open { key, reason } => self.tell_gate(&key, GateWord::Open { reason, from: None }),
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

    pub(super) fn take_answer(&mut self, question: &Question, decision: Decision) -> Result<(), EngineError> {
        let state = self.state();
        if state.question.as_ref() == Some(question) {
            return self.answered(question, decision, How::Terminal, Vec::new());
        }
        // An answer to a question that was withdrawn meanwhile, or is about to be, is void.
        if !is_open(&state, question) {
            return Ok(());
        }
        let Some(standing) = self.questions.remove(question.key()) else { return Ok(()) };
        self.answered(question, decision.clone(), How::Terminal, state.readings_of(question.key()))?;
        drop(standing.answer.send((decision, How::Terminal)));
        Ok(())
    }

    /// A step that ends takes its question with it. Whether to go on though a check stopped holding was still
    /// to be said, and no answer is a no; the question about a failure comes instead where it failed.
    pub(super) fn end_question(&mut self, key: &StepKey, outcome: &Outcome) -> Result<(), EngineError> {
        let Some(Standing { question, .. }) = self.questions.remove(key) else { return Ok(()) };
        self.desk.report(Report::Withdraw(question.clone()));
        if matches!(question, Question::Gate { .. }) || matches!(outcome, Outcome::Failed(_)) {
            return Ok(());
        }
        let readings = self.state().readings_of(key);
        self.answered(&question, Decision::No, How::Nobody, readings)
    }

    pub(super) fn tell_gate(&self, key: &StepKey, word: GateWord) {
        if let Some(gate) = self.gates.get(key) {
            drop(gate.send(word));
        }
    }

    pub(super) fn request_stop(&mut self, halt: Halt, why: &str) -> Result<(), EngineError> {
        // A run that stops already may stand at the question about an undo: whoever stops it again means that, too.
        if let Some(question) = self.ledger.state().question.clone() {
            self.desk.report(Report::Withdraw(question.clone()));
            // What is asked about has failed: a stop here is the answer no, and ends as that failure does.
            return self.answered(&question, Decision::No, How::Nobody, Vec::new());
        }
        if self.ledger.state().stop.is_some() {
            return Ok(());
        }
        self.commit(Event::StopRequested { stop: Stop { halt, why: why.to_owned(), key: None } })
    }

    /// Once: finish what runs, undo, stop. Ctrl-C or SIGTERM again: stop now. At a closed gate Ctrl-C
    /// offers the choices first.
    pub(super) fn signalled(&mut self, signal: Arrived) -> Result<Option<RunEnd>, EngineError> {
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
    if !state.request.attended
        || state.request.detached
        || !state.waiting.is_empty()
        || state.question.is_some()
    {
        return None;
    }
    let mut running = state.steps.iter().filter(|(_, step)| step.is_in_flight());
    let (key, _) = running.next()?;
    let is_gate = state.plan.find(&key.step).is_some_and(|(_, step)| step.is_gate());
    (running.next().is_none() && is_gate).then(|| key.clone())
}

pub(super) fn interrupted(signal: Arrived) -> Stop {
    Stop { halt: Halt::Interrupted, why: signal.words().to_owned(), key: None }
}
