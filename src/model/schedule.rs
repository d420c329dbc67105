//! What comes next. A pure function of a run's state: no clock, no node, no luck. An empty answer
//! means: wait for what is in flight.

use std::collections::BTreeSet;

use super::event::{Goal, Halt, Question, RunEnd, Stop, Turn, TurnEnd};
use super::name::NodeName;
use super::plan::{PhaseKind, PlannedPhase, PlannedStep, Section, StepKey, Work};
use super::procedure::Scope;
use super::state::{PhaseStatus, RunState, StepStatus, TurnStatus, UndoStatus};

/// Something to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Find out what became of a step, or its undo, that an earlier invocation began.
    Recover {
        /// Which.
        key: StepKey,
        /// Whether it is the undo.
        undo: bool,
    },
    /// Settle what became of a step, or its undo, that is unknown: by what it declares, or what was decided.
    Settle {
        /// Which.
        key: StepKey,
        /// Whether it is the undo.
        undo: bool,
    },
    /// Begin a phase, or skip it when its `when` does not hold.
    OpenPhase {
        /// Its number.
        phase: usize,
    },
    /// Choose the next nodes, by the roles as they are now.
    FormBatch {
        /// The phase's number.
        phase: usize,
    },
    /// Begin a step.
    Begin {
        /// Which.
        key: StepKey,
        /// Its attempt.
        attempt: u32,
    },
    /// Undo a step.
    Undo {
        /// Which.
        key: StepKey,
        /// The attempt.
        attempt: u32,
    },
    /// Ask the operator.
    Ask(Question),
    /// End a turn.
    EndTurn {
        /// Which.
        turn: Turn,
        /// How.
        end: TurnEnd,
    },
    /// End a phase.
    EndPhase {
        /// Its number.
        phase: usize,
    },
    /// Begin nothing more.
    Stop(Stop),
    /// End the invocation.
    Close(RunEnd),
}

/// What comes next.
pub fn next(state: &RunState) -> Vec<Move> {
    if state.end.is_some() || state.question.is_some() {
        return Vec::new();
    }
    // First what is unclear, also when nothing more is to begin: what a node can tell is not left untold.
    let recoveries = state.dangling().into_iter().map(|(key, undo)| Move::Recover { key, undo });
    let settlings = state.to_settle().into_iter().map(|(key, undo)| Move::Settle { key, undo });
    let unclear: Vec<Move> = recoveries.chain(settlings).collect();
    if !unclear.is_empty() {
        return unclear;
    }
    // Whoever is shut out can put nothing else right.
    for restrictions in [state.failed_restrictions(), state.given_up_restrictions()] {
        match undo_next(state, &restrictions) {
            Undoing::Move(found) => return vec![found],
            Undoing::Wait => return Vec::new(),
            Undoing::Nothing | Undoing::Stuck => {}
        }
    }
    if let Some(stop) = &state.stop {
        return stopping(state, stop);
    }
    if let Some(key) = state.undo_to_ask_about() {
        return vec![Move::Ask(Question::Trouble { key: key.clone(), undo: true })];
    }
    let moves = match &state.request.goal {
        Goal::Staged | Goal::Finished => forward(state),
        Goal::RolledBack(turns) => backward(state, turns),
        Goal::Unstaged => unstaging(state),
    };
    // What a node may yet undo by itself is not as the run would say it is.
    match state.is_yet_to_be_reverted() {
        Some(stop) if moves.iter().any(|found| matches!(found, Move::Close(_))) => vec![Move::Stop(stop)],
        _ => moves,
    }
}

/// Everything in flight comes to its end, then what is temporary is undone, the latest first.
fn stopping(state: &RunState, stop: &Stop) -> Vec<Move> {
    if state.is_busy() {
        return Vec::new();
    }
    let due: Vec<StepKey> = state.outstanding().into_iter().cloned().collect();
    match undo_next(state, &due) {
        Undoing::Move(found) => vec![found],
        Undoing::Wait => Vec::new(),
        Undoing::Nothing | Undoing::Stuck => vec![Move::Close(RunEnd::Stopped(stop.clone()))],
    }
}

enum Undoing {
    Move(Move),
    Wait,
    Stuck,
    Nothing,
}

/// Undoes a list in its order, one after the other; what the operator has let be is passed over.
fn undo_next(state: &RunState, keys: &[StepKey]) -> Undoing {
    let mut stuck = false;
    for key in keys {
        let Some(step) = state.step(key) else { continue };
        match &step.undo {
            UndoStatus::Nothing | UndoStatus::Done => {}
            UndoStatus::Running => return Undoing::Wait,
            UndoStatus::Due => {
                return Undoing::Move(Move::Undo { key: key.clone(), attempt: step.undo_attempts + 1 });
            }
            UndoStatus::Failed { settled: false, .. } | UndoStatus::Unknown { settled: false, .. } => {
                return Undoing::Move(Move::Ask(Question::Trouble { key: key.clone(), undo: true }));
            }
            UndoStatus::Failed { .. } | UndoStatus::Unknown { .. } | UndoStatus::Dangling => stuck = true,
        }
    }
    if stuck { Undoing::Stuck } else { Undoing::Nothing }
}

fn forward(state: &RunState) -> Vec<Move> {
    if let Some(stop) = paused(state) {
        return vec![Move::Stop(stop)];
    }
    for (number, phase) in state.plan.phases.iter().enumerate() {
        if state.request.goal == Goal::Staged && phase.kind != PhaseKind::Staging {
            return vec![Move::Close(RunEnd::Staged)];
        }
        match state.phases[number].status {
            PhaseStatus::Done | PhaseStatus::Skipped => {}
            // Nobody is asked about a phase that this invocation does not reach.
            PhaseStatus::Waiting if is_out_of_reach(state, number, phase) => {
                return vec![Move::Stop(limit_reached(phase))];
            }
            PhaseStatus::Waiting => return vec![Move::OpenPhase { phase: number }],
            PhaseStatus::Active => match phase_moves(state, number, phase) {
                Some(moves) => return moves,
                // Nodes outside --limit are staged when their own turn comes.
                None if phase.kind == PhaseKind::Staging => {}
                None => return vec![Move::Stop(limit_reached(phase))],
            },
        }
    }
    if state.request.goal == Goal::Staged {
        return vec![Move::Close(RunEnd::Staged)];
    }
    match undo_next(state, &due_in(state, Scope::Run, None)) {
        Undoing::Move(found) => vec![found],
        Undoing::Wait => Vec::new(),
        // Nodes that were left behind need somebody, and the run can go on with them.
        Undoing::Nothing | Undoing::Stuck => {
            vec![state.left_behind().map_or(Move::Close(RunEnd::Finished), Move::Stop)]
        }
    }
}

fn is_out_of_reach(state: &RunState, number: usize, phase: &PlannedPhase) -> bool {
    let to_do = state.to_do(number);
    phase.kind == PhaseKind::Rolling
        && phase.when.is_none()
        && !to_do.is_empty()
        && !to_do.iter().any(|node| is_within_limit(state, node))
}

fn paused(state: &RunState) -> Option<Stop> {
    let node = state.request.pause_after.as_ref()?;
    let ended = state.turns.iter().any(|(turn, ended)| {
        turn.node == *node
            && state.plan.phases[turn.phase].kind != PhaseKind::Staging
            && ended.ended_in == Some(state.invocation)
    });
    let others_are_at_work = state.turns.values().any(|turn| !turn.status.is_over());
    (ended && !others_are_at_work).then(|| Stop {
        halt: Halt::Interrupted,
        why: format!("paused after {node}, as --pause-after says"),
        key: None,
    })
}

fn limit_reached(phase: &PlannedPhase) -> Stop {
    let why = format!("the nodes of --limit are done; phase \"{}\" has others", phase.name);
    Stop { halt: Halt::LimitReached, why, key: None }
}

/// The moves of a phase that has begun; `None` when only nodes outside `--limit` are left.
fn phase_moves(state: &RunState, number: usize, phase: &PlannedPhase) -> Option<Vec<Move>> {
    let at_work: Vec<&Turn> = state
        .turns
        .iter()
        .filter(|(turn, state)| turn.phase == number && !state.status.is_over())
        .map(|(turn, _)| turn)
        .collect();
    if !at_work.is_empty() {
        let mut moves: Vec<Move> = at_work.into_iter().flat_map(|turn| turn_moves(state, turn)).collect();
        if phase.kind == PhaseKind::Staging {
            let running = state.steps.values().filter(|step| step.status == StepStatus::Running).count();
            moves.truncate(state.request.parallel.max(1).saturating_sub(running));
        }
        // One question at a time; it holds everything else up.
        if let Some(question) = moves.iter().find(|found| matches!(found, Move::Ask(_))) {
            return Some(vec![question.clone()]);
        }
        return Some(moves);
    }
    let to_do = state.to_do(number);
    if to_do.iter().any(|node| is_within_limit(state, node)) {
        return Some(vec![Move::FormBatch { phase: number }]);
    }
    if !to_do.is_empty() {
        return None;
    }
    Some(match undo_next(state, &due_in(state, Scope::Phase, Some(number))) {
        Undoing::Move(found) => vec![found],
        Undoing::Wait => Vec::new(),
        Undoing::Nothing | Undoing::Stuck => vec![Move::EndPhase { phase: number }],
    })
}

fn is_within_limit(state: &RunState, node: &NodeName) -> bool {
    node.is_operator() || state.request.limit.as_ref().is_none_or(|limit| limit.contains(node))
}

/// Chooses the next batch of a phase: nodes that have the role of `last:` wait until no other is
/// left, and no two nodes share a value of `spread:`.
pub fn choose_batch(state: &RunState, phase: usize, last: &[NodeName]) -> Vec<NodeName> {
    batch_of(state, phase, last, &to_do_within_limit(state, phase), state.phases[phase].batches)
}

/// The turns of a phase in the order in which they come when all goes well and roles stay as they are.
pub fn turns_to_come(state: &RunState, phase: usize, last: &[NodeName]) -> Vec<Turn> {
    let planned = &state.plan.phases[phase];
    let mut nodes = Vec::new();
    if planned.kind != PhaseKind::Single && !planned.before.is_empty() {
        nodes.push(NodeName::operator());
    }
    nodes.extend(batches_to_come(state, phase, last).into_iter().flatten());
    nodes.into_iter().map(|node| Turn { phase, node }).collect()
}

/// The batches of a phase that are still to be formed, when all goes well and roles stay as they are.
pub fn batches_to_come(state: &RunState, phase: usize, last: &[NodeName]) -> Vec<Vec<NodeName>> {
    let mut left = to_do_within_limit(state, phase);
    let mut batches = Vec::new();
    while !left.is_empty() {
        let batch = batch_of(state, phase, last, &left, state.phases[phase].batches + batches.len());
        left.retain(|node| !batch.contains(node));
        batches.push(batch);
    }
    batches
}

pub(super) fn to_do_within_limit(state: &RunState, phase: usize) -> Vec<NodeName> {
    state.to_do(phase).into_iter().filter(|node| is_within_limit(state, node)).collect()
}

/// The n-th batch of a phase, from these candidates; empty only when there is none.
fn batch_of(
    state: &RunState,
    phase: usize,
    last: &[NodeName],
    candidates: &[NodeName],
    number: usize,
) -> Vec<NodeName> {
    let planned = &state.plan.phases[phase];
    if planned.kind == PhaseKind::Staging {
        return candidates.to_vec();
    }
    let others: Vec<NodeName> = candidates.iter().filter(|node| !last.contains(node)).cloned().collect();
    let pool = if others.is_empty() { candidates.to_vec() } else { others };
    let size = planned.batch_size(number);
    let mut taken = BTreeSet::new();
    let mut batch = Vec::new();
    for node in pool {
        let value = planned
            .spread
            .as_ref()
            .and_then(|variable| state.plan.node(&node)?.vars.get(variable.as_str()).cloned());
        if value.is_none_or(|value| taken.insert(value)) {
            batch.push(node);
        }
        if batch.len() == size {
            break;
        }
    }
    batch
}

/// Changes in force whose scope is this one, the latest first.
fn due_in(state: &RunState, scope: Scope, phase: Option<usize>) -> Vec<StepKey> {
    state
        .outstanding()
        .into_iter()
        .filter(|key| {
            state.plan.find(&key.step).is_some_and(|(number, step)| {
                step.temporary() == Some(scope) && phase.is_none_or(|phase| phase == number)
            })
        })
        .cloned()
        .collect()
}

fn due_in_turn(state: &RunState, turn: &Turn) -> Vec<StepKey> {
    due_in(state, Scope::Node, Some(turn.phase)).into_iter().filter(|key| key.node == turn.node).collect()
}

fn turn_moves(state: &RunState, turn: &Turn) -> Vec<Move> {
    match &state.turns[turn].status {
        TurnStatus::Returning => return turn_back(state, turn),
        TurnStatus::Leaving { reason } => {
            return end_turn(state, turn, TurnEnd::Skipped { reason: reason.clone() });
        }
        _ => {}
    }
    if let Some(key) = state.trouble(turn) {
        return trouble_moves(state, turn, &key);
    }
    match first_unsettled(state, turn, state.steps_of(turn)) {
        Some(key) => begin(state, key),
        None => end_turn(state, turn, TurnEnd::Done),
    }
}

fn first_unsettled(state: &RunState, turn: &Turn, steps: &[PlannedStep]) -> Option<StepKey> {
    steps
        .iter()
        .map(|step| turn.key(&step.id))
        .find(|key| !state.step(key).is_some_and(super::state::StepState::is_settled))
}

fn begin(state: &RunState, key: StepKey) -> Vec<Move> {
    match state.step(&key) {
        Some(step) if step.is_in_flight() => Vec::new(),
        Some(step) => vec![Move::Begin { attempt: step.attempts + 1, key }],
        None => vec![Move::Begin { key, attempt: 1 }],
    }
}

/// A step failed or is unknown: again while its budget lasts, checks that guard it first; else ask,
/// else give the turn up where the phase allows for it, else stop.
fn trouble_moves(state: &RunState, turn: &Turn, key: &StepKey) -> Vec<Move> {
    let Some((phase, planned)) = state.plan.find(&key.step) else { return Vec::new() };
    let step = &state.steps[key];
    if matches!(step.status, StepStatus::Failed(_)) && step.spent <= planned.retries() {
        let guard = match planned.section {
            Section::Rollback => None,
            _ => first_unsettled(state, turn, state.steps_of(turn)),
        };
        return begin(state, guard.unwrap_or_else(|| key.clone()));
    }
    if state.request.attended {
        return vec![Move::Ask(Question::Trouble { key: key.clone(), undo: false })];
    }
    if state.tolerates(key, phase, planned) {
        return end_turn(state, turn, TurnEnd::Failed);
    }
    state.stop_for(key).map(Move::Stop).into_iter().collect()
}

/// What is temporary for the turn is undone first.
fn end_turn(state: &RunState, turn: &Turn, end: TurnEnd) -> Vec<Move> {
    match undo_next(state, &due_in_turn(state, turn)) {
        Undoing::Move(found) => vec![found],
        Undoing::Wait => Vec::new(),
        Undoing::Nothing | Undoing::Stuck => vec![Move::EndTurn { turn: turn.clone(), end }],
    }
}

/// One node at a time, in the order that was planned.
fn backward(state: &RunState, turns: &[Turn]) -> Vec<Move> {
    for turn in turns {
        match state.turns.get(turn).map(|state| &state.status) {
            Some(TurnStatus::Returning) => return turn_back(state, turn),
            Some(TurnStatus::Leaving { reason }) => {
                return end_turn(state, turn, TurnEnd::Skipped { reason: reason.clone() });
            }
            _ => {}
        }
    }
    match undo_next(state, &state.outstanding().into_iter().cloned().collect::<Vec<_>>()) {
        Undoing::Move(found) => vec![found],
        Undoing::Wait => Vec::new(),
        Undoing::Nothing | Undoing::Stuck => vec![Move::Close(RunEnd::RolledBack)],
    }
}

/// A turn's way back: its phase's `rollback` section, or where there is none the undo of its steps
/// in reverse; then what is temporary; then the version must be the old one.
fn turn_back(state: &RunState, turn: &Turn) -> Vec<Move> {
    let phase = &state.plan.phases[turn.phase];
    let written: Vec<PlannedStep> =
        phase.rollback.iter().filter(|step| step.work != Work::VersionRestored).cloned().collect();
    if let Some(key) = state.trouble(turn) {
        return trouble_moves(state, turn, &key);
    }
    // What the steps of `stage:` did is undone while the files that they used are still there.
    if phase.kind == PhaseKind::Staging {
        match undo_next(state, &in_force(state, turn)) {
            Undoing::Move(found) => return vec![found],
            Undoing::Wait => return Vec::new(),
            Undoing::Nothing | Undoing::Stuck => {}
        }
    }
    if let Some(key) = first_unsettled(state, turn, &written) {
        return begin(state, key);
    }
    let undo = if written.is_empty() { in_force(state, turn) } else { due_in_turn(state, turn) };
    match undo_next(state, &undo) {
        Undoing::Move(found) => return vec![found],
        Undoing::Wait => return Vec::new(),
        Undoing::Nothing | Undoing::Stuck => {}
    }
    match first_unsettled(state, turn, &phase.rollback) {
        Some(key) => begin(state, key),
        None => vec![Move::EndTurn { turn: turn.clone(), end: TurnEnd::RolledBack }],
    }
}

/// Every change of a turn that can be undone, the latest first.
fn in_force(state: &RunState, turn: &Turn) -> Vec<StepKey> {
    let mut keys: Vec<_> = state
        .steps_of(turn)
        .iter()
        .filter(|step| step.section != Section::Rollback)
        .map(|step| turn.key(&step.id))
        .filter_map(|key| {
            state.step(&key).filter(|step| step.is_in_force()).map(|step| (step.started_seq, key))
        })
        .collect();
    keys.sort_by(|a, b| b.cmp(a));
    keys.into_iter().map(|(_, key)| key).collect()
}

/// What is temporary is undone, then what was staged is removed, on all nodes at the same time.
fn unstaging(state: &RunState) -> Vec<Move> {
    let outstanding: Vec<StepKey> = state.outstanding().into_iter().cloned().collect();
    match undo_next(state, &outstanding) {
        Undoing::Move(found) => return vec![found],
        Undoing::Wait => return Vec::new(),
        Undoing::Nothing | Undoing::Stuck => {}
    }
    let staged: Vec<(&Turn, &TurnStatus)> = state
        .turns
        .iter()
        .filter(|(turn, _)| state.plan.phases[turn.phase].kind == PhaseKind::Staging)
        .filter(|(_, staged)| match staged.status {
            TurnStatus::RolledBack => false,
            TurnStatus::Skipped { .. } => staged.ended_in != Some(state.invocation),
            _ => true,
        })
        .map(|(turn, staged)| (turn, &staged.status))
        .collect();
    if staged.is_empty() {
        return vec![Move::Close(RunEnd::Unstaged)];
    }
    let moves: Vec<Move> = staged
        .into_iter()
        .flat_map(|(turn, status)| match status {
            TurnStatus::Leaving { reason } => {
                end_turn(state, turn, TurnEnd::Skipped { reason: reason.clone() })
            }
            _ => turn_back(state, turn),
        })
        .collect();
    match moves.iter().find(|found| matches!(found, Move::Ask(_))) {
        Some(question) => vec![question.clone()],
        None => moves,
    }
}
