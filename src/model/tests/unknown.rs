//! Steps that began and whose end nobody saw: settled by what they declare, by a human, or not at all;
//! never begun again unseen.

use super::builder::*;
use super::resumption::rich;
use super::simulator::{Simulation, World, forgetful, simulate, take_back};
use crate::model::condition::Verdict;
use crate::model::event::{
    Decided, Decision, Event, FailureKind, Halt, Means, Outcome, Question, Request, RunEnd, Settlement,
};
use crate::model::plan::{Plan, StepKey, Work};
use crate::model::procedure::{CheckRef, IfUnknown, Phase, Scope};
use crate::model::schedule::{self, Move};
use crate::model::state::{StepStatus, UndoStatus};

/// What some steps of [`rich`] declare, by their labels.
pub(super) fn declared() -> Plan {
    let mut plan = rich();
    for phase in &mut plan.phases {
        for step in phase.steps.iter_mut().chain(&mut phase.rollback) {
            let Work::Step(inner) = &mut step.work else { continue };
            inner.if_unknown = match step.label.as_str() {
                "stop" | "down" => IfUnknown { done_if: Some(probe()), ..IfUnknown::default() },
                "up" => IfUnknown { retry_is_safe: true, ..IfUnknown::default() },
                "convert" => IfUnknown { reboots: true, done_if: Some(probe()), retry_is_safe: false },
                "reload" => IfUnknown { reboots: true, done_if: Some(probe()), retry_is_safe: true },
                _ => continue,
            };
        }
    }
    plan
}

fn probe() -> CheckRef {
    let crate::model::procedure::Action::Check(check) = check("there").action else { unreachable!() };
    check
}

/// A guard and a step, `a up`.
fn guarded(change: impl FnOnce(&mut IfUnknown)) -> Phase {
    rolling("p", |phase| {
        phase.precheck = vec![check("fit")];
        phase.upgrade = vec![run("up").if_unknown(change)];
    })
}

/// The first attempt of `a up` is unknown.
fn once_unknown(rebooted: bool, probe: Verdict) -> World {
    let step = move |name: &str, attempt| match (name, attempt) {
        ("a up", 1) => Outcome::Unknown { why: "contact lost".into(), rebooted },
        _ => Outcome::Done,
    };
    World { step: Box::new(step), probe: Box::new(move |_| probe.clone()), ..forgetful() }
}

fn no() -> Verdict {
    Verdict::DoesNotHold { why: "not there".into() }
}

fn unreadable() -> Verdict {
    Verdict::Unreadable { why: "no answer".into() }
}

fn decide(text: &str) -> Vec<Decided> {
    vec![text.parse().unwrap()]
}

const UP: &str = "a/p.upgrade.1";

fn key(text: &str) -> StepKey {
    StepKey::try_from(text.to_owned()).unwrap()
}

#[test]
fn what_a_step_declares_settles_it_at_once() {
    type Declare = fn(&mut IfUnknown);
    let nothing: Declare = |_| {};
    let reboots: Declare = |say| say.reboots = true;
    let done_if: Declare = |say| say.done_if = Some(probe());
    let safe: Declare = |say| say.retry_is_safe = true;
    let both: Declare = |say| (say.done_if, say.retry_is_safe) = (Some(probe()), true);
    let all: Declare = |say| (say.reboots, say.done_if, say.retry_is_safe) = (true, Some(probe()), true);
    let holds = || Verdict::Holds;
    let again = "[a], a fit, a up, a fit, a up";
    for (what, declare, rebooted, answer, story, halt) in [
        ("nothing", nothing, true, holds(), "[a], a fit, a up", Some(Halt::Unknown)),
        ("a boot that was meant", reboots, true, no(), "[a], a fit, a up", None),
        ("no boot", reboots, false, no(), "[a], a fit, a up", Some(Halt::Unknown)),
        ("done", done_if, true, holds(), "[a], a fit, a up, a up?", None),
        ("not done", done_if, false, no(), "[a], a fit, a up, a up?, a fit, a up", None),
        ("no answer", done_if, false, unreadable(), "[a], a fit, a up, a up?", Some(Halt::Unknown)),
        ("safe", safe, false, no(), again, None),
        ("safe, and done", both, false, holds(), "[a], a fit, a up, a up?", None),
        ("safe, and no answer", both, false, unreadable(), "[a], a fit, a up, a up?", Some(Halt::Unknown)),
        ("all, booted", all, true, unreadable(), "[a], a fit, a up", None),
        ("all, not booted", all, false, no(), "[a], a fit, a up, a up?, a fit, a up", None),
    ] {
        for request in [finish(), attended()] {
            let mut world = once_unknown(rebooted, answer.clone()).answering(|_| Decision::No);
            let simulation = simulate(plan("a", vec![guarded(declare)]), request, &mut world);
            assert_eq!((simulation.story().as_str(), simulation.halt()), (story, halt), "{what}");
        }
    }
}

#[test]
fn a_stop_waits_for_what_can_be_settled() {
    let stopped = |answer| {
        let mut world = once_unknown(false, answer);
        world.interrupt = Box::new(|entry| entry == "a up");
        let phase = guarded(|say| say.done_if = Some(probe()));
        simulate(plan("a", vec![phase]), finish(), &mut world)
    };
    let done = stopped(Verdict::Holds);
    assert_eq!((done.story().as_str(), done.halt()), ("[a], a fit, a up, a up?", Some(Halt::Interrupted)));
    assert_eq!(done.state.step(&key(UP)).unwrap().status, StepStatus::Done);
    assert_eq!(stopped(no()).halt(), Some(Halt::Interrupted));
    assert_eq!(stopped(unreadable()).halt(), Some(Halt::Unknown));
}

/// A run that stopped because nobody knows how `a up` ended.
fn stopped() -> Simulation {
    let simulation =
        simulate(plan("a b", vec![guarded(|_| {})]), finish(), &mut once_unknown(false, Verdict::Holds));
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    assert_eq!(simulation.state.undecided(), [(key(UP), false)]);
    assert_eq!(simulation.state.unknown(), simulation.state.undecided());
    simulation
}

#[test]
fn its_node_is_asked_again_on_every_resume() {
    let mut simulation = stopped();
    simulation.resume(finish());
    assert_eq!(schedule::next(&simulation.state), [Move::Recover { key: key(UP), undo: false }]);
    simulation.run(&mut forgetful()).audit();
    assert_eq!((simulation.story().as_str(), simulation.halt()), ("", Some(Halt::Unknown)));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!((simulation.story().as_str(), simulation.verdict()), ("[b], b fit, b up", &RunEnd::Finished));
}

#[test]
fn a_human_decides_what_nobody_knows() {
    for (word, story, halt) in [
        ("done", "[b], b fit, b up", None),
        ("retry", "a fit, a up, [b], b fit, b up", None),
        ("fail:the disk is full", "", Some(Halt::UpgradeFailed)),
    ] {
        for request in [finish(), attended()] {
            let mut simulation = stopped();
            let decisions = decide(&format!("{UP}={word}"));
            let mut world = forgetful().answering(|_| Decision::No);
            simulation.resume(Request { decisions, ..request }).run(&mut world).audit();
            assert_eq!((simulation.story().as_str(), simulation.halt()), (story, halt), "{word}");
            if let RunEnd::Stopped(stop) = simulation.verdict() {
                assert!(stop.why.ends_with("ann decided that it failed: the disk is full"), "{}", stop.why);
            }
        }
    }
}

#[test]
fn a_failure_that_was_decided_is_not_tried_again_by_itself() {
    let phase = rolling("p", |phase| {
        phase.upgrade = vec![run("up").retried(3)];
        phase.max_failures = 1;
    });
    let mut simulation =
        simulate(plan("a b", vec![phase]), finish(), &mut once_unknown(false, Verdict::Holds));
    assert_eq!(simulation.halt(), Some(Halt::Unknown), "an unknown step is no failed node");
    let decisions = decide(&format!("{UP}=fail"));
    simulation.resume(Request { decisions, ..finish() }).run(&mut forgetful()).audit();
    // The phase allows for a node that failed, so the other one goes on.
    assert_eq!((simulation.story().as_str(), simulation.halt()), ("[b], b up", Some(Halt::UpgradeFailed)));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!((simulation.story().as_str(), simulation.verdict()), ("a up", &RunEnd::Finished));
}

#[test]
fn a_decision_counts_only_where_the_node_does_not_know() {
    for (known, story) in
        [(Outcome::Done, "[b], b fit, b up"), (Outcome::Interrupted, "a fit, a up, [b], b fit, b up")]
    {
        let mut simulation = stopped();
        let mut world = World { recover: Box::new(move |_, _| known.clone()), ..World::default() };
        let decisions = decide(&format!("{UP}=fail"));
        simulation.resume(Request { decisions, ..finish() }).run(&mut world).audit();
        assert_eq!((simulation.story().as_str(), simulation.verdict()), (story, &RunEnd::Finished));
    }
}

#[test]
fn a_decision_is_for_one_invocation() {
    let mut simulation = stopped();
    let decisions = decide(&format!("{UP}=done"));
    simulation.resume(Request { decisions, ..finish() }).step(&mut forgetful());
    // It died before it could be settled: the next one is not bound to it.
    let mut again = simulation.cut(simulation.records.len());
    again.resume(finish()).run(&mut forgetful()).audit();
    assert_eq!(again.halt(), Some(Halt::Unknown));
}

#[test]
fn who_decided_is_in_the_journal() {
    let mut simulation = stopped();
    let decisions = decide(&format!("{UP}=done:I looked"));
    simulation.resume(Request { decisions, ..finish() }).run(&mut forgetful());
    let settled = simulation.records.iter().find_map(|record| match &record.event {
        Event::Settled { verdict, how, by, .. } => Some((*verdict, *how, by.clone())),
        _ => None,
    });
    assert_eq!(settled, Some((Settlement::Done, Means::Decided, Some(finish().by))));
}

/// A run whose temporary change was being undone, and nobody knows whether it was.
fn undo_unknown(request: Request) -> Simulation {
    let phase = rolling("p", |phase| {
        phase.drain = vec![run("stop").temporary(Scope::Node).if_unknown(|say| say.retry_is_safe = true)];
        phase.upgrade = vec![run("up")];
    });
    let mut world = World { undo: Box::new(|_, _| unknown()), ..forgetful() }.answering(|_| Decision::No);
    simulate(plan("a", vec![phase]), request, &mut world)
}

const STOP: &str = "a/p.drain.1";

#[test]
fn an_undo_that_may_have_run_is_not_begun_again_unseen() {
    let mut simulation = undo_unknown(finish());
    assert_eq!(simulation.halt(), Some(Halt::UndoFailed));
    assert_eq!(simulation.state.unknown(), [(key(STOP), true)]);
    for goal in [finish(), request(crate::model::event::Goal::Unstaged)] {
        simulation.resume(goal);
        assert_eq!(schedule::next(&simulation.state), [Move::Recover { key: key(STOP), undo: true }]);
        simulation.run(&mut forgetful()).audit();
        assert_eq!(simulation.halt(), Some(Halt::UndoFailed));
        assert!(!simulation.story().contains("a ~stop"), "{}", simulation.story());
    }
}

#[test]
fn an_undo_that_failed_is_begun_again() {
    let phase = rolling("p", |phase| phase.drain = vec![run("stop").temporary(Scope::Node)]);
    let mut world = World { undo: Box::new(|_, _| failed(FailureKind::Script)), ..World::default() };
    let mut simulation = simulate(plan("a", vec![phase]), finish(), &mut world);
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!((simulation.story().as_str(), simulation.verdict()), ("a ~stop", &RunEnd::Finished));
}

#[test]
fn a_human_decides_about_an_undo() {
    for (word, halt, undo) in [
        ("done", None, UndoStatus::Done),
        ("retry", None, UndoStatus::Done),
        (
            "fail",
            Some(Halt::UndoFailed),
            UndoStatus::Failed { why: "ann decided that it failed".into(), settled: true },
        ),
    ] {
        let mut simulation = undo_unknown(finish());
        let decisions = decide(&format!("{STOP}.undo={word}"));
        simulation.resume(Request { decisions, ..finish() }).run(&mut forgetful()).audit();
        assert_eq!(simulation.halt(), halt, "{word}: {}", simulation.story());
        assert_eq!(simulation.story().contains("a ~stop"), word == "retry", "{word}: {}", simulation.story());
        assert_eq!(simulation.state.step(&key(STOP)).unwrap().undo, undo, "{word}");
    }
}

#[test]
fn at_a_terminal_somebody_is_asked_about_an_undo_before_anything_stands_on_it() {
    let mut simulation = undo_unknown(attended());
    let mut world = forgetful().answering(|question| {
        assert_eq!(*question, Question::Trouble { key: key(STOP), undo: true });
        Decision::MarkDone { reason: "I looked".into() }
    });
    simulation.resume(attended()).run(&mut world).audit();
    assert_eq!(simulation.state.unknown(), []);
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn on_the_way_back_only_its_own_steps_are_settled() {
    let mut phase = guarded(|say| say.done_if = Some(probe()));
    phase.rollback = vec![run("down").if_unknown(|say| say.done_if = Some(probe()))];
    let mut simulation = simulate(plan("a", vec![phase]), finish(), &mut once_unknown(false, unreadable()));
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    let step = |name: &str, _| if name == "a down" { unknown() } else { Outcome::Done };
    let mut world = World { step: Box::new(step), ..forgetful() };
    take_back(&mut simulation, None, &mut world);
    assert_eq!((simulation.story().as_str(), simulation.verdict()), ("a down, a down?", &RunEnd::RolledBack));
}

#[test]
fn what_was_declared_leads_every_crash_to_the_same_end() {
    let whole = simulate(declared(), finish(), &mut World::default());
    for length in 1..whole.records.len() {
        for answer in [Verdict::Holds, no()] {
            let mut again = whole.cut(length);
            let probe = answer.clone();
            let mut world = World { probe: Box::new(move |_| probe.clone()), ..forgetful() };
            again.resume(finish()).run(&mut world).audit();
            // Only what declares nothing, and undos, are left to a human.
            for (key, undo) in again.state.unknown() {
                let (_, planned) = again.state.plan.find(&key.step).unwrap();
                assert!(
                    undo || planned.step().unwrap().if_unknown == IfUnknown::default(),
                    "{key} at {length}"
                );
            }
            let decisions: Vec<Decided> = again
                .state
                .unknown()
                .into_iter()
                .map(|(key, undo)| Decided { key, undo, verdict: Settlement::Done, why: None })
                .collect();
            if decisions.is_empty() {
                assert_eq!(*again.verdict(), RunEnd::Finished, "cut at {length}");
                continue;
            }
            again.resume(Request { decisions, ..finish() }).run(&mut forgetful()).audit();
            assert_eq!(*again.verdict(), RunEnd::Finished, "cut at {length}");
        }
    }
}
