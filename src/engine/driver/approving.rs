//! Answers that come from other processes. Each names the question that it is meant for, and counts for no other.

use super::{Driver, trouble};
use crate::engine::EngineError;
use crate::engine::callers::Call;
use crate::engine::worker::GateWord;
use crate::journal::Journal;
use crate::model::event::{Approval, Decision, Event, Halt, How, Question, Reception, Stop};
use crate::model::plan::StepKey;
use crate::model::state::{RunState, StepStatus};

/// What an answer is about, once it is known to fit.
enum Aim {
    /// A question that holds up one step.
    Standing,
    /// The question that holds up everything.
    Trouble(Question),
    /// A gate, whatever it reads.
    Gate(String),
    /// A gate that asks nothing yet: the run is to stop.
    Refusal,
}

impl<J: Journal> Driver<J> {
    /// Takes an answer, and tells whoever gave it whether it counts.
    pub(super) fn take_call(&mut self, call: Call) -> Result<(), EngineError> {
        let after = self.ledger.state().latest_seq;
        let reception = match self.aim(&call.approval) {
            Ok(aim) => {
                self.carry_out(aim, call.approval)?;
                Reception::Taken { after }
            }
            Err(reception) => reception,
        };
        // Whoever has gone away meanwhile finds it in the journal.
        drop(call.reply.send(reception));
        Ok(())
    }

    fn carry_out(&mut self, aim: Aim, approval: Approval) -> Result<(), EngineError> {
        let Approval { key, decision, by, .. } = approval;
        let state = self.state();
        match aim {
            Aim::Trouble(question) => self.answered_by(&question, decision, (How::Approved, by), Vec::new()),
            Aim::Standing => {
                let Some(standing) = self.questions.remove(&key) else { return Ok(()) };
                let readings = state.readings_of(&key);
                self.answered_by(&standing.question, decision.clone(), (How::Approved, by), readings)?;
                drop(standing.answer.send((decision, How::Approved)));
                Ok(())
            }
            Aim::Gate(reason) => {
                self.tell_gate(&key, GateWord::Open { reason, from: Some(by) });
                Ok(())
            }
            Aim::Refusal => {
                let label = state.plan.find(&key.step).map_or("", |(_, step)| step.label.as_str());
                let why = format!("{}: {label}: no, by {} with approve", key.node, by.user);
                let stop = Stop { halt: Halt::NoAnswer, why, key: Some(key) };
                self.commit(Event::StopRequested { stop })
            }
        }
    }

    /// What an answer is about, or why it is none.
    fn aim(&self, approval: &Approval) -> Result<Aim, Reception> {
        let Approval { number, key, decision, typed, .. } = approval;
        let state = self.ledger.state();
        // A run that stops still asks about what is temporary and could not be undone.
        if state.stop.is_some() && !state.asks_about_undo(key) {
            return Err(Reception::Late);
        }
        let standing = self.questions.get(key).filter(|standing| is_open(state, &standing.question));
        let cluster = state.plan.cluster.as_str();
        let is_gate = state.is_gate(key) && state.step(key).is_some_and(|s| s.status == StepStatus::Running);
        let wants_word = state.pending().iter().any(|one| one.question.key() == key && one.is_typed);
        let positive = *decision != Decision::No;
        if is_gate && positive && wants_word && typed.as_deref() != Some(cluster) {
            return Err(Reception::Unfit {
                why: format!("it takes the cluster's name: --confirm {cluster}"),
            });
        }
        if let Decision::Override { reason } = decision {
            let is_same = is_gate && state.step(key).is_some_and(|step| step.started_seq == *number);
            return if is_same { Ok(Aim::Gate(reason.clone())) } else { Err(Reception::Late) };
        }
        if let Some(standing) = standing {
            let is_meant = standing.number == *number;
            let fits = matches!(decision, Decision::Yes | Decision::No);
            let has_word = !positive || standing.typed.is_none() || standing.typed == *typed;
            return match (is_meant, fits && has_word) {
                (true, true) => Ok(Aim::Standing),
                (true, false) => {
                    Err(Reception::Unfit { why: "this question is answered yes or no".to_owned() })
                }
                (false, _) => Err(Reception::Late),
            };
        }
        let asked = state.asked.get(key).filter(|asked| asked.number == *number);
        if let Some(asked) = asked.filter(|asked| state.question.as_ref() == Some(&asked.question)) {
            return if fits_trouble(state, &asked.question, decision) {
                Ok(Aim::Trouble(asked.question.clone()))
            } else {
                Err(Reception::Unfit { why: "that is no way out of this failure".to_owned() })
            };
        }
        let is_closed = is_gate && state.step(key).is_some_and(|step| step.started_seq == *number);
        if is_closed && !positive { Ok(Aim::Refusal) } else { Err(Reception::Late) }
    }
}

/// Whether a worker's question waits still. A gate that has just closed takes its question back in a moment, and
/// a yes until then would be taken and void.
pub(super) fn is_open(state: &RunState, question: &Question) -> bool {
    !matches!(question, Question::Gate { key } if !state.waiting.contains(key))
}

/// Whether an answer is one of those that a terminal would offer about a failure.
fn fits_trouble(state: &RunState, question: &Question, decision: &Decision) -> bool {
    let Question::Trouble { key, undo } = question else { return false };
    let has_turn = |key: &StepKey| !*undo && !key.node.is_operator();
    match decision {
        Decision::Retry | Decision::MarkDone { .. } | Decision::No => true,
        Decision::SkipNode { .. } => has_turn(key),
        Decision::RollBack => !*undo && trouble::can_roll_back(state, key),
        Decision::Yes | Decision::Override { .. } => false,
    }
}
