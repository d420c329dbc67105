//! How a question is answered from elsewhere: the `rollgate approve` line that goes with it.

use crate::model::event::Question;
use crate::model::plan::StepKey;
use crate::model::state::{Pending, RunState};

use super::next::Next;
use super::run;

/// What a step is called in an answer: its name, else its key.
pub fn name_of(state: &RunState, key: &StepKey) -> String {
    let named = state.plan.find(&key.step).and_then(|(_, step)| step.gate_name());
    named.map_or_else(|| key.to_string(), ToString::to_string)
}

/// What is asked about, in words.
pub fn title_of(state: &RunState, pending: &Pending) -> String {
    let title = run::title_of(state, pending.question.key());
    if pending.is_undo { format!("the undo of {title}") } else { title }
}

/// The ways to answer a question, the one that goes on first. `program` is how this one was called.
pub fn ways(state: &RunState, pending: &Pending, program: &[&str]) -> Vec<Next> {
    let key = pending.question.key();
    let name = name_of(state, key);
    let mut base = [program, &["approve", &name]].concat();
    if !key.node.is_operator() && name != key.to_string() {
        base.extend(["--node", key.node.as_str()]);
    }
    let way = |words: &[&str], note: &str| Next::new(&[&base, words].concat(), note);
    let typed: &[&str] = if pending.is_typed { &["--confirm", state.plan.cluster.as_str()] } else { &[] };
    let unknown = |undo| state.unknown().contains(&(key.clone(), undo));
    match pending.question {
        Question::Trouble { undo, .. } if unknown(undo) => vec![
            way(&["--done", "--reason", "REASON"], "you know that it was done"),
            way(&["--retry"], "you know that it was not: do it again"),
            way(&["--deny"], "stop here"),
        ],
        Question::Trouble { .. } => vec![
            way(&["--retry"], "try it again"),
            way(&["--done", "--reason", "REASON"], "take it as done"),
            way(&["--deny"], "stop here"),
        ],
        _ if pending.is_undo => {
            vec![way(&[], "yes: it is undone"), way(&["--deny"], "no: it is not undone")]
        }
        _ if !pending.is_put => {
            vec![way(&[typed, &["--reason", "REASON"]].concat(), "open it though it is closed")]
        }
        _ => vec![way(typed, "yes: go on"), way(&["--deny"], "no: stop here")],
    }
}
