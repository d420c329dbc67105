//! Restrictions of SSH: undone at once when they fail, and undone once, whoever does it: rollgate or the node.

use std::time::Duration;

use super::builder::*;
use super::simulator::{Simulation, World, forgetful, simulate};
use crate::model::event::{
    Decided, Decision, Event, FailureKind, Goal, Halt, Outcome, Question, Request, Reverting, RunEnd,
    Settlement,
};
use crate::model::plan::{Plan, Work};
use crate::model::procedure::{CheckRef, Restriction, Scope};
use crate::model::state::UndoStatus;

const AFTER: Option<Duration> = Some(Duration::from_mins(2));

/// Shuts somebody out of each node for its turn.
fn closing(revert_after: Option<Duration>) -> Plan {
    let phase = rolling("all", |phase| {
        phase.drain = vec![run("stop").temporary(Scope::Node)];
        phase.upgrade = vec![run("close").restricting(revert_after).temporary(Scope::Node), run("up")];
    });
    plan("a b", vec![phase])
}

/// The same, with a step whose node undoes it by itself.
pub(super) fn restricted() -> Plan {
    closing(AFTER)
}

#[test]
fn one_that_failed_is_undone_at_once() {
    for after in [None, AFTER] {
        let simulation = simulate(closing(after), finish(), &mut World::failing(&["a close"]));
        assert_eq!(simulation.story(), "[a], a stop, a close, a ~close, a ~stop");
        assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
    }
}

/// Also when nothing says that it is temporary, and before anybody is asked about anything.
#[test]
fn one_that_stays_is_undone_at_once_too() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("close").restricting(None), run("up")]);
    let plan = plan("a", vec![phase]);
    let simulation = simulate(plan.clone(), finish(), &mut World::failing(&["a close"]));
    assert_eq!(simulation.story(), "[a], a close, a ~close");
    let mut asked = Vec::new();
    let mut world = World::failing(&["a close"]).answering(|_| Decision::No);
    let simulation = simulate(plan.clone(), attended(), &mut world);
    asked.extend(simulation.records.iter().filter_map(|record| match &record.event {
        Event::Asked { question: Question::Trouble { undo, .. } } => Some(("asked", *undo)),
        Event::UndoEnded { .. } => Some(("undone", true)),
        _ => None,
    }));
    assert_eq!(asked, [("undone", true), ("asked", false)]);
    // What works is no temporary change, and stays.
    let simulation = simulate(plan, finish(), &mut World::default());
    assert_eq!(simulation.story(), "[a], a close, a up");
}

#[test]
fn it_is_tried_again_after_its_undo_and_not_before() {
    let phase = rolling("all", |phase| {
        phase.upgrade = vec![run("close").restricting(AFTER).temporary(Scope::Node).retried(1)];
    });
    let once = |name: &str, attempt| {
        if name == "a close" && attempt == 1 { failed(FailureKind::Check) } else { Outcome::Done }
    };
    let mut world = World { step: Box::new(once), ..World::default() };
    let simulation = simulate(plan("a", vec![phase]), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a close, a ~close, a close, a ~close");
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn an_undo_that_fails_stops_the_run_and_is_still_in_force() {
    let undo = |name: &str, _| if name == "a close" { failed(FailureKind::Script) } else { Outcome::Done };
    let mut world = World {
        undo: Box::new(move |name: &str, attempt| undo(&name.replacen('~', "", 1), attempt)),
        ..World::failing(&["a close"])
    };
    let simulation = simulate(closing(None), finish(), &mut world);
    let in_force: Vec<_> = simulation.state.outstanding().into_iter().map(ToString::to_string).collect();
    assert_eq!(in_force, ["a/all.upgrade.1"]);
}

/// The node was first: whoever comes to confirm, or to undo, finds it undone.
#[test]
fn what_the_node_undid_by_itself_is_not_undone_again() {
    for (failing, story) in [
        // Nobody confirmed it in time.
        (&[][..], "[a], a stop, a close, a @close, a ~stop"),
        // It failed, and by the time that it is to be undone it is.
        (&["a close"][..], "[a], a stop, a close, a ~close, a @close, a ~stop"),
    ] {
        let mut world = World { reverts: Box::new(|name| name == "a close"), ..World::failing(failing) };
        let simulation = simulate(closing(AFTER), finish(), &mut world);
        assert_eq!(simulation.story(), story);
        assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
        assert!(simulation.state.outstanding().is_empty());
        assert_eq!(simulation.state.armed().count(), 0);
    }
}

#[test]
fn a_change_of_the_node_counts_as_not_made() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("close").restricting(AFTER)]);
    let mut world = World { reverts: Box::new(|_| true), ..World::default() };
    let simulation = simulate(plan("a", vec![phase]), finish(), &mut world);
    let state = &simulation.state;
    assert!(state.turns.keys().all(|turn| !state.has_changed(turn)));
    assert!(state.steps.values().all(|step| step.undo == UndoStatus::Done && !step.changed));
}

/// From every moment at which rollgate may die, whatever the node did meanwhile: the run comes to its end, nothing
/// is undone twice, and nothing is left armed.
#[test]
fn from_every_prefix_whoever_was_first() {
    let whole = simulate(closing(AFTER), finish(), &mut World::default());
    assert_eq!(*whole.verdict(), RunEnd::Finished);
    let armed = |simulation: &Simulation| simulation.state.armed().count();
    let mut taken_back = 0;
    for length in 1..whole.records.len() {
        for node_is_first in [false, true] {
            for never_began in [false, true] {
                let mut again = whole.cut(length);
                let was_armed = armed(&again) > 0;
                // It undid it while nobody was there; what is made after that is confirmed.
                let mut first = node_is_first;
                let recovered = if never_began { Outcome::Interrupted } else { Outcome::Done };
                let mut world = World {
                    reverts: Box::new(move |_| std::mem::take(&mut first) && was_armed),
                    recover: Box::new(move |_, _| recovered.clone()),
                    ..World::default()
                };
                again.resume(finish()).run(&mut world).audit();
                assert_eq!(*again.verdict(), RunEnd::Finished, "cut at {length}");
                assert_eq!(armed(&again), 0, "cut at {length}");
                let reverted = again.log.iter().filter(|entry| entry.contains('@')).count();
                assert_eq!(reverted, usize::from(was_armed && node_is_first), "cut at {length}");
                if reverted > 0 {
                    let closed = again.log.iter().filter(|entry| entry.ends_with(" close")).count();
                    assert!(closed > 0, "it is done again: {:?}", again.log);
                }
                taken_back += reverted;
            }
        }
    }
    assert!(taken_back > 2, "the node was never first");
}

/// Whatever the goal is with which another invocation comes.
#[test]
fn from_every_prefix_unstaged() {
    let whole = simulate(closing(AFTER), finish(), &mut World::default());
    for length in 1..whole.records.len() {
        for node_is_first in [false, true] {
            let mut again = whole.cut(length);
            let mut world = World { reverts: Box::new(move |_| node_is_first), ..World::default() };
            again.resume(request(Goal::Unstaged)).run(&mut world).audit();
            assert_eq!(*again.verdict(), RunEnd::Unstaged, "cut at {length}");
            assert!(
                again.state.outstanding().is_empty() && again.state.armed().count() == 0,
                "cut at {length}"
            );
        }
    }
}

#[test]
fn what_nobody_knows_stays_armed_and_is_settled_by_the_next_one() {
    let mut simulation = Simulation::open(closing(AFTER), finish());
    while !simulation.log.contains(&"a close".to_owned()) {
        assert!(simulation.step(&mut World::default()));
    }
    simulation.resume(finish()).run(&mut forgetful());
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    simulation.resume(finish()).run(&mut World { reverts: Box::new(|_| true), ..World::default() });
    assert_eq!(simulation.state.armed().count(), 0);
}

/// Somebody decides that it is to be done again before anybody has heard of the node. The node's undo was of the
/// attempt before; what is made now can be undone all the same.
#[test]
fn an_attempt_after_the_nodes_undo_is_to_be_undone_as_well() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("close").restricting(AFTER), run("up")]);
    let mut simulation = Simulation::open(plan("a", vec![phase]), finish());
    while !simulation.log.contains(&"a close".to_owned()) {
        assert!(simulation.step(&mut World::default()));
    }
    simulation.resume(finish()).run(&mut forgetful());
    assert_eq!(simulation.state.armed().count(), 1, "nobody has heard of the node");
    let key = simulation.state.armed().next().unwrap().0.clone();
    let decided = Decided { key: key.clone(), undo: false, verdict: Settlement::NotDone, why: None };
    let mut first = true;
    let mut world = World { reverts: Box::new(move |_| std::mem::take(&mut first)), ..forgetful() };
    simulation.resume(Request { decisions: vec![decided], ..finish() }).run(&mut world).audit();
    assert_eq!(simulation.story(), "a @close, a close, a up");
    let step = simulation.state.step(&key).unwrap();
    assert!(step.undo == UndoStatus::Due && step.changed, "{step:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let simulation = simulate(closing(AFTER), finish(), &mut World::default());
    let place = |wanted: fn(&Event) -> bool| {
        simulation.records.iter().position(|record| wanted(&record.event)).unwrap()
    };
    let ended = place(|event| matches!(event, Event::RevertEnded { .. }));
    let armed = place(|event| matches!(event, Event::RevertArmed { .. }));
    let before = |length: usize| simulation.cut(length).state;
    let again = |length: usize, event: &Event| {
        let mut record = simulation.records[length].clone();
        record.event = event.clone();
        before(length).admits(&record).unwrap_err().why
    };
    // Armed twice; done while the node may undo it; ended and not armed.
    assert!(again(armed + 1, &simulation.records[armed].event).contains("earlier attempt"));
    assert!(again(ended, &simulation.records[ended + 1].event).contains("its node undoes it"));
    assert!(again(ended + 1, &simulation.records[ended].event).contains("was not told"));
    let Event::RevertEnded { key, .. } = &simulation.records[ended].event else { panic!() };
    let interrupted = Reverting::Reverted { outcome: Outcome::Interrupted };
    let event = Event::RevertEnded { key: key.clone(), attempt: 1, end: interrupted };
    assert!(again(ended, &event).contains("not interrupted"));
    // A step that does not say so is never armed.
    let mut plain = closing(None);
    std::mem::swap(&mut plain.phases, &mut closing(None).phases);
    let simulation = simulate(plain, finish(), &mut World::default());
    assert!(!simulation.records.iter().any(|record| matches!(record.event, Event::RevertArmed { .. })));
}

#[test]
fn the_way_in_is_asked_right_before_the_step_and_again_before_the_next_attempt() {
    let Some(Work::Step(asked)) = plan("a", vec![single("x", vec![check("way")])]).phases[0]
        .steps
        .first()
        .map(|step| step.work.clone())
    else {
        panic!("a check is a step")
    };
    let crate::model::procedure::Action::Check(way_in) = asked.action else { panic!("it is a check") };
    let mut close = run("close").restricting(None).retried(1);
    close.restricts = Some(Restriction { way_in: Some(CheckRef::clone(&way_in)), revert_after: None });
    let phase = rolling("all", |phase| phase.drain = vec![run("stop").temporary(Scope::Node), close]);
    let plan = plan("a", vec![phase]);
    let simulation = simulate(plan.clone(), finish(), &mut World::failing(&["a close"]));
    let way = "a way in before \"close\"";
    let twice = format!("[a], a stop, {way}, a close, a ~close, a close, a ~close, a ~stop");
    assert_eq!(simulation.story(), twice);
    let mut world = World { step: Box::new(move |name, _| refuses(name, way)), ..World::default() };
    let mut simulation = simulate(plan, finish(), &mut world);
    assert_eq!(simulation.story(), format!("[a], a stop, {way}, a ~stop"));
    // Nothing was changed: every node is whole.
    assert_eq!(simulation.halt(), Some(Halt::CheckFailed));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), format!("a stop, {way}, a close, a ~stop"));
}

fn refuses(name: &str, way: &str) -> Outcome {
    if name == way { failed(FailureKind::Check) } else { Outcome::Done }
}
