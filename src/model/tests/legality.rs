//! What cannot have happened is an error, and every event survives the journal.

use proptest::prelude::*;

use super::builder::*;
use super::resumption::rich;
use super::simulator::{Simulation, World, epoch, simulate};
use crate::model::condition::{Value, Verdict};
use crate::model::event::{
    Decision, Event, FailureKind, Goal, Halt, How, Means, Outcome, Question, Reading, Record, Request,
    RunEnd, Settlement, Stop, TurnEnd,
};
use crate::model::name::{CheckName, RoleName, VarName};
use crate::model::plan::{Plan, StepKey};
use crate::model::procedure::Scope;
use crate::model::state::RunState;

fn key(text: &str) -> StepKey {
    StepKey::try_from(text.to_owned()).unwrap()
}

fn started(text: &str, attempt: u32) -> Event {
    Event::StepStarted { key: key(text), attempt, on: nodes("a") }
}

fn ended(text: &str, outcome: Outcome) -> Event {
    Event::StepEnded { key: key(text), attempt: 1, outcome }
}

fn batch(phase: usize, names: &str) -> Event {
    Event::BatchFormed { phase, batch: 0, nodes: nodes(names), last: Vec::new() }
}

fn answered(question: Question, decision: Decision) -> Event {
    let by = finish().by;
    Event::Answered { question, decision, how: How::Terminal, by, readings: Vec::new() }
}

fn settled(text: &str, undo: bool) -> Event {
    let (verdict, how) = (Settlement::Done, Means::Decided);
    Event::Settled { key: key(text), undo, verdict, how, by: Some(finish().by), why: String::new() }
}

fn left(text: &str, undo: bool) -> Event {
    Event::LeftUnknown { key: key(text), undo, why: String::new() }
}

fn trouble(text: &str, undo: bool) -> Question {
    Question::Trouble { key: key(text), undo }
}

const STOP: &str = "p.drain.1";

/// Node a has begun: `a/p.drain.1` (temporary), `a/p.upgrade.1`; b and c are to do.
fn small() -> Plan {
    let phase = rolling("p", |phase| {
        phase.drain = vec![run("stop").temporary(Scope::Node)];
        phase.upgrade = vec![run("up")];
    });
    plan("a b c", vec![phase, single("q", vec![run("end")])])
}

fn begun(events: &[Event]) -> Simulation {
    let mut simulation = Simulation::open(small(), finish());
    simulation.commit(Event::PhaseStarted { phase: 0 });
    simulation.commit(batch(0, "a"));
    for event in events {
        simulation.commit(event.clone());
    }
    simulation
}

#[test]
fn what_cannot_follow_is_refused() {
    let drain = format!("a/{STOP}");
    let up = "a/p.upgrade.1";
    let done = Outcome::Done;
    let both = [
        started(&drain, 1),
        ended(&drain, done.clone()),
        started(up, 1),
        ended(up, failed(FailureKind::Script)),
    ];
    let through = [&both[..3], &[ended(up, done.clone())]].concat();
    let unknown = [&both[..3], &[ended(up, super::builder::unknown()), left(up, false)]].concat();
    let twice = [&unknown[..], &[settled(up, false)]].concat();
    let undoing = [&through[..], &[Event::UndoStarted { key: key(&drain), attempt: 1 }]].concat();
    let closed = [Event::RunClosed {
        verdict: RunEnd::Stopped(Stop { halt: Halt::Interrupted, why: String::new(), key: None }),
    }];
    let end = |end: TurnEnd| Event::TurnEnded { turn: turn(0, "a"), end };
    let cases: Vec<(&str, &[Event], Event)> = vec![
        ("a run opens once", &[], Simulation::open(small(), finish()).records[0].event.clone()),
        ("a phase starts once", &[], Event::PhaseStarted { phase: 0 }),
        ("there is no such phase", &[], Event::PhaseStarted { phase: 9 }),
        ("a phase that began is not skipped", &[], Event::PhaseSkipped { phase: 0, why: String::new() }),
        ("a phase with nodes to do does not end", &through, Event::PhaseEnded { phase: 0 }),
        ("a phase that has not begun does not end", &[], Event::PhaseEnded { phase: 1 }),
        ("the batch before is at work", &[], batch(0, "b")),
        ("no batch before the phase", &[], batch(1, "operator")),
        ("a step of no turn", &[], started("b/p.drain.1", 1)),
        ("no such step", &[], started("a/p.drain.7", 1)),
        ("a step on its way back", &[], started("a/p.rollback.1", 1)),
        ("the first attempt has number 1", &[], started(&drain, 2)),
        ("a step begins once", &both[..1], started(&drain, 2)),
        ("a step that is done begins no more", &both[..2], started(&drain, 2)),
        ("a step ends that has not begun", &[], ended(&drain, done.clone())),
        ("a step ends once", &both[..2], ended(&drain, done.clone())),
        (
            "an attempt that is not under way ends",
            &both[..1],
            Event::StepEnded { key: key(&drain), attempt: 2, outcome: done.clone() },
        ),
        ("an interruption without a stop", &both[..1], ended(&drain, Outcome::Interrupted)),
        ("nothing to undo", &[], Event::UndoStarted { key: key(&drain), attempt: 1 }),
        ("nothing to undo in a step without undo", &both, Event::UndoStarted { key: key(up), attempt: 1 }),
        ("undone while it runs", &both[..1], Event::UndoStarted { key: key(&drain), attempt: 1 }),
        ("the first undo has number 1", &through, Event::UndoStarted { key: key(&drain), attempt: 2 }),
        ("undone twice at a time", &undoing, Event::UndoStarted { key: key(&drain), attempt: 2 }),
        (
            "an undo ends that has not begun",
            &through,
            Event::UndoEnded { key: key(&drain), attempt: 1, outcome: done.clone() },
        ),
        ("a turn ends with a step missing", &both[..2], end(TurnEnd::Done)),
        ("a turn fails without a failure", &through, end(TurnEnd::Failed)),
        ("a turn is skipped that nobody skipped", &both, end(TurnEnd::Skipped { reason: String::new() })),
        ("a turn is taken back that is not on its way", &through, end(TurnEnd::RolledBack)),
        ("a turn ends while its undo runs", &undoing, end(TurnEnd::Done)),
        ("a turn that has not begun ends", &[], Event::TurnEnded { turn: turn(0, "b"), end: TurnEnd::Done }),
        ("no trouble to ask about", &through, Event::Asked { question: trouble(up, false) }),
        ("no trouble with the undo", &through, Event::Asked { question: trouble(&drain, true) }),
        ("a gate that does not run asks", &[], Event::Asked { question: Question::Gate { key: key(up) } }),
        ("an answer that nobody asked for", &both, answered(trouble(up, false), Decision::Retry)),
        (
            "a capture by no step",
            &[],
            Event::Captured { key: key("a/x.y.1"), name: VarName::parse("v").unwrap(), value: None },
        ),
        ("a step that is no point of no return", &both, Event::PointPassed { key: key(up) }),
        (
            "readings of a step that has not begun",
            &[],
            Event::ReadingTaken { key: key(up), readings: Vec::new() },
        ),
        ("finished with phases open", &[], Event::RunClosed { verdict: RunEnd::Finished }),
        ("staged, and more was wanted", &[], Event::RunClosed { verdict: RunEnd::Staged }),
        ("settled, and it is done", &through, settled(up, false)),
        ("settled, and it has not begun", &both[..2], settled(up, false)),
        ("settled while it runs", &both[..1], settled(&drain, false)),
        ("an undo is settled that has not begun", &through, settled(&drain, true)),
        ("an undo is settled while it runs", &undoing, settled(&drain, true)),
        ("an unknown step's undo is settled", &unknown, settled(up, true)),
        ("left unknown, and it is done", &through, left(up, false)),
        ("left unknown twice", &unknown, left(up, false)),
        ("an unknown step begins again", &unknown, started(up, 2)),
        ("settled twice", &twice, settled(up, false)),
        ("closed while a step runs", &both[..1], closed[0].clone()),
        ("something after the end", &closed, Event::PhaseEnded { phase: 0 }),
        ("closed twice", &closed, closed[0].clone()),
    ];
    for (what, before, event) in cases {
        let mut simulation = begun(before);
        let record =
            |event| Record { seq: simulation.state.latest_seq + 1, at: simulation.state.latest_at, event };
        let tried = simulation.state.admits(&record(event));
        assert!(tried.is_err(), "{what}");
        assert_eq!(tried.unwrap_err().seq, simulation.state.latest_seq + 1);
        let first = record(Event::PhaseStarted { phase: 0 });
        assert!(simulation.state.apply(&Record { seq: 99, ..first }).is_err(), "a gap");
    }
}

#[test]
fn batches_hold_nodes_that_are_to_do_once() {
    let simulation = {
        let mut simulation = Simulation::open(small(), finish());
        simulation.commit(Event::PhaseStarted { phase: 0 });
        simulation
    };
    for names in ["", "a a", "x", "operator"] {
        let seq = simulation.state.latest_seq + 1;
        let record = Record { seq, at: simulation.state.latest_at, event: batch(0, names) };
        assert!(simulation.state.admits(&record).is_err(), "[{names}]");
    }
}

#[test]
fn a_journal_begins_at_its_beginning() {
    let opened = Simulation::open(small(), finish()).records[0].clone();
    assert!(RunState::open(&Record { seq: 1, ..opened.clone() }).is_err());
    assert!(RunState::open(&Record { event: Event::PhaseStarted { phase: 0 }, ..opened }).is_err());
    assert_eq!(RunState::replay(&[]), Ok(None));
}

#[test]
fn what_is_over_is_not_resumed() {
    let mut simulation = simulate(small(), finish(), &mut World::default());
    let resumed = |simulation: &Simulation, goal| {
        let event = Event::RunResumed { request: request(goal) };
        let record = Record { seq: simulation.state.latest_seq + 1, at: simulation.state.latest_at, event };
        simulation.state.admits(&record).is_ok()
    };
    assert!(!resumed(&simulation, Goal::Finished));
    assert!(resumed(&simulation, Goal::Unstaged));
    simulation.resume(request(Goal::Unstaged)).run(&mut World::default());
    for goal in [Goal::Finished, Goal::Staged, Goal::Unstaged, Goal::RolledBack(Vec::new())] {
        assert!(!resumed(&simulation, goal));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Numbers of readings survive the journal to the last bit.
    #[test]
    fn readings_survive_the_journal(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let reading = reading(Some(Value::Number(number)), Verdict::Holds);
        let event = Event::ReadingTaken { key: key("a/p.drain.1"), readings: vec![reading] };
        let line = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

fn reading(value: Option<Value>, verdict: Verdict) -> Reading {
    Reading {
        check: "queue".to_owned(),
        node: node("a"),
        value,
        verdict,
        needs: "<= 0".to_owned(),
        unit: Some("messages".to_owned()),
        evidence: vec!["\u{1b}[2J".to_owned()],
        remedy: None,
        at: epoch(),
    }
}

#[test]
fn every_event_survives_the_journal() {
    let opened = Simulation::open(rich(), finish()).records[0].event.clone();
    let why = || "because".to_owned();
    let readings = vec![
        reading(None, Verdict::Unreadable { why: why() }),
        reading(Some(Value::Text("x".into())), Verdict::DoesNotHold { why: why() }),
        reading(Some(Value::Lines(vec!["a b".into()])), Verdict::Holds),
        reading(Some(Value::Exit(255)), Verdict::Holds),
        reading(Some(Value::Json(serde_json::json!({"b": [1.5, null], "a": true}))), Verdict::Holds),
    ];
    let stop = Stop { halt: Halt::VerifyFailed, why: why(), key: Some(key("a/p.drain.1")) };
    let decisions = [
        Decision::Yes,
        Decision::No,
        Decision::Override { reason: why() },
        Decision::Retry,
        Decision::MarkDone { reason: why() },
        Decision::SkipNode { reason: why() },
        Decision::RollBack,
    ];
    let outcomes = [
        Outcome::Done,
        Outcome::Skipped { why: why() },
        failed(FailureKind::Local),
        Outcome::Interrupted,
        unknown(),
    ];
    let ends = [TurnEnd::Done, TurnEnd::Failed, TurnEnd::Skipped { reason: why() }, TurnEnd::RolledBack];
    let verdicts = [
        RunEnd::Staged,
        RunEnd::Finished,
        RunEnd::Stopped(stop.clone()),
        RunEnd::Unstaged,
        RunEnd::RolledBack,
    ];
    let k = || key("a/p.drain.1");
    let mut events = vec![
        opened,
        Event::RunResumed { request: request(Goal::RolledBack(vec![turn(0, "a")])) },
        Event::RunResumed {
            request: Request { limit: Some(nodes("a")), pause_after: Some(node("b")), ..attended() },
        },
        Event::BaselineTaken {
            check: CheckName::parse("sync").unwrap(),
            node: node("a"),
            verdict: Verdict::Holds,
        },
        Event::RolePinned { role: RoleName::parse("leader").unwrap(), nodes: nodes("a b") },
        Event::VersionRead { node: node("a"), version: "1.10".into() },
        Event::PhaseStarted { phase: 0 },
        Event::PhaseSkipped { phase: 0, why: why() },
        batch(0, "a b"),
        started("a/p.drain.1", 1),
        Event::UndoStarted { key: k(), attempt: 3 },
        Event::Captured { key: k(), name: VarName::parse("v").unwrap(), value: Some("x\ny".into()) },
        Event::Captured { key: k(), name: VarName::parse("v").unwrap(), value: None },
        Event::ReadingTaken { key: k(), readings },
        Event::Asked { question: Question::During { key: k() } },
        Event::Asked { question: trouble("a/p.drain.1", true) },
        Event::PointPassed { key: k() },
        settled("a/p.drain.1", true),
        left("a/p.drain.1", false),
        Event::RunResumed {
            request: Request { decisions: vec!["a/p.drain.1.undo=fail:why".parse().unwrap()], ..finish() },
        },
        Event::PhaseEnded { phase: 7 },
        Event::StopRequested { stop },
    ];
    events.extend(decisions.map(|decision| answered(Question::Gate { key: k() }, decision)));
    events.extend(outcomes.clone().map(|outcome| ended("a/p.drain.1", outcome)));
    events.extend(outcomes.map(|outcome| Event::UndoEnded { key: k(), attempt: 1, outcome }));
    events.extend(ends.map(|end| Event::TurnEnded { turn: turn(1, "a"), end }));
    events.extend(verdicts.map(|verdict| Event::RunClosed { verdict }));
    for event in events {
        let line = serde_json::to_string(&event).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
    }
}
