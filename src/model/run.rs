//! What a screen or a report says of a run's state: what is in flight, how far it is, what was done so far.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::event::Turn;
use super::name::NodeName;
use super::pace::Left;
use super::plan::{PhaseKind, PlannedPhase, PlannedStep, Section, StepKey, Work};
use super::procedure::Action;
use super::state::{PhaseStatus, RunState, StepState, TurnStatus, UndoStatus};

use super::words;

/// Nodes that are named one by one in a sentence.
const NAMED: usize = 4;

/// Something that somebody follows right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Flight {
    /// Which step.
    pub key: StepKey,
    /// `drain "stop the receiver"`, or the undo of it.
    pub title: String,
    /// When it began; not known of an undo.
    pub started: Option<Timestamp>,
    /// How long it may take.
    pub limit: Duration,
    /// From 1.
    pub attempt: u32,
}

/// Everything in flight, in the order of the nodes' names.
pub fn in_flight(state: &RunState) -> Vec<Flight> {
    state.steps.iter().filter_map(|(key, step)| flight(state, key, step)).collect()
}

/// What is in flight in the turns of one node.
pub fn in_flight_of(state: &RunState, node: &NodeName) -> Vec<Flight> {
    state.steps_in_turns_of(node).filter_map(|(key, step)| flight(state, key, step)).collect()
}

fn flight(state: &RunState, key: &StepKey, step: &StepState) -> Option<Flight> {
    if !step.is_in_flight() {
        return None;
    }
    let (_, planned) = state.plan.find(&key.step)?;
    let undo = step.undo == UndoStatus::Running;
    Some(Flight {
        key: key.clone(),
        title: if undo { format!("undo of {}", title(planned)) } else { title(planned) },
        started: (!undo).then_some(step.started_at),
        limit: planned.timeout(),
        attempt: if undo { step.undo_attempts } else { step.attempts },
    })
}

/// A step in words: `gate "isolated"`, `upgrade "install"`.
pub fn title(step: &PlannedStep) -> String {
    let what = match &step.work {
        Work::PassPoint { .. } => "point of no return".to_owned(),
        Work::Invariants => "invariants".to_owned(),
        Work::Unstage => "unstage".to_owned(),
        Work::WayIn(_) => "way in".to_owned(),
        Work::Step(inner) => match inner.action {
            Action::Gate(_) => "gate".to_owned(),
            Action::Manual(_) => "by hand".to_owned(),
            _ => step.section.to_string(),
        },
        _ => step.section.to_string(),
    };
    if step.label.starts_with(&what) { step.label.clone() } else { format!("{what} \"{}\"", step.label) }
}

/// A step in words, by its key.
pub fn title_of(state: &RunState, key: &StepKey) -> String {
    state.plan.find(&key.step).map_or_else(|| key.step.to_string(), |(_, step)| title(step))
}

/// The turn that a step belongs to.
pub fn turn_of(state: &RunState, key: &StepKey) -> Option<Turn> {
    state.plan.find(&key.step).map(|(phase, _)| Turn { phase, node: key.node.clone() })
}

/// How many nodes are done, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Done.
    pub done: usize,
    /// In all.
    pub total: usize,
}

/// The nodes that any rolling phase takes; without such a phase those that are staged.
pub fn nodes_of(state: &RunState) -> Vec<&NodeName> {
    let of = |kind: PhaseKind| -> BTreeSet<&NodeName> {
        state.plan.phases.iter().filter(|phase| phase.kind == kind).flat_map(|phase| &phase.nodes).collect()
    };
    let rolling = of(PhaseKind::Rolling);
    let chosen = if rolling.is_empty() { of(PhaseKind::Staging) } else { rolling };
    state.plan.nodes.iter().map(|node| &node.name).filter(|name| chosen.contains(name)).collect()
}

/// How far the whole run is.
pub fn tally(state: &RunState) -> Tally {
    let nodes = nodes_of(state);
    Tally { done: nodes.iter().filter(|node| is_done(state, node)).count(), total: nodes.len() }
}

/// How far the whole run is, in words: so many nodes, or where no node takes part so many phases.
pub fn extent(state: &RunState) -> String {
    let tally = tally(state);
    if tally.total > 0 {
        return format!("{} of {}", tally.done, words::count(tally.total, "node"));
    }
    let is_over = |status: PhaseStatus| matches!(status, PhaseStatus::Done | PhaseStatus::Skipped);
    let done = state.phases.iter().filter(|phase| is_over(phase.status)).count();
    format!("{done} of {}", words::count(state.phases.len(), "phase"))
}

/// Whether a node has every phase behind it that takes it.
pub fn is_done(state: &RunState, node: &NodeName) -> bool {
    let mut any = false;
    for (number, phase) in state.plan.phases.iter().enumerate() {
        if phase.kind != PhaseKind::Rolling
            || !phase.nodes.contains(node)
            || state.phases[number].status == PhaseStatus::Skipped
        {
            continue;
        }
        let turn = Turn { phase: number, node: node.clone() };
        if state.turns.get(&turn).is_none_or(|turn| turn.status != TurnStatus::Done) {
            return false;
        }
        any = true;
    }
    any
}

/// The phase that is under way.
pub fn current_phase(state: &RunState) -> Option<(usize, &PlannedPhase)> {
    let number = state.phases.iter().position(|phase| phase.status == PhaseStatus::Active)?;
    Some((number, &state.plan.phases[number]))
}

/// How far a phase is, by its turns.
pub fn phase_tally(state: &RunState, number: usize) -> Tally {
    let nodes = &state.plan.phases[number].nodes;
    let over = |node: &&NodeName| {
        let turn = Turn { phase: number, node: (*node).clone() };
        state.turns.get(&turn).is_some_and(|turn| turn.status.is_over())
    };
    Tally { done: nodes.iter().filter(over).count(), total: nodes.len() }
}

/// A node's place in its phase, in the order in which turns began: `3 of 5`.
pub fn place(state: &RunState, turn: &Turn) -> Option<(usize, usize)> {
    let phase = state.plan.phases.get(turn.phase).filter(|phase| phase.kind != PhaseKind::Single)?;
    let began = state.turns.get(turn).filter(|_| !turn.node.is_operator())?.started_at;
    let before = state
        .turns
        .iter()
        .filter(|(other, state)| {
            other.phase == turn.phase
                && !other.node.is_operator()
                && (state.started_at, &other.node) < (began, &turn.node)
        })
        .count();
    Some((before + 1, phase.nodes.len()))
}

/// What is left of a run, in words: `about 20 min left`.
pub fn left(left: Left) -> String {
    let what = if left.whole { "" } else { " in this phase" };
    format!("about {} left{what}", words::total(left.time))
}

/// What was done so far, for the one who has to answer: `mq-03 is untouched; mq-01 and mq-02 are done`.
pub fn so_far(state: &RunState, turn: &Turn) -> String {
    let mut parts = Vec::new();
    if !turn.node.is_operator() {
        let touched = if state.has_changed(turn) { "has been changed" } else { "is untouched" };
        parts.push(format!("{} {touched}", turn.node));
    }
    let others = |wanted: TurnStatus| -> Vec<&str> {
        state
            .turns
            .iter()
            .filter(|(other, state)| {
                other.phase == turn.phase && other.node != turn.node && state.status == wanted
            })
            .map(|(other, _)| other.node.as_str())
            .collect()
    };
    for (status, word) in [
        (TurnStatus::Done, "done"),
        (TurnStatus::Failed, "failed and out of service"),
        (TurnStatus::RolledBack, "rolled back"),
    ] {
        let nodes = others(status);
        if !nodes.is_empty() {
            let verb = if nodes.len() == 1 { "is" } else { "are" };
            parts.push(format!("{} {verb} {word}", words::list_some(&nodes, NAMED)));
        }
    }
    parts.join("; ")
}

/// Temporary changes that are in force, the latest first: `mq-03: drain "stop the receiver"`.
pub fn outstanding(state: &RunState) -> Vec<String> {
    let keys = state.outstanding().into_iter();
    keys.map(|key| format!("{}: {}", key.node, title_of(state, key))).collect()
}

/// What a turn's time is spent on, in the order in which it is shown.
pub const PARTS: [&str; 8] =
    ["stage", "gate", "precheck", "drain", "upgrade", "verify", "undrain", "rollback"];

/// Time that a turn's steps took, by what they were: gates apart, then the sections, in order.
pub fn time_by_part(state: &RunState, node: &NodeName) -> Vec<(&'static str, Duration)> {
    let mut spent = [Duration::ZERO; PARTS.len()];
    for (key, step) in state.steps_in_turns_of(node) {
        let Some((_, planned)) = state.plan.find(&key.step) else { continue };
        let part = match planned.section {
            _ if planned.is_gate() => 1,
            Section::Stage => 0,
            Section::Before | Section::Precheck | Section::Steps => 2,
            Section::Drain => 3,
            Section::Upgrade => 4,
            Section::Verify | Section::Soak => 5,
            Section::Undrain => 6,
            Section::Rollback => 7,
        };
        spent[part] += step.took;
    }
    PARTS.into_iter().zip(spent).filter(|(_, time)| time.as_secs() > 0).collect()
}
