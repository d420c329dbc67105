//! How long turns take, by those that are done: in this run, and in earlier runs of the same procedure.
//!
//! A turn counts from its beginning to its end with everything in it, waits at gates as they were. Only the time
//! in which no rollgate worked on the run, between a stop and its resumption, is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{Goal, Turn};
use super::name::NodeName;
use super::plan::PhaseKind;
use super::schedule::{batches_to_come, to_do_within_limit};
use super::state::{PhaseStatus, RunState, TurnStatus};

/// How long turns took in earlier runs, in milliseconds: by phase, and of each node the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Past(BTreeMap<String, BTreeMap<NodeName, u64>>);

/// What is left of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How long it takes, about.
    pub time: Duration,
    /// Whether that is all of it; else it is what is left of the phase that is under way.
    pub whole: bool,
}

impl Past {
    /// Adds the turns of a run that is older than all that were added so far: what is known of a node stays.
    pub fn add(&mut self, state: &RunState) {
        for (turn, took) in done(state) {
            let phase = self.0.entry(state.plan.phases[turn.phase].slug.clone()).or_default();
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            phase.entry(turn.node.clone()).or_insert(millis);
        }
    }

    /// How long a node took the last time, all its turns together; `None` where that is not known.
    pub fn of(&self, node: &NodeName) -> Option<Duration> {
        let turns: Vec<u64> = self.0.values().filter_map(|phase| phase.get(node)).copied().collect();
        (!turns.is_empty()).then(|| Duration::from_millis(turns.iter().sum()))
    }

    fn of_phase(&self, slug: &str) -> impl Iterator<Item = Duration> {
        self.0.get(slug).into_iter().flat_map(|phase| phase.values()).copied().map(Duration::from_millis)
    }
}

/// How long a turn of a phase takes: the median of those that are known.
pub fn turn_length(state: &RunState, phase: usize) -> Option<Duration> {
    let own = done(state).filter(|(turn, _)| turn.phase == phase).map(|(_, took)| took);
    let mut known: Vec<Duration> =
        own.chain(state.request.earlier.of_phase(&state.plan.phases[phase].slug)).collect();
    known.sort_unstable();
    let (lower, upper) = (known.len().checked_sub(1)? / 2, known.len() / 2);
    Some((known[lower] + known[upper]) / 2)
}

/// The next phase in which a turn is yet to begin; nothing while one is under way, which is not held up. One that
/// failed has begun, too: a run that goes on takes it up where it was.
pub fn next_phase(state: &RunState) -> Option<usize> {
    let is_staging = |phase: usize| state.plan.phases[phase].kind == PhaseKind::Staging;
    let goes_on = |status: &TurnStatus| *status == TurnStatus::Failed || !status.is_over();
    if state.turns.iter().any(|(turn, turn_state)| !is_staging(turn.phase) && goes_on(&turn_state.status)) {
        return None;
    }
    (0..state.phases.len())
        .filter(|phase| !is_staging(*phase))
        .find(|phase| !matches!(state.phases[*phase].status, PhaseStatus::Done | PhaseStatus::Skipped))
}

/// The batches that are still to come, in their order, each with the time that it takes where that is known.
pub fn to_come(state: &RunState) -> Vec<(Vec<NodeName>, Option<Duration>)> {
    let phases = (0..state.phases.len()).filter(|phase| is_ahead(state, *phase));
    let batches = phases.flat_map(|phase| {
        let length = turn_length(state, phase);
        batches_to_come(state, phase, &[]).into_iter().map(move |batch| (batch, length))
    });
    batches.collect()
}

fn is_ahead(state: &RunState, phase: usize) -> bool {
    state.plan.phases[phase].kind != PhaseKind::Staging
        && matches!(state.phases[phase].status, PhaseStatus::Waiting | PhaseStatus::Active)
}

/// What is left of a run that goes forward; `None` where nothing is known to tell it from.
pub fn left(state: &RunState, now: Timestamp) -> Option<Left> {
    let is_over = |phase: &PhaseStatus| matches!(phase, PhaseStatus::Done | PhaseStatus::Skipped);
    let staging = state.plan.has_staging() && !is_over(&state.phases[0].status);
    if state.request.goal != Goal::Finished || staging {
        return None;
    }
    let now = if state.end.is_some() { state.latest_at } else { now };
    let mut left: Option<Left> = None;
    for phase in (0..state.phases.len()).filter(|phase| is_ahead(state, *phase)) {
        let may_be_skipped =
            state.phases[phase].status == PhaseStatus::Waiting && state.plan.phases[phase].when.is_some();
        match (turn_length(state, phase), &mut left) {
            (Some(length), _) if !may_be_skipped => {
                let left = left.get_or_insert(Left { time: Duration::ZERO, whole: true });
                left.time += left_of_phase(state, phase, length, now);
            }
            (_, Some(left)) => {
                left.whole = false;
                break;
            }
            (_, None) => return None,
        }
    }
    left.filter(|left| !left.time.is_zero())
}

/// Nodes of a batch are at work at the same time, so that it takes as long as one of them.
fn left_of_phase(state: &RunState, phase: usize, length: Duration, now: Timestamp) -> Duration {
    let batches = batches_left(state, phase);
    let at_work = state.turns.iter().filter(|(turn, turn_state)| {
        turn.phase == phase && !turn.node.is_operator() && turn_state.status == TurnStatus::Active
    });
    let begun = at_work.map(|(_, turn)| length.saturating_sub(turn.worked(state.idle, now))).max();
    length.saturating_mul(batches) + begun.unwrap_or_default()
}

/// How many batches are still to be formed, about: this is asked ten times a second, so that nodes are counted and
/// not chosen.
fn batches_left(state: &RunState, phase: usize) -> u32 {
    let planned = &state.plan.phases[phase];
    let nodes = to_do_within_limit(state, phase);
    let most = planned.spread.as_ref().map_or(usize::MAX, |variable| {
        let value = |node: &NodeName| state.plan.node(node)?.vars.get(variable.as_str());
        let values: BTreeSet<Option<&String>> = nodes.iter().map(value).collect();
        values.len()
    });
    let (mut left, mut batches) = (nodes.len(), 0);
    while left > 0 {
        let size = planned.batch_size(state.phases[phase].batches + batches).clamp(1, most.max(1));
        left = left.saturating_sub(size);
        batches += 1;
    }
    u32::try_from(batches).unwrap_or(u32::MAX)
}

fn done(state: &RunState) -> impl Iterator<Item = (&Turn, Duration)> {
    let is_known = |turn: &Turn| match state.plan.phases[turn.phase].kind {
        PhaseKind::Staging => false,
        PhaseKind::Rolling => !turn.node.is_operator(),
        PhaseKind::Single => true,
    };
    state
        .turns
        .iter()
        .filter(move |(turn, turn_state)| turn_state.status == TurnStatus::Done && is_known(turn))
        .map(|(turn, turn_state)| (turn, turn_state.took))
}

#[cfg(test)]
mod tests;
