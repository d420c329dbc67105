//! What happened in a run, read off its records once: who was at work when, what was done in whose turn, what was
//! answered, what failed. Every form of the report is made of this.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::curve::{Curve, Curves};
use super::mark::{Mark, Trouble, marks};
use crate::model::event::{Event, Outcome, Record, Request, RunEnd};
use crate::model::name::NodeName;
use crate::model::plan::{Section, StepKey};
use crate::model::state::RunState;

/// A run, and what a report says of it.
#[derive(Debug)]
pub(super) struct Story<'a> {
    /// Where it stands.
    pub(super) state: &'a RunState,
    /// Its journal.
    pub(super) records: &'a [Record],
    /// Whether somebody works on it right now.
    pub(super) at_work: bool,
    /// When the story ends: with its last record, or while it is at work now.
    pub(super) until: Timestamp,
    /// Its invocations, in order.
    pub(super) invocations: Vec<Invocation<'a>>,
    /// What was done, in the order in which it ended.
    pub(super) blocks: Vec<Block>,
    /// Answers, overrides and failures, in order.
    pub(super) marks: Vec<Mark>,
    /// Failures with their output.
    pub(super) troubles: Vec<Trouble>,
    /// How often a node's steps were tried again after a failure.
    pub(super) retries: BTreeMap<NodeName, u32>,
    /// What the numbers at gates were.
    pub(super) curves: Vec<Curve>,
}

/// A time during which a rollgate worked on the run.
#[derive(Debug, Clone)]
pub(super) struct Invocation<'a> {
    /// What it was asked.
    pub(super) request: &'a Request,
    /// When it began.
    pub(super) from: Timestamp,
    /// When it ended, or wrote its last record.
    pub(super) to: Timestamp,
    /// How it ended; `None` while it lasts or after it died.
    pub(super) end: Option<&'a RunEnd>,
}

impl Invocation<'_> {
    /// How it ended, in a word.
    pub(super) fn end_word(&self) -> &'static str {
        match self.end {
            Some(RunEnd::Finished) => "finished",
            Some(RunEnd::Staged) => "staged",
            Some(RunEnd::Unstaged) => "unstaged",
            Some(RunEnd::RolledBack) => "rolled back",
            Some(RunEnd::Stopped(_)) => "stopped",
            None => "died",
        }
    }
}

/// Something that took time in a node's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Whose turn.
    pub(super) node: NodeName,
    /// What kind of thing.
    pub(super) part: Part,
    /// When it began.
    pub(super) from: Timestamp,
    /// When it ended.
    pub(super) to: Timestamp,
}

/// What a block of the timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// Copies.
    Stage,
    /// Pre-checks and what precedes them.
    Precheck,
    /// A gate or another question.
    Gate,
    /// Out of service.
    Drain,
    /// The change.
    Upgrade,
    /// Is it well?
    Verify,
    /// Back into service; the undo of what is temporary.
    Undrain,
    /// The steps of a single phase.
    Steps,
    /// The way back.
    Rollback,
    /// A failed node waits for somebody.
    Failed,
}

impl Part {
    /// Every part, in the order of a legend.
    pub(super) const ALL: [Self; 10] = [
        Self::Stage,
        Self::Precheck,
        Self::Gate,
        Self::Drain,
        Self::Upgrade,
        Self::Verify,
        Self::Undrain,
        Self::Steps,
        Self::Rollback,
        Self::Failed,
    ];

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Precheck => "precheck",
            Self::Gate => "waiting at a gate",
            Self::Drain => "drain",
            Self::Upgrade => "upgrade",
            Self::Verify => "verify",
            Self::Undrain => "undrain, undo",
            Self::Steps => "single steps",
            Self::Rollback => "rollback",
            Self::Failed => "failed",
        }
    }

    fn of(state: &RunState, key: &StepKey, undo: bool) -> Self {
        let Some((_, planned)) = state.plan.find(&key.step) else { return Self::Steps };
        match planned.section {
            _ if undo => Self::Undrain,
            _ if planned.is_gate() => Self::Gate,
            Section::Stage => Self::Stage,
            Section::Before | Section::Precheck => Self::Precheck,
            Section::Drain => Self::Drain,
            Section::Upgrade => Self::Upgrade,
            Section::Verify | Section::Soak => Self::Verify,
            Section::Undrain => Self::Undrain,
            Section::Steps => Self::Steps,
            Section::Rollback => Self::Rollback,
        }
    }
}

impl<'a> Story<'a> {
    /// Reads it off the records that make up the state. `now` is given while somebody works on the run.
    pub(super) fn of(state: &'a RunState, records: &'a [Record], now: Option<Timestamp>) -> Self {
        let until = now.unwrap_or(state.latest_at).max(state.latest_at);
        let mut reader = Reader::new(state);
        let mut invocations: Vec<Invocation<'a>> = Vec::new();
        let mut curves = Curves::default();
        for record in records {
            match &record.event {
                Event::RunOpened { request, .. } | Event::RunResumed { request } => {
                    let left_at = invocations.last().map_or(record.at, |last| last.to);
                    reader.interrupt(left_at, record.at);
                    invocations.push(Invocation { request, from: record.at, to: record.at, end: None });
                }
                event => {
                    if let (Event::RunClosed { verdict }, Some(last)) = (event, invocations.last_mut()) {
                        last.end = Some(verdict);
                    }
                    reader.take(event, record.at);
                }
            }
            if let Some(last) = invocations.last_mut() {
                last.to = last.to.max(record.at);
            }
            curves.take(state, record);
        }
        if let (Some(last), Some(_)) = (invocations.last_mut(), now) {
            last.to = until;
        }
        reader.interrupt(until, until);
        let (marks, troubles) = marks(state, records);
        Self {
            state,
            records,
            at_work: now.is_some(),
            until,
            invocations,
            blocks: reader.blocks,
            retries: reader.retries,
            marks,
            troubles,
            curves: curves.done(until),
        }
    }

    /// Everybody who has a row: the operator's own steps first, then nodes in the order of the inventory.
    pub(super) fn lanes(&self) -> Vec<&NodeName> {
        let has_row = |node: &NodeName| self.blocks.iter().any(|block| block.node == *node);
        let taking_part =
            |node: &NodeName| self.state.plan.phases.iter().any(|phase| phase.nodes.contains(node));
        let told =
            self.blocks.iter().map(|block| &block.node).chain(self.marks.iter().map(|mark| &mark.node));
        let operator = told.into_iter().find(|node| node.is_operator());
        let nodes = self.state.plan.nodes.iter().map(|node| &node.name);
        operator.into_iter().chain(nodes.filter(|node| has_row(node) || taking_part(node))).collect()
    }

    /// Whether the run's latest rollgate is gone without having closed the run.
    pub(super) fn is_orphaned(&self) -> bool {
        self.state.end.is_none() && !self.at_work
    }
}

/// Turns records into blocks.
struct Reader<'a> {
    state: &'a RunState,
    open: BTreeMap<(StepKey, bool), Timestamp>,
    failed: BTreeMap<NodeName, Timestamp>,
    /// Steps whose latest attempt went wrong.
    wrong: BTreeSet<(StepKey, bool)>,
    retries: BTreeMap<NodeName, u32>,
    blocks: Vec<Block>,
}

impl<'a> Reader<'a> {
    fn new(state: &'a RunState) -> Self {
        Self {
            state,
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            wrong: BTreeSet::new(),
            retries: BTreeMap::new(),
            blocks: Vec::new(),
        }
    }

    fn take(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::StepStarted { key, .. } => self.begin(key, false, at),
            Event::UndoStarted { key, .. } => self.begin(key, true, at),
            Event::StepEnded { key, outcome, .. } => self.end(key, false, outcome, at),
            Event::UndoEnded { key, outcome, .. } => self.end(key, true, outcome, at),
            Event::Settled { key, undo, .. } | Event::LeftUnknown { key, undo, .. } => {
                self.close(key, *undo, at);
            }
            Event::TurnEnded { turn, .. } => self.recover(&turn.node, at),
            Event::RunClosed { .. } => {
                self.recover_all(at);
            }
            _ => {}
        }
    }

    fn begin(&mut self, key: &StepKey, undo: bool, at: Timestamp) {
        self.recover(&key.node, at);
        if self.wrong.remove(&(key.clone(), undo)) {
            *self.retries.entry(key.node.clone()).or_default() += 1;
        }
        self.open.insert((key.clone(), undo), at);
    }

    fn end(&mut self, key: &StepKey, undo: bool, outcome: &Outcome, at: Timestamp) {
        self.close(key, undo, at);
        if matches!(outcome, Outcome::Failed(_) | Outcome::Unknown { .. }) {
            self.failed.entry(key.node.clone()).or_insert(at);
            self.wrong.insert((key.clone(), undo));
        }
    }

    fn close(&mut self, key: &StepKey, undo: bool, at: Timestamp) {
        if let Some(from) = self.open.remove(&(key.clone(), undo)) {
            self.push(key, undo, from, at);
        }
    }

    fn push(&mut self, key: &StepKey, undo: bool, from: Timestamp, to: Timestamp) {
        let part = Part::of(self.state, key, undo);
        self.blocks.push(Block { node: key.node.clone(), part, from, to: to.max(from) });
    }

    fn recover(&mut self, node: &NodeName, at: Timestamp) {
        if let Some(from) = self.failed.remove(node) {
            self.blocks.push(Block { node: node.clone(), part: Part::Failed, from, to: at.max(from) });
        }
    }

    fn recover_all(&mut self, at: Timestamp) {
        for (node, from) in std::mem::take(&mut self.failed) {
            self.blocks.push(Block { node, part: Part::Failed, from, to: at.max(from) });
        }
    }

    /// An invocation is gone, and perhaps another goes on: what was open is followed again from there.
    fn interrupt(&mut self, left_at: Timestamp, again_at: Timestamp) {
        for ((key, undo), from) in std::mem::take(&mut self.open) {
            self.push(&key, undo, from, left_at);
            // What changes nothing is begun anew.
            if undo || self.state.plan.find(&key.step).is_some_and(|(_, planned)| planned.is_effect()) {
                self.open.insert((key, undo), again_at);
            }
        }
        self.recover_all(left_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Halt, Stop};
    use crate::model::sample;

    fn stop() -> Stop {
        Stop { halt: Halt::Interrupted, why: "Ctrl-C".to_owned(), key: None }
    }

    fn spans(story: &Story<'_>, node: &str) -> Vec<(Part, i64, i64)> {
        let seconds = |at: Timestamp| at.as_second() - sample::at(0).as_second();
        let of = story.blocks.iter().filter(|block| block.node.as_str() == node);
        of.map(|block| (block.part, seconds(block.from), seconds(block.to))).collect()
    }

    #[test]
    fn every_step_is_a_block_of_its_part() {
        let records = sample::records(sample::events());
        let state = sample::state(sample::events());
        let story = Story::of(&state, &records, Some(sample::at(400)));
        assert_eq!(
            spans(&story, "mq-01"),
            [
                (Part::Drain, 3, 75),
                (Part::Gate, 75, 171),
                (Part::Upgrade, 171, 219),
                (Part::Verify, 219, 255),
                (Part::Undrain, 256, 257),
            ]
        );
        assert_eq!(spans(&story, "mq-02"), [(Part::Drain, 259, 300), (Part::Gate, 300, 400)]);
        assert_eq!(story.lanes().len(), 3);
        assert!(!story.is_orphaned());
    }

    #[test]
    fn what_was_left_running_goes_on_behind_the_pause() {
        let mut events = sample::events();
        let gate = sample::key("mq-02", Section::Drain, 2);
        events.push((310, Event::StepEnded { key: gate, attempt: 1, outcome: Outcome::Done }));
        let key = sample::key("mq-02", Section::Upgrade, 1);
        let on = vec![key.node.clone()];
        events.push((310, Event::StepStarted { key: key.clone(), attempt: 1, on }));
        events.push((320, Event::VersionRead { node: sample::node("mq-01"), version: "3.13.7".into() }));
        events.push((9000, Event::RunResumed { request: sample::request() }));
        events.push((9060, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done }));
        let (records, state) = (sample::records(events.clone()), sample::state(events));
        let story = Story::of(&state, &records, None);
        assert_eq!(spans(&story, "mq-02")[2..], [(Part::Upgrade, 310, 320), (Part::Upgrade, 9000, 9060)]);
        assert_eq!(story.invocations.len(), 2);
        assert!(story.is_orphaned());
    }

    #[test]
    fn a_failed_node_is_failed_until_the_run_ends() {
        let mut events = sample::events();
        let gate = sample::key("mq-02", Section::Drain, 2);
        let outcome = Outcome::Unknown { why: "gone".to_owned(), rebooted: false };
        events.push((310, Event::StepEnded { key: gate, attempt: 1, outcome }));
        events.push((320, Event::StopRequested { stop: stop() }));
        events.push((330, Event::RunClosed { verdict: RunEnd::Stopped(stop()) }));
        let (records, state) = (sample::records(events.clone()), sample::state(events));
        let story = Story::of(&state, &records, None);
        assert_eq!(spans(&story, "mq-02")[2], (Part::Failed, 310, 330));
        let marks: Vec<&str> = story.marks.iter().map(|mark| mark.what.as_str()).collect();
        assert_eq!(marks, ["gate \"queue depth\": nobody knows how it ended: gone", "stopped: Ctrl-C"]);
    }
}
