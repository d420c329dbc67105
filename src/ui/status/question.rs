//! The questions that wait for an answer, with the commands that answer them.

use jiff::Timestamp;

use super::super::approve;
use super::super::next::Next;
use super::{Circumstances, RunView};
use crate::model::name::NodeName;
use crate::model::state::RunState;

/// A question that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionView {
    /// The record that put it.
    pub number: u64,
    /// About which node.
    pub node: NodeName,
    /// About which step, in words.
    pub title: String,
    /// Since when.
    pub since: Timestamp,
    /// How it is answered.
    pub ways: Vec<Next>,
}

impl QuestionView {
    pub(super) fn all(state: &RunState, around: &Circumstances<'_>) -> Vec<Self> {
        let pending = state.pending().into_iter().filter(|one| around.at_work && one.is_put);
        pending
            .map(|one| Self {
                number: one.number,
                node: one.question.key().node.clone(),
                title: approve::title_of(state, &one),
                since: one.since,
                ways: approve::ways(state, &one, &around.program),
            })
            .collect()
    }

    /// In sentences: which, where, since when.
    pub(super) fn sentences(run: &RunView, time: impl Fn(Timestamp) -> String) -> Vec<String> {
        let sentence = |question: &Self| {
            let place =
                if question.node.is_operator() { String::new() } else { format!("{}: ", question.node) };
            format!("{place}{}, since {}", question.title, time(question.since))
        };
        run.questions.iter().map(sentence).collect()
    }
}
