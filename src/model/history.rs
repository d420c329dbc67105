//! What a node went through that its state does not tell any more: stops, and failures that were got over. Read off
//! the records of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::duration::between;
use super::event::{Decision, Event, FailureKind, Outcome, Question, Record, RunEnd};
use super::name::NodeName;
use super::plan::StepKey;
use super::state::{Illegal, RunState, TurnStatus};

/// What one node went through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeHistory {
    /// How often the run stopped in the node's turn and was gone on with.
    pub stops: usize,
    /// How long it stood still then, in all.
    pub stood: Duration,
    /// Steps that failed, in the order of their first failure.
    pub failures: Vec<PastFailure>,
}

/// A step that failed at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastFailure {
    /// The step.
    pub key: StepKey,
    /// How often.
    pub times: usize,
    /// What was done about it, each once, in order.
    pub then: Vec<Then>,
}

/// What was done about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// It was repeated as the procedure says, without anybody.
    Repeated,
    /// Somebody had it repeated: at a question, or by going on with the run.
    RepeatedBy(String),
    /// Somebody took it as done.
    TakenAsDoneBy(String),
}

/// Reads the histories off a run's records. Nodes without any trouble are not in it.
pub fn histories(records: &[Record]) -> Result<BTreeMap<NodeName, NodeHistory>, Illegal> {
    let mut told = BTreeMap::new();
    let Some((first, rest)) = records.split_first() else { return Ok(told) };
    let mut state = RunState::open(first)?;
    let mut teller = Teller::default();
    for record in rest {
        teller.take(&state, record, &mut told);
        state.apply(record)?;
    }
    Ok(told)
}

#[derive(Default)]
struct Teller {
    /// Since when the run stands still, and in whose turns.
    stopped: Option<(Timestamp, Vec<NodeName>)>,
    /// Who had failed steps repeated, until the next attempt begins.
    asked_for: BTreeMap<StepKey, String>,
    /// Who went on with the run last.
    resumed_by: Option<String>,
}

impl Teller {
    fn take(&mut self, state: &RunState, record: &Record, told: &mut BTreeMap<NodeName, NodeHistory>) {
        match &record.event {
            Event::RunClosed { verdict: RunEnd::Stopped(stop) } => {
                let nodes = match &stop.key {
                    Some(key) => vec![key.node.clone()],
                    None => active(state),
                };
                self.stopped = Some((record.at, nodes));
            }
            Event::RunResumed { request } => {
                self.resumed_by = Some(request.by.user.clone());
                let Some((since, nodes)) = self.stopped.take() else { return };
                for node in nodes {
                    let node = told.entry(node).or_default();
                    node.stops += 1;
                    node.stood += between(since, record.at);
                }
            }
            Event::StepEnded { key, outcome: Outcome::Failed(failure), .. }
                // That a gate held the run up is a stop and no failure.
                if !matches!(failure.kind, FailureKind::GateClosed | FailureKind::NoAnswer) =>
            {
                self.resumed_by = None;
                failure_of(told, key).times += 1;
            }
            Event::Answered { question: Question::Trouble { key, undo: false }, decision, by, .. } => {
                match decision {
                    Decision::Retry => {
                        self.asked_for.insert(key.clone(), by.user.clone());
                    }
                    Decision::MarkDone { .. } if has_failed(told, key) => {
                        then(told, key, Then::TakenAsDoneBy(by.user.clone()));
                    }
                    _ => {}
                }
            }
            Event::StepStarted { key, .. } if has_failed(told, key) => {
                let by = self.asked_for.remove(key).or_else(|| self.resumed_by.clone());
                then(told, key, by.map_or(Then::Repeated, Then::RepeatedBy));
            }
            _ => {}
        }
    }
}

fn active(state: &RunState) -> Vec<NodeName> {
    let turns = state.turns.iter().filter(|(_, turn)| turn.status == TurnStatus::Active);
    turns.map(|(turn, _)| turn.node.clone()).collect()
}

fn has_failed(told: &BTreeMap<NodeName, NodeHistory>, key: &StepKey) -> bool {
    told.get(&key.node).is_some_and(|node| node.failures.iter().any(|failure| failure.key == *key))
}

fn failure_of<'t>(told: &'t mut BTreeMap<NodeName, NodeHistory>, key: &StepKey) -> &'t mut PastFailure {
    let failures = &mut told.entry(key.node.clone()).or_default().failures;
    let at = failures.iter().position(|failure| failure.key == *key).unwrap_or_else(|| {
        failures.push(PastFailure { key: key.clone(), times: 0, then: Vec::new() });
        failures.len() - 1
    });
    &mut failures[at]
}

fn then(told: &mut BTreeMap<NodeName, NodeHistory>, key: &StepKey, what: Then) {
    let failure = failure_of(told, key);
    if !failure.then.contains(&what) {
        failure.then.push(what);
    }
}
