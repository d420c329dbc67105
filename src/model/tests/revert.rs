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
use crate::model::schedule::{self, Move};
use crate::model::state::{StepStatus, UndoStatus};

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

/// A restriction that stays, and something after it. Contact is lost after it, and nobody knows how it ended.
fn lost(request: Request) -> Simulation {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("close").restricting(AFTER), run("up")]);
    let mut simulation = Simulation::open(plan("a", vec![phase]), request);
    while !simulation.log.contains(&"a close".to_owned()) {
        assert!(simulation.step(&mut World::default()));
    }
    simulation
}

fn unknown_at_first() -> World {
    let step = |name: &str, attempt| match (name, attempt) {
        ("a close", 1) => unknown(),
        _ => Outcome::Done,
    };
    World { step: Box::new(step), ..forgetful() }
}

fn mark_done() -> Decision {
    Decision::MarkDone { reason: "I looked".to_owned() }
}

fn names(simulation: &Simulation) -> Vec<&'static str> {
    simulation
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Answered { .. } => Some("answered"),
            Event::Settled { .. } => Some("settled"),
            Event::RevertEnded { .. } => Some("reverted"),
            Event::StepEnded { outcome: Outcome::Done, .. } => Some("done"),
            Event::StepEnded { outcome: Outcome::Skipped { .. }, .. } => Some("skipped"),
            _ => None,
        })
        .collect()
}

/// Somebody's word is no new login: the node would undo it all the same.
#[test]
fn what_is_taken_as_done_counts_when_a_new_login_has_confirmed_it() {
    let mut world = unknown_at_first().answering(|_| mark_done());
    let simulation = lost(attended()).run(&mut world).clone();
    simulation.audit();
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
    assert_eq!(simulation.story(), "[a], a close, a up");
    assert_eq!(names(&simulation), ["answered", "reverted", "done", "done"]);
    // Decided beforehand it is no other thing.
    let mut simulation = lost(finish());
    simulation.run(&mut unknown_at_first());
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    simulation.resume(decided(Settlement::Done)).run(&mut forgetful()).audit();
    assert_eq!(names(&simulation), ["settled", "reverted", "done", "done"]);
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

/// What is decided about `a close`.
fn decided(verdict: Settlement) -> Request {
    let key = "a/all.upgrade.1".to_owned().try_into().unwrap();
    Request { decisions: vec![Decided { key, undo: false, verdict, why: None }], ..finish() }
}

#[test]
fn what_is_taken_as_done_and_its_node_has_undone_is_not_done() {
    let mut simulation = lost(finish());
    simulation.run(&mut unknown_at_first());
    let mut first = true;
    let mut world = World { reverts: Box::new(move |_| std::mem::take(&mut first)), ..forgetful() };
    simulation.resume(decided(Settlement::Done)).run(&mut world).audit();
    assert_eq!(simulation.story(), "a @close, a close, a up");
    // Whoever is there is told, and decides.
    let mut answers = vec![Decision::No, mark_done()];
    let mut world = unknown_at_first().answering(move |_| answers.pop().unwrap());
    world.reverts = Box::new(|_| true);
    let simulation = lost(attended()).run(&mut world).clone();
    assert_eq!(simulation.story(), "[a], a close, a @close");
    assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
    assert!(simulation.state.steps.values().all(|step| step.undo == UndoStatus::Done && !step.changed));
}

/// The word is tried once for each time that it is given.
#[test]
fn what_is_taken_as_done_stays_unknown_where_nobody_can_ask_the_node() {
    let mut simulation = lost(finish());
    simulation.run(&mut unknown_at_first());
    let mut world = World { confirms: Box::new(|_| unknown()), ..forgetful() };
    simulation.resume(decided(Settlement::Done)).run(&mut world).audit();
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    assert_eq!(simulation.state.armed().count(), 1);
    let mut tries = 0;
    let mut asked = 0;
    let mut world = World { confirms: Box::new(|_| unknown()), ..unknown_at_first() };
    world.answer = Box::new(move |_| {
        asked += 1;
        if asked < 3 { mark_done() } else { Decision::No }
    });
    let simulation = lost(attended()).run(&mut world).clone();
    for record in &simulation.records {
        tries += usize::from(matches!(&record.event, Event::Answered { .. }));
    }
    assert_eq!((tries, simulation.halt()), (3, Some(Halt::Unknown)));
}

/// A new login that is not let in is what the guard is for.
#[test]
fn what_is_taken_as_done_and_lets_nobody_in_is_undone_at_once() {
    let mut world = unknown_at_first().answering(|_| mark_done());
    world.confirms = Box::new(|_| failed(FailureKind::Check));
    let mut simulation = lost(finish());
    simulation.run(&mut unknown_at_first());
    simulation.resume(decided(Settlement::Done)).run(&mut world).audit();
    assert_eq!(simulation.story(), "a ~close, a close, a up");
    assert_eq!(simulation.state.armed().count(), 0);
}

#[test]
fn a_retry_that_finds_it_done_is_confirmed_first() {
    for (node_is_first, story) in [(false, "a close=, a up"), (true, "a @close, a close, a up")] {
        let mut simulation = lost(finish());
        simulation.run(&mut unknown_at_first());
        let mut first = node_is_first;
        let mut world = World {
            skips: Box::new(|name, attempt| name == "a close" && attempt == 2),
            reverts: Box::new(move |_| std::mem::take(&mut first)),
            ..forgetful()
        };
        simulation.resume(decided(Settlement::NotDone)).run(&mut world).audit();
        assert_eq!(simulation.story(), story);
        assert_eq!(*simulation.verdict(), RunEnd::Finished);
    }
}

#[test]
fn nothing_that_its_node_may_undo_is_done_or_skipped_or_undone() {
    let mut simulation = lost(finish());
    let key = simulation.state.armed().next().unwrap().0.clone();
    let refused = |simulation: &Simulation, event: Event| {
        let mut record = simulation.records.last().unwrap().clone();
        record.seq += 1;
        record.event = event;
        simulation.state.admits(&record).unwrap_err().why
    };
    for outcome in [Outcome::Done, Outcome::Skipped { why: "there".to_owned() }] {
        let event = Event::StepEnded { key: key.clone(), attempt: 1, outcome };
        assert!(refused(&simulation, event).contains("its node undoes it"));
    }
    simulation.commit(Event::StepEnded { key: key.clone(), attempt: 1, outcome: failed(FailureKind::Check) });
    simulation.commit(Event::UndoStarted { key: key.clone(), attempt: 1 });
    for outcome in [Outcome::Done, Outcome::Skipped { why: "there".to_owned() }] {
        let event = Event::UndoEnded { key: key.clone(), attempt: 1, outcome };
        assert!(refused(&simulation, event).contains("its node undoes it"));
    }
}

/// Nobody confirms what nobody goes on with.
#[test]
fn a_node_that_is_left_out_is_left_open() {
    let skip = || Decision::SkipNode { reason: "later".to_owned() };
    let mut world = unknown_at_first().answering(move |_| skip());
    let simulation = lost(attended()).run(&mut world).clone();
    simulation.audit();
    assert_eq!(simulation.story(), "[a], a close, a ~close");
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
    for goal in [Goal::Unstaged, Goal::RolledBack(simulation.state.turns.keys().cloned().collect())] {
        let mut simulation = lost(finish());
        simulation.run(&mut unknown_at_first());
        simulation.resume(request(goal)).run(&mut forgetful()).audit();
        assert_eq!(simulation.story(), "a ~close");
        assert_eq!(simulation.state.armed().count(), 0);
    }
}

#[test]
fn no_run_is_over_while_a_node_may_yet_undo_something() {
    let whole = simulate(closing(AFTER), finish(), &mut World::default());
    let mut state = whole.cut(whole.records.len() - 1).state;
    assert_eq!(schedule::next(&state), [Move::Close(RunEnd::Finished)]);
    let step = state.steps.values_mut().find(|step| step.undo_attempts > 0).unwrap();
    let after = AFTER.unwrap();
    step.armed = Some(crate::model::state::Armed { attempt: 1, at: super::simulator::epoch(), after });
    let moves = schedule::next(&state);
    assert!(matches!(&moves[..], [Move::Stop(why)] if why.halt == Halt::Unknown), "{moves:?}");
}

/// Somebody's word that it was undone does not keep its node from undoing it as well.
#[test]
fn what_is_taken_as_undone_counts_when_its_node_does_not_undo_it_any_more() {
    for (node_is_first, story) in [(false, ""), (true, "a @close")] {
        let mut simulation = lost(attended());
        let key = simulation.state.armed().next().unwrap().0.clone();
        let outcome = failed(FailureKind::Check);
        simulation.commit(Event::StepEnded { key: key.clone(), attempt: 1, outcome });
        simulation.commit(Event::UndoStarted { key: key.clone(), attempt: 1 });
        simulation.commit(Event::UndoEnded { key: key.clone(), attempt: 1, outcome: unknown() });
        let answer = |question: &Question| match question {
            Question::Trouble { undo: true, .. } => mark_done(),
            _ => Decision::SkipNode { reason: "later".to_owned() },
        };
        let mut world = World { reverts: Box::new(move |_| node_is_first), ..World::default() };
        world.answer = Box::new(answer);
        let mut simulation = simulation.cut(simulation.records.len());
        simulation.run(&mut world).audit();
        assert_eq!(simulation.story(), story);
        assert_eq!(simulation.state.step(&key).unwrap().undo, UndoStatus::Done);
        assert_eq!(simulation.state.armed().count(), 0);
    }
}

/// Rollgate may die between the node's word that it has undone a step and the end of what asked for it. However the
/// node's undo ended: nothing is undone twice, and nothing of that step counts as done.
#[test]
fn from_every_prefix_of_a_run_whose_node_was_first() {
    for failing in [&[][..], &["a close"][..]] {
        for reverted in [Outcome::Done, failed(FailureKind::Script), unknown()] {
            let world = |first: bool| World {
                reverts: Box::new(move |name| first && name == "a close"),
                reverted: Box::new({
                    let reverted = reverted.clone();
                    move |_| reverted.clone()
                }),
                ..World::failing(failing)
            };
            let mut whole = Simulation::open(closing(AFTER), finish());
            whole.run(&mut world(true)).audit();
            let ended = |event: &Event| matches!(event, Event::RevertEnded { .. });
            let told = whole.records.iter().position(|record| ended(&record.event)).unwrap() + 1;
            for length in told..whole.records.len() {
                let mut again = whole.cut(length);
                again.resume(finish()).run(&mut world(false)).audit();
                let at = format!("cut at {length} of {failing:?}, {reverted:?}: {:?}", again.log);
                assert_eq!(again.state.armed().count(), 0, "{at}");
                let undone = again.log.iter().position(|entry| entry == "a ~close");
                let made = again.log.iter().position(|entry| entry == "a close");
                match &reverted {
                    Outcome::Done => {
                        assert!(made.is_some(), "it counts as done: {at}");
                        assert!(undone.is_none_or(|undone| made < Some(undone)), "undone twice: {at}");
                    }
                    // Nobody knows, so nobody begins it again unseen.
                    Outcome::Unknown { .. } => assert_eq!((undone, made), (None, None), "{at}"),
                    _ => {}
                }
                let step = again.state.step(&"a/all.upgrade.1".to_owned().try_into().unwrap());
                assert!(step.is_none_or(|step| step.status != StepStatus::Done || made.is_some()), "{at}");
            }
        }
    }
}
