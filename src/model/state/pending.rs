//! What waits for the operator: questions that were put, and gates that are not open yet.

use jiff::Timestamp;

use super::{RunState, StepStatus, UndoStatus};
use crate::model::event::Question;
use crate::model::plan::{StepKey, Work};
use crate::model::procedure::Action;

/// A question as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub question: Question,
    /// The record that put it.
    pub number: u64,
    /// When.
    pub at: Timestamp,
}

/// Something that an operator can say something to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What is asked, or will be.
    pub question: Question,
    /// The record that put it; of a gate that is closed the one with which it began.
    pub number: u64,
    /// Since when.
    pub since: Timestamp,
    /// Whether the question was put. A gate that is closed asks nothing yet.
    pub is_put: bool,
    /// Whether the cluster's name must be typed.
    pub is_typed: bool,
    /// Whether it is about the undo of the step: how that went wrong, or that a human is to do it.
    pub is_undo: bool,
}

impl RunState {
    /// Everything that waits, the longest first.
    pub fn pending(&self) -> Vec<Pending> {
        let is_standing = |asked: &&Asked| match &asked.question {
            question @ Question::Trouble { .. } => self.question.as_ref() == Some(question),
            question => self.waiting.contains(question.key()),
        };
        let put = self.asked.values().filter(is_standing).map(|asked| Pending {
            question: asked.question.clone(),
            number: asked.number,
            since: asked.at,
            is_put: true,
            is_typed: self.is_typed(asked.question.key()) && !self.is_being_undone(asked.question.key()),
            is_undo: self.asks_about_undo(asked.question.key()),
        });
        // One that was asked and does not wait has its answer, and is read once more.
        let closed = self.steps.iter().filter(|(key, step)| {
            step.status == StepStatus::Running && !self.asked.contains_key(*key) && self.is_gate(key)
        });
        let closed = closed.map(|(key, step)| Pending {
            question: Question::Gate { key: key.clone() },
            number: step.started_seq,
            since: step.started_at,
            is_put: false,
            is_typed: self.is_typed(key),
            is_undo: false,
        });
        let mut pending: Vec<Pending> = put.chain(closed).collect();
        pending.sort_by_key(|pending| pending.number);
        pending
    }

    /// Whether what is asked about a step is about its undo: how it ended, or that a human is to do it.
    pub fn asks_about_undo(&self, key: &StepKey) -> bool {
        let is_meant =
            matches!(&self.question, Some(Question::Trouble { key: asked, undo: true }) if asked == key);
        is_meant || self.is_being_undone(key)
    }

    fn is_being_undone(&self, key: &StepKey) -> bool {
        self.step(key).is_some_and(|step| step.undo == UndoStatus::Running)
    }

    /// Whether a step asks the operator.
    pub fn is_gate(&self, key: &StepKey) -> bool {
        self.plan.find(&key.step).is_some_and(|(_, step)| step.is_gate())
    }

    /// Whether passing it takes the cluster's name.
    fn is_typed(&self, key: &StepKey) -> bool {
        self.plan.find(&key.step).is_some_and(|(_, planned)| match &planned.work {
            Work::PassPoint { .. } => true,
            Work::Step(step) => matches!(&step.action, Action::Gate(gate) if gate.typed),
            _ => false,
        })
    }
}
