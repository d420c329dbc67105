//! In which order things are done, how many at a time, and what stops them.

use super::builder::*;
use super::simulator::{Simulation, World, forgetful, simulate};
use crate::model::event::{Decision, FailureKind, Goal, Halt, Outcome, Request, RunEnd};
use crate::model::name::{RoleName, VarName};
use crate::model::procedure::{BatchSize, Phase, PhaseBody};
use crate::model::selector::Selector;
use crate::model::state::TurnStatus;

fn upgrade_only() -> Phase {
    rolling("all", |phase| phase.upgrade = vec![run("up")])
}

fn batches(sizes: Vec<BatchSize>) -> Phase {
    rolling("all", |phase| {
        phase.batch = sizes;
        phase.upgrade = vec![run("up")];
    })
}

/// The batches of a finished run: `[a] [b c]`.
fn batches_of(simulation: &Simulation) -> String {
    let is_batch = |entry: &&String| entry.starts_with('[');
    simulation.log.iter().filter(is_batch).cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn sections_follow_each_other_and_nodes_too() {
    let mut phase = rolling("all", |phase| {
        phase.undrain = vec![run("undrain")];
        phase.verify = vec![run("verify")];
        phase.upgrade = vec![run("upgrade")];
        phase.drain = vec![run("drain"), gate("quiet")];
        phase.precheck = vec![check("fit")];
    });
    phase.rollback = vec![run("downgrade")];
    let simulation = simulate(plan("a b", vec![phase]), finish(), &mut World::default());
    assert_eq!(
        simulation.story(),
        "[a], a fit, a drain, a quiet, a upgrade, a verify, a undrain, \
         [b], b fit, b drain, b quiet, b upgrade, b verify, b undrain"
    );
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn a_canary_goes_before_wider_batches() {
    let sizes = vec![BatchSize::Nodes(1), BatchSize::Percent(25), BatchSize::Percent(100)];
    let simulation = simulate(plan("a b c d e f g h", vec![batches(sizes)]), finish(), &mut World::default());
    assert_eq!(batches_of(&simulation), "[a] [b c] [d e f g h]");
}

#[test]
fn a_batch_moves_side_by_side() {
    let phase = rolling("all", |phase| {
        phase.batch = vec![BatchSize::Nodes(2)];
        phase.drain = vec![run("out")];
        phase.upgrade = vec![run("up")];
    });
    let simulation = simulate(plan("a b", vec![phase]), finish(), &mut World::default());
    assert_eq!(simulation.story(), "[a b], a out, b out, a up, b up");
}

#[test]
fn no_two_nodes_of_a_batch_share_a_rack() {
    let mut phase = batches(vec![BatchSize::Nodes(3)]);
    if let PhaseBody::Rolling(body) = &mut phase.body {
        body.spread = Some(VarName::parse("rack").unwrap());
    }
    let plan = plan("a=1 b=1 c=2 d=2 e", vec![phase]);
    let simulation = simulate(plan, finish(), &mut World::default());
    assert_eq!(batches_of(&simulation), "[a c e] [b d]");
}

#[test]
fn who_has_the_role_at_each_moment_goes_last() {
    let mut phase = upgrade_only();
    if let PhaseBody::Rolling(body) = &mut phase.body {
        body.last = Some(RoleName::parse("leader").unwrap());
    }
    // The role moves on whenever its holder would be next but one.
    let mut world = World {
        last: Box::new(|state| {
            let b_has_begun = state.turns.contains_key(&turn(0, "b"));
            vec![node(if b_has_begun { "d" } else { "a" })]
        }),
        ..World::default()
    };
    let simulation = simulate(plan("a b c d e", vec![phase]), finish(), &mut world);
    assert_eq!(batches_of(&simulation), "[b] [a] [c] [e] [d]");
}

#[test]
fn a_batch_never_mixes_the_last_ones_with_others() {
    let mut phase = batches(vec![BatchSize::Nodes(4)]);
    if let PhaseBody::Rolling(body) = &mut phase.body {
        body.last = Some(RoleName::parse("leader").unwrap());
    }
    let mut world = World { last: Box::new(|_| nodes("b c")), ..World::default() };
    let simulation = simulate(plan("a b c", vec![phase]), finish(), &mut world);
    assert_eq!(batches_of(&simulation), "[a] [b c]");
}

#[test]
fn a_failed_node_stops_the_run() {
    let mut world = World::failing(&["b up"]);
    let simulation = simulate(plan("a b c", vec![upgrade_only()]), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, [b], b up");
    assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
}

#[test]
fn others_of_the_batch_finish_their_step_and_begin_no_other() {
    let phase = rolling("all", |phase| {
        phase.batch = vec![BatchSize::Nodes(3)];
        phase.drain = vec![run("out")];
        phase.upgrade = vec![run("up")];
    });
    let simulation = simulate(plan("a b c", vec![phase]), finish(), &mut World::failing(&["a out"]));
    assert_eq!(simulation.story(), "[a b c], a out, b out, c out");
    assert_eq!(simulation.halt(), Some(Halt::DrainFailed));
    assert_eq!(simulation.state.turns[&turn(0, "b")].status, TurnStatus::Active);
}

fn tolerant(max_failures: usize) -> Vec<Phase> {
    let tolerant = rolling("all", |phase| {
        phase.max_failures = max_failures;
        phase.upgrade = vec![run("up"), run("more")];
    });
    vec![tolerant, rolling("after", |phase| phase.upgrade = vec![run("after")])]
}

#[test]
fn so_many_nodes_may_fail_and_are_not_touched_again() {
    let mut world = World::failing(&["a up"]);
    let simulation = simulate(plan("a b", tolerant(1)), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, [b], b up, b more, [b], b after");
    assert_eq!(simulation.state.turns[&turn(0, "a")].status, TurnStatus::Failed);
    assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed), "a node needs somebody");
}

#[test]
fn a_run_goes_on_with_the_nodes_that_it_left_behind() {
    let mut simulation = simulate(plan("a b", tolerant(1)), finish(), &mut World::failing(&["a up"]));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a up, a more, [a], a after");
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn one_failure_too_many_stops_the_run() {
    let mut world = World::failing(&["a up", "b up"]);
    let simulation = simulate(plan("a b c", tolerant(1)), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, [b], b up");
}

#[test]
fn at_a_terminal_the_operator_decides() {
    let answers = [
        (Decision::No, "[a], a up", Some(Halt::UpgradeFailed)),
        (Decision::Retry, "[a], a up, a up, [b], b up", None),
        (Decision::MarkDone { reason: "by hand".into() }, "[a], a up, [b], b up", None),
        (Decision::SkipNode { reason: "broken disk".into() }, "[a], a up, [b], b up", None),
    ];
    for (decision, story, halt) in answers {
        let once = |name: &str, attempt: u32| {
            if name == "a up" && attempt == 1 { failed(FailureKind::Script) } else { Outcome::Done }
        };
        let answer = decision.clone();
        let mut world = World { step: Box::new(once), ..World::default() }.answering(move |_| answer.clone());
        let simulation = simulate(plan("a b", vec![upgrade_only()]), attended(), &mut world);
        assert_eq!((simulation.story().as_str(), simulation.halt()), (story, halt), "{decision:?}");
    }
}

#[test]
fn a_skipped_node_is_left_alone_in_later_phases() {
    let skip = |_: &_| Decision::SkipNode { reason: "broken disk".into() };
    let mut world = World::failing(&["a up"]).answering(skip);
    let simulation = simulate(plan("a b", tolerant(0)), attended(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, [b], b up, b more, [b], b after");
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn a_closed_gate_stops_without_another_question() {
    for (kind, halt) in [(FailureKind::GateClosed, Halt::GateClosed), (FailureKind::NoAnswer, Halt::NoAnswer)]
    {
        let phase = rolling("all", |phase| {
            phase.max_failures = 5;
            phase.drain = vec![gate("quiet")];
        });
        let mut world = World { step: Box::new(move |_, _| failed(kind)), ..World::default() };
        for request in [finish(), attended()] {
            let simulation = simulate(plan("a b", vec![phase.clone()]), request, &mut world);
            assert_eq!((simulation.story(), simulation.halt()), ("[a], a quiet".into(), Some(halt)));
        }
    }
}

#[test]
fn a_step_is_tried_again_as_often_as_it_says() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("up").retried(2), run("more")]);
    let simulation = simulate(plan("a", vec![phase.clone()]), finish(), &mut World::failing(&["a up"]));
    assert_eq!(simulation.story(), "[a], a up, a up, a up");
    let third = |name: &str, attempt: u32| {
        if name == "a up" && attempt < 3 { failed(FailureKind::Script) } else { Outcome::Done }
    };
    let mut world = World { step: Box::new(third), ..World::default() };
    let simulation = simulate(plan("a", vec![phase]), finish(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, a up, a up, a more");
}

#[test]
fn what_fails_while_the_run_stops_counts() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("up").retried(3)]);
    for request in [finish(), attended()] {
        let mut world = World { interrupt: Box::new(|entry| entry == "a up"), ..World::failing(&["a up"]) };
        let simulation = simulate(plan("a b", vec![phase.clone()]), request, &mut world);
        assert_eq!(simulation.story(), "[a], a up");
        assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
    }
}

#[test]
fn an_unknown_outcome_is_never_tolerated_not_even_by_the_next_invocation() {
    let mut world = World { step: Box::new(|_, _| unknown()), ..World::default() };
    let mut simulation = simulate(plan("a b", tolerant(1)), finish(), &mut world);
    assert_eq!(simulation.halt(), Some(Halt::Unknown));
    simulation.resume(finish()).run(&mut forgetful()).audit();
    assert_eq!((simulation.story(), simulation.halt()), (String::new(), Some(Halt::Unknown)));
    let retry = |_: &_| Decision::Retry;
    simulation.resume(attended()).run(&mut forgetful().answering(retry)).audit();
    assert_eq!(simulation.story(), "a up, a more, [b], b up, b more, [a], a after, [b], b after");
}

#[test]
fn a_limit_leaves_the_others_to_do() {
    let phases = || vec![upgrade_only(), single("migrate", vec![run("migrate")])];
    let limited = Request { limit: Some(nodes("b c")), ..finish() };
    let mut simulation = simulate(plan("a b c", phases()), limited, &mut World::default());
    assert_eq!(simulation.story(), "[b], b up, [c], c up");
    assert_eq!(simulation.halt(), Some(Halt::LimitReached));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[a], a up, operator migrate");
}

#[test]
fn nobody_is_asked_about_a_phase_beyond_the_limit() {
    let mut beyond = rolling("beyond", |phase| phase.nodes = Selector::from_list("b"));
    beyond.point_of_no_return = Some(point(false));
    let limited = Request { limit: Some(nodes("a")), ..finish() };
    let only_a = rolling("a", |phase| {
        phase.nodes = Selector::from_list("a");
        phase.upgrade = vec![run("up")];
    });
    let simulation = simulate(plan("a b", vec![only_a, beyond]), limited, &mut World::default());
    assert_eq!(simulation.story(), "[a], a up");
    assert!(simulation.state.points_passed.is_empty());
}

#[test]
fn a_pause_waits_for_the_others_of_the_batch() {
    let phase = batches(vec![BatchSize::Nodes(2)]);
    let paused = Request { pause_after: Some(node("a")), ..finish() };
    let mut simulation = simulate(plan("a b c", vec![phase]), paused, &mut World::default());
    assert_eq!(simulation.story(), "[a b], a up, b up");
    assert_eq!(simulation.halt(), Some(Halt::Interrupted));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[c], c up");
}

#[test]
fn single_phases_run_once_on_the_operators_machine() {
    let phases = vec![single("before", vec![run("dump"), check("whole")]), upgrade_only()];
    let simulation = simulate(plan("a", phases), finish(), &mut World::default());
    assert_eq!(simulation.story(), "operator dump, operator whole, [a], a up");
}

#[test]
fn a_failed_single_phase_stops_the_run() {
    let phases = vec![single("before", vec![run("dump")]), upgrade_only()];
    let simulation = simulate(plan("a", phases), finish(), &mut World::failing(&["operator dump"]));
    assert_eq!(simulation.halt(), Some(Halt::UpgradeFailed));
}

#[test]
fn what_fails_in_a_single_phase_is_a_precheck_until_something_was_changed() {
    for (failing, halt) in
        [(&["operator fit"], Halt::CheckFailed), (&["operator came up"], Halt::UpgradeFailed)]
    {
        let phase = single("once", vec![check("fit"), run("up"), check("came up")]);
        let simulation = simulate(plan("a", vec![phase]), finish(), &mut World::failing(failing));
        assert_eq!(simulation.halt(), Some(halt), "{failing:?}");
    }
}

#[test]
fn a_point_of_no_return_is_asked_for_before_what_it_marks() {
    let mut convert = run("convert");
    convert.point_of_no_return = Some(point(false));
    let mut phase = rolling("all", |phase| phase.upgrade = vec![run("up"), convert]);
    phase.point_of_no_return = Some(point(true));
    let simulation = simulate(plan("a", vec![phase]), finish(), &mut World::default());
    assert_eq!(simulation.story(), "operator point of no return, [a], a up, a point of no return, a convert");
    assert_eq!(simulation.state.points_passed.len(), 2);
}

#[test]
fn a_no_before_a_phase_keeps_it_from_beginning() {
    let mut phase = upgrade_only();
    phase.point_of_no_return = Some(point(false));
    let mut world = World { step: Box::new(|_, _| failed(FailureKind::NoAnswer)), ..World::default() };
    let simulation = simulate(plan("a", vec![phase]), attended(), &mut world);
    assert_eq!(
        (simulation.story().as_str(), simulation.halt()),
        ("operator point of no return", Some(Halt::NoAnswer))
    );
    assert_eq!(simulation.state.no_return(), None);
}

#[test]
fn the_question_before_a_phase_cannot_be_skipped_with_its_lane() {
    let mut phase = upgrade_only();
    phase.point_of_no_return = Some(point(false));
    let skip = |_: &_| Decision::SkipNode { reason: "later".into() };
    let mut world =
        World { step: Box::new(|_, _| failed(FailureKind::Input)), ..World::default() }.answering(skip);
    let simulation = simulate(plan("a", vec![phase]), attended(), &mut world);
    assert_eq!(simulation.story(), "operator point of no return");
    assert!(simulation.halt().is_some());
}

#[test]
fn staging_ends_staged_and_keeps_to_its_width() {
    let mut procedure = procedure(vec![upgrade_only()]);
    procedure.stage = vec![run("pull")];
    let plan = plan_of("a b c", &procedure);
    let mut simulation = Simulation::open(plan, request(Goal::Staged));
    let mut world = World::default();
    let mut widest = 0;
    while simulation.state.end.is_none() {
        assert!(simulation.step(&mut world));
        widest = widest.max(simulation.state.steps.values().filter(|step| step.is_in_flight()).count());
    }
    assert_eq!((simulation.story().as_str(), widest), ("[a b c], a pull, b pull, c pull", 2));
    assert_eq!(*simulation.verdict(), RunEnd::Staged);
    simulation.resume(finish()).run(&mut world).audit();
    assert_eq!(simulation.story(), "[a], a up, [b], b up, [c], c up");
    assert_eq!(*simulation.verdict(), RunEnd::Finished);
}

#[test]
fn a_node_whose_staging_was_skipped_is_not_upgraded() {
    let mut procedure = procedure(vec![upgrade_only()]);
    procedure.stage = vec![run("pull")];
    let skip = |_: &_| Decision::SkipNode { reason: "disk full".into() };
    let mut world = World::failing(&["a pull"]).answering(skip);
    let simulation = simulate(plan_of("a b", &procedure), attended(), &mut world);
    assert_eq!(simulation.story(), "[a b], a pull, b pull, [b], b up");
}

#[test]
fn nodes_beyond_the_limit_are_staged_when_their_turn_comes() {
    let mut procedure = procedure(vec![upgrade_only()]);
    procedure.stage = vec![run("pull")];
    let limited = Request { limit: Some(nodes("b")), ..finish() };
    let mut simulation = simulate(plan_of("a b", &procedure), limited, &mut World::default());
    assert_eq!(simulation.story(), "[b], b pull, [b], b up");
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[a], a pull, [a], a up");
}
