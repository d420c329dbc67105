//! How long turns took, and what follows for those to come.

use std::sync::Arc;

use super::*;
use crate::model::event::{Event, Halt, Outcome, Record, Request, RunEnd, RunId, Stop, TurnEnd};
use crate::model::name::VarName;
use crate::model::plan::{Plan, StepKey};
use crate::model::procedure::BatchSize;
use crate::model::tests::builder::{finish, node, nodes, plan, rolling, run, single, turn};

/// A run whose records are made by hand, each at its minute.
struct Run {
    state: RunState,
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

impl Run {
    fn opened(plan: Plan, request: Request) -> Self {
        let opened = Event::RunOpened {
            run: RunId("2026-11-21.1".to_owned()),
            token: String::new(),
            plan: Box::new(plan),
            request,
        };
        let state = RunState::open(&Record { seq: 0, at: at(0), event: opened }).unwrap();
        Self { state }
    }

    fn then(&mut self, minute: i64, event: Event) -> &mut Self {
        let record = Record { seq: self.state.latest_seq + 1, at: at(minute), event };
        self.state.apply(&record).unwrap();
        self
    }

    fn phase(&mut self, minute: i64, phase: usize) -> &mut Self {
        self.then(minute, Event::PhaseStarted { phase })
    }

    fn batch(&mut self, minute: i64, phase: usize, names: &str) -> &mut Self {
        let batch = self.state.phases[phase].batches;
        let event = Event::BatchFormed { phase, batch, nodes: nodes(names), last: Vec::new() };
        self.then(minute, event)
    }

    /// Every step of a turn is done in the moment in which it ends.
    fn ends(&mut self, minute: i64, phase: usize, name: &str) -> &mut Self {
        let ended = turn(phase, name);
        let keys: Vec<StepKey> = self.state.steps_of(&ended).iter().map(|step| ended.key(&step.id)).collect();
        for key in keys {
            self.then(minute, Event::StepStarted { key: key.clone(), attempt: 1, on: vec![node(name)] });
            self.then(minute, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done });
        }
        self.then(minute, Event::TurnEnded { turn: ended, end: TurnEnd::Done })
    }

    fn stops(&mut self, minute: i64) -> &mut Self {
        let stop = Stop { halt: Halt::Interrupted, why: String::new(), key: None };
        self.then(minute, Event::StopRequested { stop: stop.clone() });
        self.then(minute, Event::RunClosed { verdict: RunEnd::Stopped(stop) })
    }

    fn left(&self, minute: i64) -> Option<(u64, bool)> {
        left(&self.state, at(minute)).map(|left| (left.time.as_secs() / 60, left.whole))
    }
}

fn brokers(names: &str) -> Plan {
    plan(names, vec![rolling("brokers", |phase| phase.upgrade = vec![run("up")])])
}

/// Node a takes ten minutes, b takes twenty.
fn two_done(names: &str) -> Run {
    let mut run = Run::opened(brokers(names), finish());
    run.phase(0, 0).batch(0, 0, "a").ends(10, 0, "a").batch(10, 0, "b").ends(30, 0, "b");
    run
}

#[test]
fn nothing_is_known_before_the_first_turn_is_done() {
    let mut run = Run::opened(brokers("a b"), finish());
    assert_eq!(turn_length(&run.state, 0), None);
    run.phase(0, 0).batch(0, 0, "a");
    assert_eq!(run.left(5), None);
    run.ends(10, 0, "a");
    assert_eq!(run.left(10), Some((10, true)));
}

#[test]
fn the_median_of_those_that_are_done_counts() {
    let mut run = two_done("a b c d e");
    assert_eq!(turn_length(&run.state, 0), Some(minutes(15)));
    run.batch(30, 0, "c").ends(130, 0, "c");
    assert_eq!(turn_length(&run.state, 0), Some(minutes(20)));
    run.batch(130, 0, "d");
    assert_eq!(run.left(135), Some((15 + 20, true)));
    // One that takes longer than the others has nothing left to take from.
    assert_eq!(run.left(200), Some((20, true)));
}

#[test]
fn a_stop_is_no_part_of_a_turn() {
    let mut run = Run::opened(brokers("a b"), finish());
    run.phase(0, 0).batch(0, 0, "a").stops(4);
    run.then(600, Event::RunResumed { request: finish() });
    let ended = turn(0, "a");
    assert_eq!(run.state.turns[&ended].worked(run.state.idle, at(603)), minutes(7));
    run.ends(606, 0, "a");
    assert_eq!(turn_length(&run.state, 0), Some(minutes(10)));
    assert_eq!(run.state.turns[&ended].took, minutes(10));
    // What is left does not change while the run rests.
    run.batch(606, 0, "b").stops(608);
    assert_eq!(run.left(608), run.left(900));
    assert_eq!(run.left(900), Some((8, true)));
}

#[test]
fn nodes_of_a_batch_take_their_time_together() {
    let phase = rolling("brokers", |phase| {
        phase.upgrade = vec![super::super::tests::builder::run("up")];
        phase.batch = vec![BatchSize::Nodes(2)];
    });
    let mut run = Run::opened(plan("a b c d e", vec![phase]), finish());
    run.phase(0, 0).batch(0, 0, "a b").ends(10, 0, "a").ends(12, 0, "b");
    assert_eq!(run.left(12), Some((22, true)));
    run.batch(12, 0, "c d");
    assert_eq!(run.left(16), Some((7 + 11, true)));
}

#[test]
fn nodes_that_share_a_rack_are_not_of_one_batch() {
    let phase = rolling("brokers", |phase| {
        phase.upgrade = vec![super::super::tests::builder::run("up")];
        phase.batch = vec![BatchSize::Nodes(1), BatchSize::Nodes(3)];
        phase.spread = Some(VarName::parse("rack").unwrap());
    });
    let plan = plan("a=r1 b=r1 c=r2 d=r1 e=r2", vec![phase]);
    let mut run = Run::opened(plan, finish());
    run.phase(0, 0).batch(0, 0, "a").ends(10, 0, "a");
    assert_eq!(batches_to_come(&run.state, 0, &[]), [nodes("b c"), nodes("d e")]);
    assert_eq!(run.left(10), Some((20, true)));
}

#[test]
fn earlier_runs_tell_what_this_one_cannot_yet() {
    let mut past = Past::default();
    past.add(&two_done("a b").state);
    // An older run knows of a node that the newer one had no part for.
    let mut older = Run::opened(brokers("b c"), finish());
    older.phase(0, 0).batch(0, 0, "b").ends(5, 0, "b").batch(5, 0, "c").ends(45, 0, "c");
    past.add(&older.state);
    assert_eq!(past.of(&node("b")), Some(minutes(20)));
    assert_eq!(past.of(&node("c")), Some(minutes(40)));
    assert_eq!(past.of(&node("d")), None);
    let written = serde_json::to_string(&past).unwrap();
    assert_eq!(written, r#"{"brokers":{"a":600000,"b":1200000,"c":2400000}}"#);

    let request = Request { earlier: past, ..finish() };
    let mut run = Run::opened(brokers("a b"), request);
    assert_eq!(run.left(0), Some((40, true)));
    run.phase(0, 0).batch(0, 0, "a").ends(2, 0, "a");
    assert_eq!(turn_length(&run.state, 0), Some(minutes(15)));
}

#[test]
fn a_phase_that_nobody_knows_is_not_passed_over_in_silence() {
    let phases = || {
        vec![
            rolling("brokers", |phase| phase.upgrade = vec![super::super::tests::builder::run("up")]),
            single("migrate", vec![super::super::tests::builder::run("dump")]),
        ]
    };
    let mut run = Run::opened(plan("a b", phases()), finish());
    run.phase(0, 0).batch(0, 0, "a").ends(10, 0, "a");
    assert_eq!(run.left(10), Some((10, false)));
    run.batch(10, 0, "b").ends(20, 0, "b").then(20, Event::PhaseEnded { phase: 0 });
    run.phase(20, 1).batch(20, 1, "operator").ends(23, 1, "operator");
    assert_eq!(run.left(23), None);
    let mut past = Past::default();
    past.add(&run.state);
    let again = Run::opened(plan("a b", phases()), Request { earlier: past, ..finish() });
    assert_eq!(again.left(0), Some((23, true)));
}

#[test]
fn only_a_turn_that_is_yet_to_begin_can_be_held_up() {
    let mut run = Run::opened(brokers("a b"), finish());
    assert_eq!(next_phase(&run.state), Some(0));
    run.phase(0, 0).batch(0, 0, "a");
    assert_eq!(next_phase(&run.state), None);
    run.ends(1, 0, "a");
    assert_eq!(next_phase(&run.state), Some(0));
    let (nodes, lengths): (Vec<_>, Vec<_>) = to_come(&run.state).into_iter().unzip();
    assert_eq!((nodes, lengths), (vec![vec![node("b")]], vec![Some(minutes(1))]));
    run.batch(1, 0, "b").ends(2, 0, "b").then(2, Event::PhaseEnded { phase: 0 });
    assert_eq!(next_phase(&run.state), None);
    assert_eq!(run.left(2), None);
}

#[test]
fn a_turn_that_failed_has_begun_and_goes_on() {
    let phase = rolling("brokers", |phase| {
        phase.upgrade = vec![super::super::tests::builder::run("up")];
        phase.max_failures = 1;
    });
    let mut run = Run::opened(plan("a b", vec![phase]), finish());
    let key = turn(0, "a").key(&run.state.steps_of(&turn(0, "a"))[0].id);
    run.phase(0, 0).batch(0, 0, "a");
    run.then(1, Event::StepStarted { key: key.clone(), attempt: 1, on: vec![node("a")] });
    let kind = crate::model::event::FailureKind::Script;
    let failure = crate::model::event::Failure { kind, message: "no".into(), tail: Vec::new(), help: None };
    run.then(2, Event::StepEnded { key, attempt: 1, outcome: Outcome::Failed(failure) });
    run.then(2, Event::TurnEnded { turn: turn(0, "a"), end: TurnEnd::Failed }).stops(3);
    assert_eq!(run.state.turns[&turn(0, "a")].status, TurnStatus::Failed);
    assert_eq!(next_phase(&run.state), None);
}

#[test]
fn what_was_passed_outside_of_a_window_is_known_once_for_each_reason() {
    use crate::model::window::Outside;
    let outside = |reason: &str| Outside {
        why: "the window is closed".to_owned(),
        reason: reason.to_owned(),
        by: finish().by,
    };
    let mut run = Run::opened(brokers("a b"), finish());
    run.phase(0, 0);
    for reason in ["CHG-1", "CHG-1", "CHG-2"] {
        run.then(0, Event::WindowPassed { phase: 0, outside: outside(reason) });
    }
    let mut another = outside("CHG-2");
    another.by.pid += 1;
    run.then(0, Event::WindowPassed { phase: 0, outside: another.clone() });
    another.by.user = "bob".to_owned();
    run.then(0, Event::WindowPassed { phase: 0, outside: another });
    let reasons: Vec<(&str, &str)> =
        run.state.outside.iter().map(|outside| (outside.reason.as_str(), outside.by.user.as_str())).collect();
    assert_eq!(reasons, [("CHG-1", "ann"), ("CHG-2", "ann"), ("CHG-2", "bob")]);
    assert_eq!(run.state.outside[0].sentence(), "CHG-1 (ann; the window is closed)");
    let unknown = Event::WindowPassed { phase: 7, outside: outside("CHG-1") };
    let record = Record { seq: run.state.latest_seq + 1, at: at(0), event: unknown };
    assert!(Arc::new(run.state).admits(&record).is_err());
}
