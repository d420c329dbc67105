//! What stands above a prompt: the evidence, what a yes will do, the question itself.

use std::time::Duration;

use crate::model::event::{Inquiry, Question};
use crate::model::plan::StepKey;
use crate::model::state::RunState;

use super::block::{self, Passing, Waiting};
use super::dialog;
use super::gate::{self, GateState, GateView};
use super::ink::{Line, Tone, wrap};
use super::moment::Moment;
use super::run;
use super::terminal::Face;
use super::words;

/// A gate that waits, as it is now.
pub fn gate_now(
    face: &Face,
    moment: &Moment,
    state: &RunState,
    passing: &Passing,
    key: &StepKey,
) -> Vec<Line> {
    let flight = run::in_flight(state).into_iter().find(|flight| flight.key == *key);
    match (flight, passing.waiting.get(key)) {
        (Some(flight), Some(waiting)) => block::gate(face, moment, state, &flight, waiting),
        _ => Vec::new(),
    }
}

/// Everything above a prompt: the gate or the trouble, what a yes will do, the question itself.
pub fn lines(
    face: &Face,
    moment: &Moment,
    state: &RunState,
    passing: &Passing,
    inquiry: &Inquiry,
) -> Vec<Line> {
    let key = inquiry.question.key();
    let empty = Waiting::default();
    let waiting = passing.waiting.get(key).unwrap_or(&empty);
    let turn = run::turn_of(state, key);
    let title = run::title_of(state, key);
    let mut lines = match inquiry.question {
        Question::Gate { .. } | Question::During { .. } => GateView {
            place: turn.as_ref().and_then(|turn| run::place(state, turn)),
            node: &key.node,
            title: &title,
            state: if matches!(inquiry.question, Question::During { .. }) {
                GateState::Running
            } else if !waiting.watch.all_hold() {
                GateState::Closed
            } else if waiting.watch.readings().is_empty() {
                GateState::Asked
            } else {
                let after = (waiting.waited > Duration::ZERO).then_some(waiting.waited);
                GateState::Open { after }
            },
            watch: &waiting.watch,
            so_far: &turn.map(|turn| run::so_far(state, &turn)).unwrap_or_default(),
        }
        .lines(face, moment),
        Question::Trouble { .. } => {
            let head = if key.node.is_operator() { title } else { format!("{}   {title}", key.node) };
            let mut lines = vec![Line::new(face).tone(Tone::Bad, &head).fit(face)];
            lines.extend(gate::reading_lines(face, &waiting.watch, &key.node));
            let facts = stands(state, key);
            if !facts.is_empty() {
                lines.extend(wrap(face, Line::of(face, "  "), Tone::Dim, &facts));
            }
            lines
        }
    };
    if !inquiry.consequence.is_empty() {
        let head = Line::of(face, "  ").tone(Tone::Strong, "yes will: ");
        lines.extend(wrap(face, head, Tone::Text, &inquiry.consequence));
    }
    for part in dialog::split(inquiry).0.lines() {
        lines.extend(wrap(face, Line::new(face), Tone::Strong, part));
    }
    lines
}

/// In which state trouble has left a node: `mq-03 has been changed; still in force: drain "stop the receiver"`.
fn stands(state: &RunState, key: &StepKey) -> String {
    let mut facts: Vec<String> =
        run::turn_of(state, key).map(|turn| run::so_far(state, &turn)).into_iter().collect();
    let in_force: Vec<String> = state
        .outstanding()
        .into_iter()
        .filter(|held| held.node == key.node)
        .map(|held| run::title_of(state, held))
        .collect();
    if !in_force.is_empty() {
        facts.push(format!("still in force: {}", words::list(&in_force)));
    }
    facts.retain(|fact| !fact.is_empty());
    facts.join("; ")
}
