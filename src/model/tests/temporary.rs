//! Temporary changes are undone at the end of their scope, whatever happens in between.

use super::builder::*;
use super::simulator::{Simulation, World, simulate};
use crate::model::event::{Decision, FailureKind, Goal, Halt, Outcome, RunEnd};
use crate::model::procedure::{Phase, Scope};
use crate::model::state::UndoStatus;

/// Stops something for the scope, then upgrades.
fn held(scope: Scope) -> Phase {
    rolling("all", |phase| {
        phase.drain = vec![run("stop").temporary(scope)];
        phase.upgrade = vec![run("up")];
    })
}

fn then(phase: Phase) -> Vec<Phase> {
    vec![phase, single("end", vec![run("end")])]
}

#[test]
fn they_are_undone_at_the_end_of_their_scope() {
    for (scope, story) in [
        (Scope::Node, "[a], a stop, a up, a ~stop, [b], b stop, b up, b ~stop, operator end"),
        (Scope::Phase, "[a], a stop, a up, [b], b stop, b up, b ~stop, a ~stop, operator end"),
        (Scope::Run, "[a], a stop, a up, [b], b stop, b up, operator end, b ~stop, a ~stop"),
    ] {
        let simulation = simulate(plan("a b", then(held(scope))), finish(), &mut World::default());
        assert_eq!(simulation.story(), story);
        assert_eq!(*simulation.verdict(), RunEnd::Finished);
    }
}

#[test]
fn they_are_undone_after_a_failure_and_after_ctrl_c() {
    for scope in [Scope::Node, Scope::Phase, Scope::Run] {
        let plan = plan("a b", then(held(scope)));
        let simulation = simulate(plan.clone(), finish(), &mut World::failing(&["a up"]));
        assert_eq!(simulation.story(), "[a], a stop, a up, a ~stop");
        assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
        for at in ["a stop", "a up"] {
            let simulation = simulate(plan.clone(), finish(), &mut World::interrupted_at(at));
            let up = if at == "a up" { "a up, " } else { "" };
            assert_eq!(simulation.story(), format!("[a], a stop, {up}a ~stop"));
            assert_eq!(simulation.halt(), Some(Halt::Interrupted));
            assert!(simulation.state.outstanding().is_empty());
        }
    }
}

#[test]
fn one_that_failed_itself_may_be_in_force() {
    let simulation = simulate(plan("a", vec![held(Scope::Node)]), finish(), &mut World::failing(&["a stop"]));
    assert_eq!(simulation.story(), "[a], a stop, a ~stop");
}

#[test]
fn one_that_never_began_is_not_undone() {
    for kind in [FailureKind::Unreachable, FailureKind::Input] {
        let mut world = World { step: Box::new(move |_, _| failed(kind)), ..World::default() };
        let simulation = simulate(plan("a", vec![held(Scope::Node)]), finish(), &mut world);
        assert_eq!(simulation.story(), "[a], a stop");
    }
    let skipped = |_: &str, _| Outcome::Skipped { why: "done already".into() };
    let mut world = World { step: Box::new(skipped), ..World::default() };
    let simulation = simulate(plan("a", vec![held(Scope::Node)]), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a stop, a up");
}

#[test]
fn a_second_attempt_that_never_began_does_not_make_the_first_one_undone() {
    let phase = rolling("all", |phase| phase.drain = vec![run("stop").temporary(Scope::Node).retried(1)]);
    for second in [failed(FailureKind::Unreachable), Outcome::Skipped { why: "done already".into() }] {
        let attempts = move |_: &str, attempt| {
            if attempt == 1 { failed(FailureKind::Timeout) } else { second.clone() }
        };
        let mut world = World { step: Box::new(attempts), ..World::default() };
        let simulation = simulate(plan("a", vec![phase.clone()]), finish(), &mut world);
        assert_eq!(simulation.story(), "[a], a stop, a stop, a ~stop");
    }
}

#[test]
fn what_was_done_by_hand_is_undone_as_well() {
    let mut world = World { step: Box::new(|_, _| failed(FailureKind::Unreachable)), ..World::default() }
        .answering(|_| Decision::MarkDone { reason: "typed it myself".into() });
    let simulation = simulate(plan("a", vec![held(Scope::Node)]), attended(), &mut world);
    assert_eq!(simulation.story(), "[a], a stop, a up, a ~stop");
}

#[test]
fn a_skipped_node_is_put_back() {
    let skip = |_: &_| Decision::SkipNode { reason: "broken disk".into() };
    let mut world = World::failing(&["a up"]).answering(skip);
    let simulation = simulate(plan("a b", vec![held(Scope::Node)]), attended(), &mut world);
    assert_eq!(simulation.story(), "[a], a stop, a up, a ~stop, [b], b stop, b up, b ~stop");
}

#[test]
fn a_tolerated_node_is_put_back() {
    let mut phase = held(Scope::Node);
    if let crate::model::procedure::PhaseBody::Rolling(body) = &mut phase.body {
        body.max_failures = 1;
    }
    let simulation = simulate(plan("a b", vec![phase]), finish(), &mut World::failing(&["a up"]));
    assert_eq!(simulation.story(), "[a], a stop, a up, a ~stop, [b], b stop, b up, b ~stop");
}

#[test]
fn they_are_made_again_while_their_scope_is_open() {
    for (scope, story) in [
        (Scope::Node, "a stop, a up, a ~stop, [b], b stop, b up, b ~stop, operator end"),
        (Scope::Phase, "a stop, a up, [b], b stop, b up, b ~stop, a ~stop, operator end"),
        (Scope::Run, "a stop, a up, [b], b stop, b up, operator end, b ~stop, a ~stop"),
    ] {
        let plan = plan("a b", then(held(scope)));
        let mut simulation = simulate(plan, finish(), &mut World::failing(&["a up"]));
        simulation.resume(finish()).run(&mut World::default()).audit();
        assert_eq!(simulation.story(), story);
    }
}

#[test]
fn those_of_finished_nodes_are_made_again_too_and_their_checks_are_not_asked() {
    for (scope, story) in [
        (Scope::Node, "b fit, b stop, b up, b ~stop, operator end"),
        (Scope::Phase, "a stop, b fit, b stop, b up, b ~stop, a ~stop, operator end"),
        (Scope::Run, "a stop, b fit, b stop, b up, operator end, b ~stop, a ~stop"),
    ] {
        let mut phase = held(scope);
        if let crate::model::procedure::PhaseBody::Rolling(body) = &mut phase.body {
            body.precheck = vec![check("fit")];
        }
        let mut simulation = simulate(plan("a b", then(phase)), finish(), &mut World::failing(&["b up"]));
        simulation.resume(finish()).run(&mut World::default()).audit();
        let mut expected: Vec<&str> = story.split(", ").collect();
        let mut found: Vec<&str> = simulation.log.iter().map(String::as_str).collect();
        // Node a and node b are at work side by side.
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{scope:?}");
    }
}

#[test]
fn they_are_not_made_again_when_their_scope_is_at_its_end() {
    for scope in [Scope::Node, Scope::Phase, Scope::Run] {
        let phase = rolling("all", |phase| {
            phase.drain = vec![run("first").temporary(scope), run("second").temporary(scope)];
        });
        let plan = plan("a", vec![phase]);
        let mut world = World {
            undo: Box::new(
                |name, _| if name == "a first" { failed(FailureKind::Script) } else { Outcome::Done },
            ),
            ..World::default()
        };
        let mut simulation = simulate(plan, finish(), &mut world);
        assert_eq!(simulation.story(), "[a], a first, a second, a ~second, a ~first");
        simulation.resume(finish()).run(&mut World::default()).audit();
        assert_eq!(simulation.story(), "a ~first", "{scope:?}");
        assert_eq!(*simulation.verdict(), RunEnd::Finished);
    }
}

#[test]
fn a_phase_that_is_over_is_not_entered_for_the_sake_of_another() {
    // The phase's own change is not made again because the run's is.
    let first = rolling("first", |phase| {
        phase.drain =
            vec![run("alarms off").temporary(Scope::Phase), run("alerts off").temporary(Scope::Run)];
    });
    let second = rolling("second", |phase| phase.upgrade = vec![run("up")]);
    let mut simulation = simulate(plan("a", vec![first, second]), finish(), &mut World::failing(&["a up"]));
    assert_eq!(
        simulation.story(),
        "[a], a alarms off, a alerts off, a ~alarms off, [a], a up, a ~alerts off"
    );
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a alerts off, a up, a ~alerts off");
}

#[test]
fn a_gate_between_is_asked_again_with_the_change_that_it_needs() {
    let phase = rolling("all", |phase| {
        phase.precheck = vec![check("fit")];
        phase.drain = vec![run("stop").temporary(Scope::Node), gate("quiet")];
        phase.upgrade = vec![run("up")];
        phase.verify = vec![check("well")];
    });
    let plan = plan("a", vec![phase]);
    let mut simulation = simulate(plan.clone(), finish(), &mut World::failing(&["a up"]));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a fit, a stop, a quiet, a up, a well, a ~stop");
    // Once the node has the new version, what was asked of the old one is past.
    let mut simulation = simulate(plan, finish(), &mut World::failing(&["a well"]));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a stop, a well, a ~stop");
}

fn stubborn() -> World {
    World { undo: Box::new(|_, _| failed(FailureKind::Script)), ..World::default() }
}

#[test]
fn one_that_cannot_be_undone_stops_the_run_and_stays_on_the_list() {
    let mut simulation = simulate(plan("a b", vec![held(Scope::Node)]), finish(), &mut stubborn());
    assert_eq!(simulation.story(), "[a], a stop, a up, a ~stop");
    assert_eq!(simulation.halt(), Some(Halt::UndoFailed));
    let [key] = simulation.state.outstanding()[..] else { panic!("one is outstanding") };
    assert!(matches!(simulation.state.steps[key].undo, UndoStatus::Failed { settled: true, .. }));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a ~stop, [b], b stop, b up, b ~stop");
}

#[test]
fn the_others_are_undone_though_one_cannot() {
    let phase = rolling("all", |phase| {
        phase.drain = vec![run("one").temporary(Scope::Node), run("two").temporary(Scope::Node)];
    });
    let simulation = simulate(plan("a", vec![phase]), finish(), &mut stubborn());
    assert_eq!(simulation.story(), "[a], a one, a two, a ~two, a ~one");
    assert_eq!(simulation.state.outstanding().len(), 2);
}

#[test]
fn a_failed_step_outranks_its_failed_undo() {
    let mut world = World { undo: stubborn().undo, ..World::failing(&["a up"]) };
    let simulation = simulate(plan("a", vec![held(Scope::Node)]), finish(), &mut world);
    assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
}

#[test]
fn the_operator_decides_about_an_undo_that_fails() {
    for (decision, story, halt) in [
        (Decision::Retry, "[a], a stop, a up, a ~stop, a ~stop", None),
        (Decision::MarkDone { reason: "by hand".into() }, "[a], a stop, a up, a ~stop", None),
        (Decision::No, "[a], a stop, a up, a ~stop", Some(Halt::UndoFailed)),
    ] {
        let answer = decision.clone();
        let once = |_: &str, attempt| if attempt == 1 { failed(FailureKind::Script) } else { Outcome::Done };
        let mut world = World { undo: Box::new(once), ..World::default() }.answering(move |_| answer.clone());
        let simulation = simulate(plan("a", vec![held(Scope::Node)]), attended(), &mut world);
        assert_eq!((simulation.story().as_str(), simulation.halt()), (story, halt), "{decision:?}");
    }
}

#[test]
fn unstaging_undoes_what_a_dead_invocation_left() {
    let mut procedure = procedure(vec![held(Scope::Run)]);
    procedure.stage = vec![run("pull")];
    let mut world = World::default();
    let mut simulation = Simulation::open(plan_of("a b", &procedure), finish());
    while !simulation.log.contains(&"a up".to_owned()) {
        assert!(simulation.step(&mut world));
    }
    simulation.resume(request(Goal::Unstaged)).run(&mut world).audit();
    assert_eq!(simulation.story(), "a ~stop, a remove what was staged, b remove what was staged");
    assert_eq!(*simulation.verdict(), RunEnd::Unstaged);
}
