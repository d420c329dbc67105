//! The question about a step, or its undo, that went wrong.

use crate::model::event::{Goal, Inquiry, Question};
use crate::model::plan::{Section, StepKey};
use crate::model::state::{RunState, StepStatus, UndoStatus};

/// Puts it, with what may help; what the step said last stands on the screen just above.
pub(super) fn inquiry(state: &RunState, question: &Question) -> Inquiry {
    let key = question.key();
    let label = state.plan.find(&key.step).map_or("", |(_, step)| step.label.as_str());
    let is_undo = matches!(question, Question::Trouble { undo: true, .. });
    let text = if is_undo { why_not_undone(state, key, label) } else { what_happened(state, key, label) };
    Inquiry {
        question: question.clone(),
        text,
        consequence: String::new(),
        typed: None,
        readings: Vec::new(),
        can_roll_back: !is_undo && can_roll_back(state, key),
        is_unknown: state.unknown().contains(&(key.clone(), is_undo)),
    }
}

fn why_not_undone(state: &RunState, key: &StepKey, label: &str) -> String {
    let what = format!("the undo of \"{label}\" on {}", key.node);
    match state.step(key).map(|step| &step.undo) {
        Some(UndoStatus::Failed { why, .. }) => format!("{what} failed: {why}"),
        Some(UndoStatus::Unknown { why, .. }) => format!("nobody knows how {what} ended: {why}"),
        _ => what,
    }
}

fn what_happened(state: &RunState, key: &StepKey, label: &str) -> String {
    match state.step(key).map(|step| &step.status) {
        Some(StepStatus::Failed(failure)) => {
            let mut text = format!("\"{label}\" on {} failed: {}", key.node, failure.message);
            if let Some(help) = &failure.help {
                text.push_str("\nhelp: ");
                text.push_str(help);
            }
            text
        }
        Some(StepStatus::Unknown { why, .. }) => {
            format!("nobody knows how \"{label}\" on {} ended: {why}", key.node)
        }
        _ => format!("\"{label}\" on {}", key.node),
    }
}

/// Only what went wrong on the way forward, where there is a way back.
pub(super) fn can_roll_back(state: &RunState, key: &StepKey) -> bool {
    state.request.goal == Goal::Finished
        && state.plan.find(&key.step).is_some_and(|(phase, step)| {
            step.section != Section::Rollback && !state.plan.phases[phase].rollback.is_empty()
        })
}
