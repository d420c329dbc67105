//! What is said when the journal takes no more: the record that stands nowhere else, what is in force, what
//! still runs.

use super::context::Context;
use super::refusal::Refusal;
use crate::journal::JournalError;
use crate::model::procedure::Action;
use crate::model::state::{RunState, UndoStatus};
use crate::ui::ink::{Line, Tone};
use crate::ui::next::Next;
use crate::ui::{after, run, write};

/// Explains why an invocation ended without its journal. `state` is where the run stood at its last durable
/// record; `None` when there is none.
pub(super) fn refusal(context: &Context, error: JournalError, state: Option<&RunState>) -> Refusal {
    let Some(state) = state else {
        let again: Vec<&str> =
            std::iter::once("rollgate").chain(context.args.iter().map(String::as_str)).collect();
        return Refusal::from(error)
            .standing("the run did not begin, and no node was changed")
            .next(Next::new(&again, "again, once the journal can be written"));
    };
    if let JournalError::Lost { record, .. } = &error {
        show(context, record);
    }
    let mut refusal = Refusal::from(error);
    for change in after::outstanding(state) {
        refusal = refusal.evidence(format!("still in force: {change}"));
    }
    for effect in under_way(state) {
        refusal = refusal.evidence(format!("under way, and left to its own end: {effect}"));
    }
    let resume = after::resuming(state);
    refusal
        .standing("no new step begins, and nothing is undone until the journal can be written")
        .next(context.command(&resume, "go on, once the journal can be written"))
        .next(context.command(&["status"], "where it stands"))
}

/// Puts a record where the operator can keep it: whole, on a line of its own.
fn show(context: &Context, record: &str) {
    let face = &context.style.err;
    let line = Line::new(face).tone(Tone::Wait, "not recorded: ").text(record.trim_end());
    write::to_stderr(&format!("{}\n", line.paint(face)));
}

/// Steps, and undos, that a node is doing: `n1: upgrade "install"`.
fn under_way(state: &RunState) -> Vec<String> {
    let effects = state.steps.iter().filter(|(key, step)| {
        let planned = state.plan.find(&key.step).and_then(|(_, planned)| planned.step());
        let acts = planned.is_some_and(|planned| {
            matches!(planned.action, Action::Run(_) | Action::Reboot(_) | Action::Put(_) | Action::Get(_))
        });
        acts && step.is_in_flight()
    });
    effects
        .map(|(key, step)| {
            let undo = if step.undo == UndoStatus::Running { "undo of " } else { "" };
            format!("{}: {undo}{}", key.node, run::title_of(state, key))
        })
        .collect()
}
